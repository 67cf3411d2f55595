"""What the inventory that series tell asks of its backend, and what it makes of the answers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import attrs
import pytest
from tests.unit.services.kernel_series import (
    NOW,
    Recording,
    answering,
    id_of,
    kernel,
    looking,
    scraped,
    session,
)

from statcore.errors import InputError, PartialAnswerError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.model.inventory import Page
from statcore.plugins import PluginRegistry
from statcore.queriers import LabelMatcher
from statcore.runtime import Settings, open_runtime
from statcore.services import SeriesInventory
from statcore.testing.inventory import container_samples


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
