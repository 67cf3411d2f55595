"""Inventory from series: what exists and when, what labels mean, and which queries are sent."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from tests.unit.statistics.kernel_series import (
    NODES,
    NOW,
    SERIES,
    Recording,
    answering,
    id_of,
    inventory_at,
    kernel,
    scrape,
    scraped,
    session,
    sessions,
)

from statcore.errors import InputError, PartialAnswerError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.model.inventory import AgentRecord, KernelRecord, Page, SessionRecord
from statcore.plugins import PluginRegistry
from statcore.queriers import LabelMatcher
from statcore.runtime import Settings, open_runtime
from statcore.services import SeriesInventory
from statcore.testing.inventory import container_samples
from statcore_memory import MemoryMetrics


async def test_a_failed_scrape_hides_no_kernel() -> None:
    """It ends all series of its target, and the kernels are still listed."""
    metrics = scraped(kernel(1), kernel(2))
    scrape(metrics, kernel(1), kernel(2), seconds=range(15, 90, 15))
    scrape(metrics, seconds=[90])
    assert [session(kernel(1)), session(kernel(2))] == await sessions(inventory_at(metrics, after_s=95))
    assert ["i-1"] == list((await inventory_at(metrics, after_s=95).list_agents()).items)


async def test_a_kernel_that_ended_is_listed_for_the_lookback() -> None:
    """A kernel that goes on stays listed."""
    ended, going_on = kernel(1), kernel(2, agent_id="i-2")
    metrics = scraped(ended, going_on)
    scrape(metrics, ended, going_on, seconds=range(15, 165, 15))
    scrape(metrics, going_on, seconds=range(165, 600, 15))

    for lookback, after_s in (("5m", 464), ("1m", 224), (timedelta(seconds=8), 172)):
        earlier = inventory_at(metrics, after_s=after_s, lookback=lookback)
        assert [session(ended), session(going_on)] == await sessions(earlier), lookback
        assert ["i-1", "i-2"] == list((await earlier.list_agents()).items)
    for lookback, after_s in (("5m", 466), ("1m", 226), (timedelta(seconds=8), 174)):
        later = inventory_at(metrics, after_s=after_s, lookback=lookback)
        assert [session(going_on)] == await sessions(later), lookback
        assert ["i-2"] == list((await later.list_agents()).items)


async def test_a_new_kernel_is_listed_with_any_lookback() -> None:
    """The steps of a short lookback need not be whole milliseconds."""
    for lookback in ("1ms", "3ms", timedelta(milliseconds=1001), "100y"):
        assert [session(kernel(1))] == await sessions(inventory_at(scraped(kernel(1)), lookback=lookback))


@pytest.mark.parametrize("lookback", ["0s", "-5m", "soon", timedelta(0), timedelta(microseconds=1)])
def test_a_lookback_is_a_positive_duration(lookback: timedelta | str) -> None:
    """It has whole milliseconds."""
    with pytest.raises(InputError):
        inventory_at(MemoryMetrics(), lookback=lookback)


async def test_a_clock_without_a_zone_is_refused() -> None:
    """Its time would be ambiguous."""
    naive = SeriesInventory(scraped(kernel(1)), clock=lambda: NOW.replace(tzinfo=None))
    with pytest.raises(InputError, match="a time without a zone"):
        await naive.list_sessions()


async def test_a_kernel_is_known_by_any_metric() -> None:
    """No metric is there for every kernel. A capacity alone does not make a kernel, nor does a process."""
    metrics = MemoryMetrics()
    owners = [{label: owner or "undefined" for label, owner in kernel(number).labels.items()} for number in (1, 2, 3, 4)]
    samples = [
        (SERIES, {"container_metric_name": "mem", "value_type": "current", **owners[0]}, 1.0),
        (SERIES, {"container_metric_name": "cuda_util", "value_type": "current", **owners[1]}, float("nan")),
        (SERIES, {"container_metric_name": "mem", "value_type": "capacity", **owners[2]}, 1.0),
        ("backendai_process_utilization", {"value_type": "current", "pid": "1", **owners[3]}, 1.0),
    ]
    metrics.append_scrape(samples, target="agents", time=NOW)
    assert [session(kernel(1)), session(kernel(2))] == await sessions(inventory_at(metrics))


@pytest.mark.parametrize("missing", [{}, dict.fromkeys(["agent_id", "user_id", "project_id"], "")])
async def test_an_owner_without_a_label_is_none(missing: dict[str, str]) -> None:
    """Backends leave such a label out or return it as empty text."""
    some = KernelRecord(kernel_id=id_of(1), session_id=id_of(2))
    labels = {"kernel_id": id_of(1), "session_id": id_of(2), **missing}
    backend = answering(Series(labels=labels, timestamps=array("d", [0]), values=array("d", [0])))
    assert [session(some)] == await sessions(inventory_at(backend))
    assert Page(items=[], total_count=0) == await inventory_at(backend).list_agents()


async def test_labels_that_are_not_ids_count_as_unknown(caplog: pytest.LogCaptureFixture) -> None:
    """All of them are logged in one line for each call."""
    strange = [
        kernel(2, session_id="job 7\n"),
        kernel(3, session_id=id_of(0xABC).upper()),
        kernel(4, kernel_id="x" * 1000),
        *[kernel(number, user_id=f"user-{number}", project_id="p") for number in (5, 6, 7, 8)],
    ]
    inventory = inventory_at(scraped(kernel(1), *strange))

    page = await inventory.list_sessions()

    known = [kernel(number, user_id=None, project_id=None) for number in (5, 6, 7, 8)]
    nothing = SessionRecord(session_id=str(kernel(4).session_id))
    assert Page(items=[session(kernel(1)), nothing, *map(session, known)], total_count=6) == page
    unknown = "not ids and count as unknown, such as"
    assert [f"8 label values are {unknown} kernel_id '{'x' * 99}, project_id 'p', session_id '{id_of(0xABC).upper()}'"] == (
        caplog.messages
    )
    assert {logging.WARNING} == {record.levelno for record in caplog.records}


async def test_a_kernel_without_a_session_is_listed_by_itself() -> None:
    """It is in no session, and a page of kernels queries only its own kernels."""
    alone = kernel(2, session_id=None)
    backend = Recording(scraped(kernel(1), alone, kernel(3)).query_utilization)
    inventory = inventory_at(backend)

    assert Page(items=[kernel(1), alone, kernel(3)], total_count=3) == await inventory.list_kernels()
    assert [session(kernel(1)), session(kernel(3))] == await sessions(inventory)
    backend.queries.clear()
    assert Page(items=[alone], total_count=3) == await inventory.list_kernels(limit=1, offset=1)
    named = [labels.get("kernel_id") for labels, *_ in backend.queries]
    assert [None, LabelMatcher.one_of([alone.kernel_id])] == named


async def test_an_agent_without_kernels_is_known_by_its_node() -> None:
    """It is listed and found as agents with kernels are, and stays for the lookback."""
    metrics = scraped(kernel(1))
    labels = {"device_metric_name": "mem", "value_type": "current", "device_id": "root"}
    for agent_id, second in (("i-2", 0), ("i-2", 60), ("undefined", 60)):
        time = NOW + timedelta(seconds=second)
        metrics.append_scrape([(NODES, labels | {"agent_id": agent_id}, 1.0)], target=agent_id, time=time)
    inventory = inventory_at(metrics, after_s=70)

    assert Page(items=["i-1", "i-2"], total_count=2) == await inventory.list_agents()
    found = [AgentRecord(agent_id="i-2"), None, AgentRecord(agent_id="i-1")]
    assert found == await inventory.find_agents(["i-2", "i-3", "i-1"])
    assert [] == list((await inventory_at(metrics, after_s=3_600).list_agents()).items)


async def test_a_kernel_has_its_newest_owners() -> None:
    """It is listed once, even if its former agent goes on exporting it, or its series has just ended."""
    before, after = kernel(1), kernel(1, agent_id="i-0")
    metrics = MemoryMetrics()
    for second, exported in ((0, [before]), (120, [before, after]), (240, [before, after]), (300, [after])):
        for exported_kernel in exported:
            scrape(metrics, exported_kernel, seconds=[second], target=str(exported_kernel.agent_id))
    for after_s in (130, 250, 310):
        assert [session(after)] == await sessions(inventory_at(metrics, after_s=after_s))
    scrape(metrics, seconds=[301], target="i-1")
    scrape(metrics, after, seconds=range(360, 500, 60), target="i-0")
    for after_s in (310, 500):
        assert [session(after)] == await sessions(inventory_at(metrics, after_s=after_s))


async def test_a_page_queries_only_its_own_sessions() -> None:
    """Two queries have the same time range: one for the sessions, one for the kernels of those on the page."""
    backend = Recording(scraped(*map(kernel, range(1, 31))).query_utilization)
    ticks = (NOW + timedelta(seconds=second) for second in count())
    page = await SeriesInventory(backend, clock=lambda: next(ticks)).list_sessions(limit=3, offset=10)

    assert [session(kernel(number)) for number in (11, 12, 13)] == page.items
    time_range = QueryTimeRange(start=NOW - timedelta(minutes=5), end=NOW, step="75s")
    of_the_page = LabelMatcher.one_of(id_of(number * 10 + 1) for number in (11, 12, 13))
    owners = ["kernel_id", "session_id", "agent_id", "user_id", "project_id"]
    expected = [
        ({"value_type": "current"}, ["session_id"], time_range),
        ({"value_type": "current", "session_id": of_the_page}, owners, time_range),
    ]
    assert expected == [(labels, list(by), queried_range) for labels, by, queried_range in backend.queries]


async def test_all_objects_are_read_with_one_query() -> None:
    """Queries that name thousands of ids cost the backend much more than one without ids."""
    backend = Recording(scraped(*map(kernel, range(1, 31))).query_utilization)
    inventory = inventory_at(backend)

    assert [session(kernel(number)) for number in range(1, 31)] == (await inventory.list_sessions()).items
    assert [kernel(number) for number in range(1, 31)] == (await inventory.list_kernels()).items
    assert [{"value_type": "current"}] * 2 == [labels for labels, *_ in backend.queries]


async def test_sessions_are_queried_in_batches() -> None:
    """A batch has at most 256 ids, each id once; a few batches run at once."""
    ids = [id_of(number) for number in range(2_000)]
    backend = answering()
    found = await inventory_at(backend).find_sessions([*ids, *ids])
    assert [None] * 4_000 == found
    assert [256] * 7 + [208] == backend.ids_per_query()
    assert 4 == backend.most


async def test_bad_input_sends_no_query() -> None:
    """A call without ids sends nothing, either."""
    backend = answering()
    inventory = inventory_at(backend)
    assert [] == await inventory.find_sessions([])
    for list_page in (inventory.list_sessions, inventory.list_kernels, inventory.list_agents):
        with pytest.raises(InputError):
            await list_page(limit=-1)
        with pytest.raises(InputError):
            await list_page(offset=-1)
    with pytest.raises(InputError, match="'all'"):
        await inventory.find_sessions([id_of(1), "all"])
    assert [] == backend.queries


async def test_any_spelling_of_an_id_finds_its_session() -> None:
    """Other inventories find it, too."""
    record = kernel(1, session_id=id_of(0xABC))
    (found,) = await inventory_at(scraped(record)).find_sessions([id_of(0xABC).upper()])
    assert session(record) == found


async def test_series_of_other_sessions_are_ignored() -> None:
    """A backend may ignore matchers or grouping."""
    found = {"session_id": id_of(2), "kernel_id": id_of(1)}
    series = [Series(labels=labels, timestamps=array("d", [0]), values=array("d", [0])) for labels in (found, {})]
    assert [None] == await inventory_at(answering(*series)).find_sessions([id_of(3)])


async def test_series_without_samples_are_ignored() -> None:
    """Some backends return them."""
    labels = {label: str(owner) for label, owner in kernel(1).labels.items()}
    backend = answering(Series(labels=labels, timestamps=array("d"), values=array("d")))
    assert Page(items=[], total_count=0) == await inventory_at(backend).list_sessions()
    assert [None] == await inventory_at(backend).find_sessions([str(kernel(1).session_id)])


@pytest.mark.parametrize("method", ["list_sessions", "list_agents", "find_sessions"])
async def test_a_partial_answer_is_refused(method: str) -> None:
    """Objects that it lacks would seem not to exist."""
    ids = [[id_of(1)]] if method == "find_sessions" else []
    with pytest.raises(PartialAnswerError, match=r"the inventory is incomplete: store-2 is away; slow$"):
        await getattr(inventory_at(answering(warnings=("store-2 is away", "slow"))), method)(*ids)
    with pytest.raises(PartialAnswerError, match=r"the backend says that the answer is partial$"):
        await getattr(inventory_at(answering(partial=True)), method)(*ids)


@pytest.mark.parametrize("method", ["list_sessions", "list_agents", "find_sessions"])
async def test_an_unreachable_backend_raises_its_own_error(method: str) -> None:
    """It is not in an exception group, and the other queries are cancelled."""
    failures = iter([UnavailableError("refused", service="http://127.0.0.1:9090")])

    async def fail_once(*_: Any) -> MatrixResult:
        for failure in failures:
            raise failure
        await asyncio.Event().wait()
        raise AssertionError

    backend = Recording(fail_once)
    ids: list[Sequence[str]] = [[id_of(number) for number in range(2_000)]] if method == "find_sessions" else []
    with pytest.raises(UnavailableError, match=r"^refused$"):
        await getattr(inventory_at(backend), method)(*ids)
    assert 0 == backend.under_way


async def test_endpoints_are_unsupported() -> None:
    """Series do not name endpoints, and an empty answer would be wrong."""
    inventory = inventory_at(answering())
    with pytest.raises(UnsupportedError, match="the series of agents do not name inference endpoints"):
        await inventory.list_endpoints()
    with pytest.raises(UnsupportedError, match="an inventory of its own"):
        await inventory.find_endpoints([id_of(1)])


async def test_the_runtime_has_an_inventory_of_its_backend() -> None:
    """It lists what the opened backend has scraped."""
    settings = Settings(statistics_url="memory://", metrics_url="memory://")
    async with open_runtime(settings, PluginRegistry.discover()) as runtime:
        metrics: Any = runtime.metrics
        metrics.append_scrape(container_samples([kernel(1)]), target="agents", time=datetime.now(UTC))
        assert Page(items=[session(kernel(1))], total_count=1) == await runtime.inventory.list_sessions()
