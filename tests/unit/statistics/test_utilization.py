"""`UtilizationSource`: few requests for many queriers, a few at a time, and one outcome per querier."""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from tests.support.turns import counting_turns

from statcore.errors import (
    InputError,
    PluginError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)
from statcore.model import MatrixResult, QueryTimeRange, Sample, Series, VectorResult
from statcore.queriers import UtilizationMetricQuerier, resolve
from statcore.queriers.coalescing import coalesce_queries
from statcore.statistics import UtilizationSource, utilization
from statcore.testing.queriers import FixedQuerier

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RANGE = QueryTimeRange(start=NOW, end=NOW, step="1m")


@attrs.define(kw_only=True)
class RecordingMetrics:
    """A `MetricQuerierPort` that answers with one series per host of a query, and records the queries."""

    before: Callable[[list[str]], Awaitable[None]] | None = None
    also: tuple[str, ...] = ()
    calls: list[tuple[list[str], Any]] = attrs.field(factory=list)

    async def query_utilization(
        self, querier: UtilizationMetricQuerier, time_range: QueryTimeRange, /, *, rate_interval: object = None
    ) -> MatrixResult:
        """Answer each host with its own value."""
        hosts = await self.record(querier, (time_range, rate_interval))
        found = [(host, array("d", [60.0]), array("d", [ord(host)])) for host in hosts]
        return MatrixResult(
            series=tuple(Series(labels={"host": host}, timestamps=times, values=values) for host, times, values in found)
        )

    async def query_utilization_now(
        self, querier: UtilizationMetricQuerier, /, *, time: object = None, rate_interval: object = None
    ) -> VectorResult:
        """Answer each host with its own value."""
        hosts = await self.record(querier, (time, rate_interval))
        return VectorResult(samples=tuple(Sample(labels={"host": host}, timestamp=60.0, value=ord(host)) for host in hosts))

    async def record(self, querier: UtilizationMetricQuerier, when: object) -> list[str]:
        """Record the query; return its hosts, and the additional ones."""
        matcher = resolve(querier).labels["host"]
        hosts = list(matcher.alternatives or [matcher.value])
        self.calls.append((hosts, when))
        if self.before:
            await self.before(hosts)
        return [*hosts, *self.also]

    def __getattr__(self, name: str) -> Any:
        """Return the other methods of the port, which no test calls."""
        raise AttributeError(name)


def host(name: str) -> FixedQuerier:
    """Return a querier for a host."""
    return FixedQuerier("up", {"host": name}, group_by=["host"])


def hosts(names: str) -> list[FixedQuerier]:
    """Return a querier for each letter."""
    return [host(name) for name in names]


def shown(outcomes: Any) -> list[Any]:
    """Return the hosts of each answer as text, and errors as they are."""
    return [
        "".join(item.labels["host"] for item in (outcome.samples if isinstance(outcome, VectorResult) else outcome.series))
        if not isinstance(outcome, StatcoreError)
        else outcome
        for outcome in outcomes
    ]


async def test_one_request_answers_many_queriers() -> None:
    """Answers are in order, also of equal queriers, over a range and now; times and interval reach the backend."""
    metrics = RecordingMetrics()
    source = UtilizationSource(metrics)
    assert ["c", "a", "b", "a"] == shown(await source.read_utilization_batch(hosts("caba"), RANGE, rate_interval="1m"))
    assert ["c", "a", "b", "a"] == shown(await source.read_utilization_now_batch(hosts("caba"), time=NOW))
    assert ["b"] == shown(await source.read_utilization_now_batch(hosts("b")))
    assert [(["a", "b", "c"], (RANGE, "1m")), (["a", "b", "c"], (NOW, "5m")), (["b"], (None, "5m"))] == metrics.calls


async def test_no_queriers_make_no_request() -> None:
    """Over a range and now."""
    metrics = RecordingMetrics()
    assert [] == await UtilizationSource(metrics).read_utilization_batch([], RANGE)
    assert [] == await UtilizationSource(metrics).read_utilization_now_batch([])
    assert [] == metrics.calls


async def test_a_failed_request_is_the_outcome_of_its_members() -> None:
    """The others are answered."""
    refused = QueryRejectedError("too many samples")

    async def fail(hosts: list[str]) -> None:
        if "c" in hosts:
            raise refused

    metrics = RecordingMetrics(before=fail)
    outcomes = await UtilizationSource(metrics, max_values=2).read_utilization_batch(hosts("abcde"), RANGE)
    assert ["a", "b", refused, refused, "e"] == shown(outcomes)
    assert [["a", "b"], ["c", "d"], ["e"]] == [names for names, _ in metrics.calls]


@pytest.mark.parametrize("error", [TimedOutError("too slow", timeout_s=1), UnavailableError("gone")])
async def test_a_backend_that_does_not_answer_gets_no_further_request(error: StatcoreError) -> None:
    """Each request would wait for its own deadline; the remaining queriers have the same outcome."""

    async def never_answer(_: list[str]) -> None:
        await asyncio.sleep(0)
        raise error

    metrics = RecordingMetrics(before=never_answer)
    outcomes = await UtilizationSource(metrics, max_values=1).read_utilization_now_batch(hosts("abcdefghijkl"))
    assert [error] * 12 == list(outcomes)
    assert list("abcd") == [name for (name,), _ in metrics.calls]


async def test_an_answer_with_a_series_of_no_member_is_an_error_of_all() -> None:
    """A querier alone takes the answer as it is."""
    metrics = RecordingMetrics(also=("z",))
    outcomes = await UtilizationSource(metrics, max_values=2).read_utilization_now_batch(hosts("abc"))
    assert [ProtocolError, ProtocolError, VectorResult] == list(map(type, outcomes))


async def test_a_broken_querier_is_an_error_at_its_own_position() -> None:
    """This includes a querier with bad input; the others share a request."""
    metrics = RecordingMetrics()
    bad_value: Any = {"host": 5}
    broken = [host("a"), FixedQuerier(""), host("\ud800"), host("b"), FixedQuerier("up", bad_value, group_by=["host"])]
    outcomes = await UtilizationSource(metrics).read_utilization_batch(broken, RANGE)
    expected = [MatrixResult, PluginError, InputError, MatrixResult, PluginError]
    assert expected == list(map(type, outcomes))
    assert [["a", "b"]] == [names for names, _ in metrics.calls]


async def test_a_few_requests_at_once() -> None:
    """Four run at once; another begins as soon as one is answered, and answers stay in order."""
    begun: asyncio.Queue[str] = asyncio.Queue()
    gates = {name: asyncio.Event() for name in "abcdef"}

    async def wait(hosts: list[str]) -> None:
        begun.put_nowait(hosts[0])
        await gates[hosts[0]].wait()

    source = UtilizationSource(RecordingMetrics(before=wait), max_values=1)
    reading = asyncio.create_task(source.read_utilization_batch(hosts("abcdef"), RANGE))
    assert ["a", "b", "c", "d"] == [await begun.get() for _ in range(4)]
    await let_others_run()
    assert begun.empty()
    for name, following in zip("db", "ef", strict=True):
        gates[name].set()
        assert following == await begun.get()
    for gate in gates.values():
        gate.set()
    assert list("abcdef") == shown(await reading)


async def let_others_run() -> None:
    """Give every task that can run enough turns."""
    for _ in range(10):
        await asyncio.sleep(0)


@attrs.define
class Stopping:
    """Requests that hang, except that the request for host `b` raises once the others have begun."""

    how: BaseException
    begun: list[str] = attrs.field(factory=list)
    ended: list[str] = attrs.field(factory=list)
    all_there: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, hosts: list[str]) -> None:
        """Hang or raise."""
        self.begun += hosts
        if len(self.begun) == 4:
            self.all_there.set()
        try:
            await self.all_there.wait()
            if hosts == ["b"]:
                raise self.how
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up takes a turn
            self.ended += hosts


@pytest.mark.parametrize("error", [RuntimeError("planted"), asyncio.CancelledError()], ids=repr)
async def test_a_foreign_error_is_raised(error: BaseException) -> None:
    """So is a cancellation. The other requests are cancelled and have ended before, and no further request begins."""
    error.__cause__ = KeyError("why")
    stopping = Stopping(error)
    source = UtilizationSource(RecordingMetrics(before=stopping), max_values=1)
    with pytest.raises(type(error)) as caught:
        await source.read_utilization_batch(hosts("abcdef"), RANGE)
    assert isinstance(error, asyncio.CancelledError) or error is caught.value
    assert list("abcd") == sorted(stopping.ended) == stopping.begun
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_many_queriers_do_not_hold_up_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tasks get their turns while queriers are resolved, and another thread coalesces."""
    merging = list[tuple[threading.Thread, int]]()
    names = [chr(0x4E00 + number) for number in range(1000)]
    async with counting_turns() as turns:

        def watched(*args: Any, **kwargs: Any) -> Any:
            merging.append((threading.current_thread(), turns.count))
            return coalesce_queries(*args, **kwargs)

        monkeypatch.setattr(utilization, "coalesce_queries", watched)
        outcomes = await UtilizationSource(RecordingMetrics()).read_utilization_now_batch(list(map(host, names)))
    assert names == shown(outcomes)
    ((thread, turns_before),) = merging
    assert 7 <= turns_before
    assert threading.main_thread() is not thread


@pytest.mark.parametrize("max_values", [0, -1, 1.5, "256", True])
def test_a_request_names_at_least_one_value(max_values: Any) -> None:
    """The message names the setting."""
    with pytest.raises(InputError, match="max_values must be a whole number of at least 1"):
        UtilizationSource(RecordingMetrics(), max_values=max_values)
