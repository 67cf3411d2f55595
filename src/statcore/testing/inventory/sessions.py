"""Sessions with their kernels, and the agents that run the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import attrs

from statcore.model.inventory import SessionRecord
from statcore.ports.capabilities import as_port
from statcore.ports.inventory import InventoryPort, KernelInventoryPort, owner_inventory
from statcore.testing.expectations import expect
from statcore.testing.inventory.dataset import InventoryDataset, planted_id


def _sorted(sessions: Sequence[SessionRecord]) -> list[SessionRecord]:
    by_kernel, by_session = attrgetter("kernel_id"), attrgetter("session_id")
    inside = [attrs.evolve(session, kernels=tuple(sorted(session.kernels, key=by_kernel))) for session in sessions]
    return sorted(inside, key=by_session)


def _ids(sessions: Sequence[SessionRecord | None]) -> list[str | None]:
    return [None if session is None else session.session_id for session in sessions]


async def check_all_sessions_are_listed(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Each session is listed once, with all of its kernels and their owners; an owner that is not known is None."""
    page = await inventory.list_sessions()
    expect(len(planted.sessions), len(page.items), "the number of sessions")
    for expected, found in zip(_sorted(planted.sessions), _sorted(page.items), strict=True):
        expect(expected, found, "a session")


async def check_the_order_is_stable(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Every call returns sessions, kernels and agents in the same order; `find_sessions` keeps that of the kernels."""
    first = list((await inventory.list_sessions()).items)
    agents = list((await inventory.list_agents()).items)
    for _ in range(3):
        expect(first, list((await inventory.list_sessions()).items), "the sessions, listed again")
        expect(agents, list((await inventory.list_agents()).items), "the agents, listed again")
    found = await inventory.find_sessions([session.session_id for session in first])
    expect(first, list(found), f"the {len(planted.sessions)} sessions, found in the order in which they are listed")


async def check_sessions_are_found_in_the_order_asked(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """The answer has the session of each id in the order of the ids, for a few ids and for all at once."""
    backwards = planted.sessions[::-1]
    for expected in (backwards, backwards[:1], (backwards[5], backwards[2], backwards[9])):
        found = await inventory.find_sessions([session.session_id for session in expected])
        expect([session.session_id for session in expected], _ids(found), "the sessions found")
        for planted_session, session in zip(expected, found, strict=True):
            expect(_sorted([planted_session]), _sorted([session] if session else []), "a session found")


async def check_unknown_sessions_are_none(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """An id that is not the id of a session gives None at its position. No ids give an empty list."""
    known = planted.sessions[3].session_id
    ids = [planted_id("nothing", 1), known, planted.kernels[0].kernel_id, planted_id("nothing", 2)]
    found = await inventory.find_sessions(ids)
    expect([None, known, None, None], _ids(found), "one known session among unknown ones")
    expect([], list(await inventory.find_sessions([])), "the sessions of no ids")


async def check_duplicates_are_found_at_each_place(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """An id that recurs has its session at each of its places."""
    first, second = (session.session_id for session in planted.sessions[:2])
    unknown = planted_id("nothing", 1)
    ids = [first, second, first, unknown, first, unknown]
    found = await inventory.find_sessions(ids)
    expected = [first, second, first, None, first, None]
    expect(expected, _ids(found), "the sessions of ids that recur")


async def check_agents_are_listed_once(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """Each agent that runs kernels is listed once, under its unchanged name."""
    page = await inventory.list_agents()
    expect(planted.agent_ids, sorted(page.items), "the agents")


async def check_kernels_are_listed_if_at_all(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """An inventory that lists kernels by themselves lists each kernel once, with its owners.

    An `InventoryPort` need not have this method; a `KernelInventoryPort` has it.
    """
    if (lister := as_port(inventory, KernelInventoryPort)) is None:
        return
    by_kernel = attrgetter("kernel_id")
    kernels = list((await lister.list_kernels()).items)
    expect(sorted(planted.kernels, key=by_kernel), sorted(kernels, key=by_kernel), "the kernels")
    expect(kernels, list((await lister.list_kernels()).items), "the kernels, listed again")


async def check_owners_are_found_by_id_if_at_all(inventory: InventoryPort, planted: InventoryDataset) -> None:
    """An inventory that finds kernels and agents by id returns each with its owners, in order, and None for an unknown id.

    An `InventoryPort` need not have these methods; an `OwnerInventoryPort` has both.
    """
    expect(hasattr(inventory, "find_kernels"), hasattr(inventory, "find_agents"), "whether it finds agents as well")
    if (owners := owner_inventory(inventory)) is None:
        return
    first, *_, last = planted.kernels
    unknown = planted_id("nothing", 1)
    ids = [last.kernel_id, unknown, first.kernel_id, last.kernel_id]
    expect([last, None, first, last], list(await owners.find_kernels(ids)), "kernels, one of which is not known")
    everything = await owners.find_kernels([kernel.kernel_id for kernel in planted.kernels])
    expect(planted.kernels, list(everything), "all kernels")
    agents = [*planted.agent_ids[::-1], "no such agent", planted.agent_ids[0]] * 50
    found = [agent and agent.agent_id for agent in await owners.find_agents(agents)]
    expect([*planted.agent_ids[::-1], None, planted.agent_ids[0]] * 50, found, "agents, one of which is not known")
    expect([], list(await owners.find_kernels([])), "the kernels of no ids")
    expect([], list(await owners.find_agents([])), "the agents of no ids")
