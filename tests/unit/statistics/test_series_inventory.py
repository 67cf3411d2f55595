"""Inventory from series: what exists and when, what labels mean, and which queries are sent."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import attrs
import pytest
from tests.unit.statistics.kernel_series import (
    NOW,
    SERIES,
    Recording,
    answering,
    id_of,
    kernel,
    looking,
    scrape,
    scraped,
    session,
    sessions,
)

from statcore.errors import InputError, PartialAnswerError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.model.inventory import KernelRecord, Page, SessionRecord
from statcore.plugins import PluginRegistry
from statcore.queriers import LabelMatcher
from statcore.runtime import Settings, open_runtime
from statcore.services import SeriesInventory
from statcore.testing.inventory import container_samples
from statcore_memory import MemoryMetrics


async def test_a_scrape_that_fails_hides_nothing() -> None:
    """All series of its target end with it, and the kernels are still told."""
    metrics = scraped(kernel(1), kernel(2))
    scrape(metrics, kernel(1), kernel(2), seconds=range(15, 90, 15))
    scrape(metrics, seconds=[90])
    assert [session(kernel(1)), session(kernel(2))] == await sessions(looking(metrics, after_s=95))
    assert ["i-1"] == list((await looking(metrics, after_s=95).list_agents()).items)


async def test_what_has_ended_is_told_for_as_long_as_the_lookback() -> None:
    """And what goes on, on."""
    ended, going_on = kernel(1), kernel(2, agent_id="i-2")
    metrics = scraped(ended, going_on)
    scrape(metrics, ended, going_on, seconds=range(15, 165, 15))
    scrape(metrics, going_on, seconds=range(165, 600, 15))

    for lookback, after_s in (("5m", 464), ("1m", 224), (timedelta(seconds=8), 172)):
        earlier = looking(metrics, after_s=after_s, lookback=lookback)
        assert [session(ended), session(going_on)] == await sessions(earlier), lookback
        assert ["i-1", "i-2"] == list((await earlier.list_agents()).items)
    for lookback, after_s in (("5m", 466), ("1m", 226), (timedelta(seconds=8), 174)):
        later = looking(metrics, after_s=after_s, lookback=lookback)
        assert [session(going_on)] == await sessions(later), lookback
        assert ["i-2"] == list((await later.list_agents()).items)


async def test_the_present_is_looked_at_however_short_the_lookback() -> None:
    """A kernel that has just come is told, even where the steps are not whole milliseconds."""
    for lookback in ("1ms", "3ms", timedelta(milliseconds=1001), "100y"):
        assert [session(kernel(1))] == await sessions(looking(scraped(kernel(1)), lookback=lookback))


@pytest.mark.parametrize("lookback", ["0s", "-5m", "soon", timedelta(0), timedelta(microseconds=1)])
def test_a_lookback_is_a_positive_duration(lookback: timedelta | str) -> None:
    """Of whole milliseconds."""
    with pytest.raises(InputError):
        looking(MemoryMetrics(), lookback=lookback)


async def test_a_clock_without_a_zone_is_refused() -> None:
    """Its time could be any."""
    naive = SeriesInventory(scraped(kernel(1)), clock=lambda: NOW.replace(tzinfo=None))
    with pytest.raises(InputError, match="a time without a zone"):
        await naive.list_sessions()


async def test_a_kernel_is_known_by_any_metric() -> None:
    """Not all that an agent knows of one it knows of all; capacities alone are no kernel, nor are processes."""
    metrics = MemoryMetrics()
    owners = [
        {label: owner or "undefined" for label, owner in attrs.asdict(kernel(number)).items()} for number in (1, 2, 3, 4)
    ]
    samples = [
        (SERIES, {"container_metric_name": "mem", "value_type": "current", **owners[0]}, 1.0),
        (SERIES, {"container_metric_name": "cuda_util", "value_type": "current", **owners[1]}, float("nan")),
        (SERIES, {"container_metric_name": "mem", "value_type": "capacity", **owners[2]}, 1.0),
        ("backendai_process_utilization", {"value_type": "current", "pid": "1", **owners[3]}, 1.0),
    ]
    metrics.append_scrape(samples, target="agents", time=NOW)
    assert [session(kernel(1)), session(kernel(2))] == await sessions(looking(metrics))


async def test_an_owner_that_is_not_known_is_none() -> None:
    """A kernel without a session is in none, and one without an id is no kernel."""
    some = kernel(1, agent_id=None, user_id=None, project_id=None)
    metrics = scraped(some, kernel(2, session_id=None), attrs.evolve(some, kernel_id="undefined"))
    assert [session(some)] == await sessions(looking(metrics))
    assert ["i-1"] == list((await looking(metrics).list_agents()).items)


@pytest.mark.parametrize("missing", [{}, dict.fromkeys(["agent_id", "user_id", "project_id"], "")])
async def test_a_label_that_is_missing_is_an_owner_that_is_not_known(missing: dict[str, str]) -> None:
    """Whether a backend leaves it out or gives it as empty."""
    some = KernelRecord(kernel_id=id_of(1), session_id=id_of(2))
    labels = {"kernel_id": id_of(1), "session_id": id_of(2), **missing}
    backend = answering(Series(labels=labels, timestamps=array("d", [0]), values=array("d", [0])))
    assert [session(some)] == await sessions(looking(backend))
    assert Page(items=[], total_count=0) == await looking(backend).list_agents()


async def test_labels_that_are_no_ids_break_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """They are taken for unknown, and told in the log in a line each time, however many they are."""
    strange = [
        kernel(2, session_id="job 7\n"),
        kernel(3, session_id=id_of(0xABC).upper()),
        kernel(4, kernel_id="x" * 1000),
        *[kernel(number, user_id=f"user-{number}", project_id="p") for number in (5, 6, 7, 8)],
    ]
    inventory = looking(scraped(kernel(1), *strange))

    page = await inventory.list_sessions()

    known = [kernel(number, user_id=None, project_id=None) for number in (5, 6, 7, 8)]
    nothing = SessionRecord(session_id=str(kernel(4).session_id))
    assert Page(items=[session(kernel(1)), nothing, *map(session, known)], total_count=6) == page
    unknown = "not ids and count as unknown, such as"
    expected = [
        f"2 label values are {unknown} session_id '{id_of(0xABC).upper()}', session_id 'job 7\\n'",
        f"6 label values are {unknown} kernel_id '{'x' * 99}, project_id 'p', user_id 'user-5'",
    ]
    assert expected == caplog.messages
    assert {logging.WARNING} == {record.levelno for record in caplog.records}


async def test_a_kernel_whose_owners_change_has_the_newer() -> None:
    """It is told once, though the agent that had it before goes on exporting it, or its series has ended just now."""
    before, after = kernel(1), kernel(1, agent_id="i-0")
    metrics = MemoryMetrics()
    for second, exported in ((0, [before]), (120, [before, after]), (240, [before, after]), (300, [after])):
        for one in exported:
            scrape(metrics, one, seconds=[second], target=str(one.agent_id))
    for after_s in (130, 250, 310):
        assert [session(after)] == await sessions(looking(metrics, after_s=after_s))
    scrape(metrics, seconds=[301], target="i-1")
    scrape(metrics, after, seconds=range(360, 500, 60), target="i-0")
    for after_s in (310, 500):
        assert [session(after)] == await sessions(looking(metrics, after_s=after_s))


async def test_a_page_asks_for_its_own_sessions_alone() -> None:
    """Two questions about one and the same time: which sessions there are, and the kernels of those on the page."""
    backend = Recording(scraped(*map(kernel, range(1, 31))).query_utilization)
    ticks = (NOW + timedelta(seconds=second) for second in count())
    page = await SeriesInventory(backend, clock=lambda: next(ticks)).list_sessions(limit=3, offset=10)

    assert [session(kernel(number)) for number in (11, 12, 13)] == page.items
    time_range = QueryTimeRange(start=NOW - timedelta(minutes=5), end=NOW, step="75s")
    wanted = LabelMatcher.one_of(id_of(number * 10 + 1) for number in (11, 12, 13))
    owners = ["session_id", "kernel_id", "agent_id", "user_id", "project_id"]
    expected = [
        ({"value_type": "current"}, ["session_id"], time_range),
        ({"value_type": "current", "session_id": wanted}, owners, time_range),
    ]
    assert expected == [(labels, list(by), asked) for labels, by, asked in backend.asked]


async def test_many_sessions_are_asked_for_in_batches() -> None:
    """Of 256 ids at most, each id once, a few batches at a time."""
    ids = [id_of(number) for number in range(2_000)]
    backend = answering()
    found = await looking(backend).find_sessions([*ids, *ids])
    assert [None] * 4_000 == found
    assert [256] * 7 + [208] == backend.ids_asked()
    assert 4 == backend.most


async def test_nothing_is_asked_in_vain() -> None:
    """No ids, a page that cannot be, and what is no id send no question."""
    backend = answering()
    inventory = looking(backend)
    assert [] == await inventory.find_sessions([])
    for list_page in (inventory.list_sessions, inventory.list_agents):
        with pytest.raises(InputError):
            await list_page(limit=-1)
        with pytest.raises(InputError):
            await list_page(offset=-1)
    with pytest.raises(InputError, match="'all'"):
        await inventory.find_sessions([id_of(1), "all"])
    assert [] == backend.asked


async def test_any_spelling_of_an_id_finds_its_session() -> None:
    """As in the other inventories."""
    one = kernel(1, session_id=id_of(0xABC))
    (found,) = await looking(scraped(one)).find_sessions([id_of(0xABC).upper()])
    assert session(one) == found


async def test_series_that_were_not_asked_for_are_nothing() -> None:
    """A backend that ignores matchers, or groups by nothing, adds no session."""
    found = {"session_id": id_of(2), "kernel_id": id_of(1)}
    series = [Series(labels=labels, timestamps=array("d", [0]), values=array("d", [0])) for labels in (found, {})]
    assert [None] == await looking(answering(*series)).find_sessions([id_of(3)])


async def test_series_without_a_point_are_nothing() -> None:
    """Not every backend leaves them out."""
    labels = {label: str(owner) for label, owner in attrs.asdict(kernel(1)).items()}
    backend = answering(Series(labels=labels, timestamps=array("d"), values=array("d")))
    assert Page(items=[], total_count=0) == await looking(backend).list_sessions()
    assert [None] == await looking(backend).find_sessions([str(kernel(1).session_id)])


@pytest.mark.parametrize("ask", ["list_sessions", "list_agents", "find_sessions"])
async def test_an_answer_that_may_lack_something_is_refused(ask: str) -> None:
    """What is missing would read as not existing."""
    ids = [[id_of(1)]] if ask == "find_sessions" else []
    with pytest.raises(PartialAnswerError, match=r"the inventory is incomplete: store-2 is away; slow$"):
        await getattr(looking(answering(warnings=("store-2 is away", "slow"))), ask)(*ids)
    with pytest.raises(PartialAnswerError, match=r"the backend says that the answer is partial$"):
        await getattr(looking(answering(partial=True)), ask)(*ids)


@pytest.mark.parametrize("ask", ["list_sessions", "list_agents", "find_sessions"])
async def test_a_backend_that_is_away_is_told_as_it_is(ask: str) -> None:
    """The error is the backend's own, and not a group of errors; other questions are not left on their way."""

    async def fail(*_: Any) -> MatrixResult:
        raise UnavailableError("refused", service="http://127.0.0.1:9090")

    backend = Recording(fail)
    ids: list[Sequence[str]] = [[id_of(number) for number in range(2_000)]] if ask == "find_sessions" else []
    with pytest.raises(UnavailableError, match=r"^refused$"):
        await getattr(looking(backend), ask)(*ids)
    assert 0 == backend.under_way


async def test_endpoints_are_unsupported() -> None:
    """No series tells of them, and none would be a lie."""
    inventory = looking(answering())
    with pytest.raises(UnsupportedError, match="series do not name inference endpoints"):
        await inventory.list_endpoints()
    with pytest.raises(UnsupportedError, match="use another inventory"):
        await inventory.find_endpoints([id_of(1)])


async def test_the_runtime_has_an_inventory_of_its_backend() -> None:
    """What the backend that it opened has scraped by now exists."""
    settings = Settings(statistics_url="memory://", metrics_url="memory://")
    async with open_runtime(settings, PluginRegistry.discover()) as runtime:
        metrics: Any = runtime.metrics
        metrics.append_scrape(container_samples([kernel(1)]), target="agents", time=datetime.now(UTC))
        assert Page(items=[session(kernel(1))], total_count=1) == await runtime.inventory.list_sessions()
