"""Inventories compared with a simple model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model.inventory import KernelRecord, Page, SessionRecord
from statcore.services import SeriesInventory
from statcore.testing.inventory import container_samples
from statcore.testing.strategies import agent_ids
from statcore_memory import MemoryInventory, MemoryMetrics

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
# Few of each, so that they meet.
IDS = st.integers(0, 9).map(lambda number: str(UUID(int=number * 0x1234_5678_9ABC_DEF0_0FED)))
OWNER = st.none() | IDS
KERNELS = st.builds(
    KernelRecord,
    kernel_id=IDS,
    session_id=OWNER,
    agent_id=st.sampled_from([None, "i-1", "i-10", "i-2"]),
    user_id=OWNER,
    project_id=OWNER,
)
ANY_AGENT = st.none() | agent_ids().filter(lambda name: name != "undefined")
BOUND = st.integers(-3, 30)


def sessions_of(kernels: Iterable[KernelRecord]) -> list[SessionRecord]:
    """Return the sessions of kernels, all in the order of ids."""
    in_order = sorted(kernels, key=lambda kernel: kernel.kernel_id)
    ids = sorted({kernel.session_id for kernel in in_order if kernel.session_id})
    members = {id_: tuple(kernel for kernel in in_order if kernel.session_id == id_) for id_ in ids}
    return [SessionRecord(session_id=id_, kernels=kernels) for id_, kernels in members.items()]


def agents_of(kernels: Iterable[KernelRecord]) -> list[str]:
    """Return the agents of kernels, in order."""
    return sorted({kernel.agent_id for kernel in kernels if kernel.agent_id})


@given(st.lists(st.integers(), max_size=20), st.none() | BOUND, BOUND)
def test_a_page_is_a_part_of_the_list(records: list[int], limit: int | None, offset: int) -> None:
    """It has at most `limit` records from the offset on, in order; a negative number is an error."""
    if offset < 0 or (limit or 0) < 0:
        with pytest.raises(InputError, match=f"limit {limit}, offset {offset}"):
            Page.cut(records, limit=limit, offset=offset)
        return
    expected = [record for at, record in enumerate(records) if at >= offset and (limit is None or at < offset + limit)]
    assert Page(items=expected, total_count=len(records)) == Page.cut(records, limit=limit, offset=offset)


@given(st.lists(KERNELS | IDS, max_size=40), st.none() | st.integers(0, 12), st.integers(0, 12))
def test_sessions_and_agents_follow_from_the_kernels(
    steps: list[KernelRecord | str], limit: int | None, offset: int
) -> None:
    """After any kernels have come, changed and gone, every page and every search is what the kernels that are left say."""
    inventory = MemoryInventory()
    left: dict[str, KernelRecord] = {}
    for step in steps:
        if isinstance(step, str):
            inventory.forget_kernel(step)
            left.pop(step, None)
        else:
            inventory.register_kernel(step)
            left[step.kernel_id] = step
    sessions, agents, kernels = sessions_of(left.values()), agents_of(left.values()), [left[id_] for id_ in sorted(left)]
    by_id = {session.session_id: session for session in sessions}
    ids = [step if isinstance(step, str) else step.session_id or step.kernel_id for step in steps]

    async def read() -> list[Any]:
        return [
            await inventory.list_sessions(limit=limit, offset=offset),
            await inventory.list_agents(limit=limit, offset=offset),
            await inventory.list_kernels(limit=limit, offset=offset),
            await inventory.find_sessions(ids),
        ]

    pages = [Page.cut(records, limit=limit, offset=offset) for records in (sessions, agents, kernels)]
    expected = [*pages, [by_id.get(id_) for id_ in ids]]
    assert expected == asyncio.run(read())


@given(
    st.lists(
        st.builds(KernelRecord, kernel_id=IDS, session_id=OWNER, agent_id=ANY_AGENT, user_id=OWNER, project_id=OWNER),
        unique_by=lambda kernel: kernel.kernel_id,
        max_size=10,
    )
)
def test_the_inventory_of_series_equals_the_registered_one(kernels: list[KernelRecord]) -> None:
    """The inventory over the series of any kernels is the inventory in which they are registered; agents are any text."""
    metrics, registered = MemoryMetrics(), MemoryInventory()
    metrics.append_scrape(container_samples(kernels), target="agents", time=NOW)
    for kernel in kernels:
        registered.register_kernel(kernel)
    ids = [kernel.session_id or kernel.kernel_id for kernel in kernels]

    async def read(inventory: MemoryInventory | SeriesInventory) -> list[Any]:
        lists = [await inventory.list_sessions(), await inventory.list_agents(), await inventory.list_kernels()]
        return [*lists, await inventory.find_sessions(ids), await inventory.find_agents(["i-1", "i-2", "i-3"])]

    async def compare() -> None:
        assert await read(registered) == await read(SeriesInventory(metrics, clock=lambda: NOW))

    asyncio.run(compare())
