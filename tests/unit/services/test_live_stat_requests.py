"""What the service asks: how often, at which moment, how much at once, and what becomes of failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from tests.unit.services.live_backend import NOW, UUIDS, LiveBackend, kind_of

from statcore.errors import InputError, ProtocolError, UnavailableError
from statcore.model import StatisticsBatch
from statcore.promql import live_stat_queries, render
from statcore.services import KernelLiveStatService
from statcore.statistics import live_stat

IDS = [str(UUID(int=number)) for number in range(600)]
SIX = ("now", "rate_now", "max", "avg", "rate_max", "rate_avg")


def _mem(*kernels: str) -> dict[tuple[str, str, str], float]:
    return {(kernel, "mem", "current"): float(UUID(kernel).int) for kernel in kernels}


async def test_no_ids_ask_nothing() -> None:
    """Not even what time it is."""
    backend = LiveBackend()
    assert StatisticsBatch() == await KernelLiveStatService(backend).fetch_kernel_statistics([])
    assert [] == backend.asked


async def test_one_batch_is_the_six_expressions_at_the_time_that_the_backend_has() -> None:
    """The core has no clock; the window is the caller's."""
    backend = LiveBackend()
    await KernelLiveStatService(backend, window="90s").fetch_kernel_statistics(IDS[:2])
    queries = live_stat_queries(IDS[:2], window="90s")
    assert ("time()", None) == backend.asked[0]
    assert Counter((render(getattr(queries, name)), NOW) for name in SIX) == Counter(backend.asked[1:])


async def test_many_ids_are_asked_for_256_at_a_time_all_at_one_moment() -> None:
    """600 kernels are three batches of six expressions; the answers stand where they were asked for."""
    backend = LiveBackend(_mem(*IDS))
    batch = await KernelLiveStatService(backend).fetch_kernel_statistics(IDS)
    assert 1 + 3 * 6 == len(backend.asked)
    assert {NOW} == {time for _, time in backend.asked[1:]}
    named = [UUIDS.findall(text) for text, _ in backend.asked if kind_of(text) == "now"][1:]
    assert [88, 256, 256] == sorted(map(len, named))
    assert IDS == sorted(id_ for ids in named for id_ in ids)
    assert [str(number) for number in range(600)] == [entry["mem"]["current"] for entry in batch if entry]


async def test_a_given_time_is_used_as_it_is() -> None:
    """In UTC and to the millisecond, which is all that a server keeps; nobody asks for the server's now."""
    given = datetime(2026, 11, 22, 19, 0, 0, 124_600, tzinfo=timezone(timedelta(hours=9)))
    backend = LiveBackend()
    await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:1], time=given)
    assert [datetime(2026, 11, 22, 10, 0, 0, 125_000, tzinfo=UTC)] * 6 == [time for _, time in backend.asked]


@pytest.mark.parametrize(
    ("ids", "time"),
    [([IDS[0], "no id"], NOW), ([IDS[0], ""], None), ([IDS[0]], datetime(2026, 11, 22))],  # noqa: DTZ001 - refused
)
async def test_bad_input_is_refused_before_anything_is_asked(ids: list[str], time: datetime | None) -> None:
    """An id that is not one, and a time without a zone."""
    backend = LiveBackend()
    with pytest.raises(InputError):
        await KernelLiveStatService(backend).fetch_kernel_statistics(ids, time=time)
    assert [] == backend.asked


@pytest.mark.parametrize("window", ["0s", "5 minutes", "", timedelta(0)])
def test_a_bad_window_is_refused_at_once(window: Any) -> None:
    """When the service is built, not when it is first asked."""
    with pytest.raises(InputError, match="duration"):
        KernelLiveStatService(LiveBackend(), window=window)


async def test_each_kernel_is_asked_for_once_and_stands_at_every_place() -> None:
    """In whichever spelling, and in the order asked; what has no samples is None and no problem."""
    backend = LiveBackend(_mem(IDS[1], IDS[2]))
    asked = [IDS[2], UUID(IDS[1]), IDS[3], IDS[2].replace("-", ""), IDS[2]]
    batch = await KernelLiveStatService(backend).fetch_kernel_statistics(asked)
    assert ["2", "1", None, "2", "2"] == [entry and entry["mem"]["current"] for entry in batch]
    assert {} == batch.problems
    assert [3] * 6 == [len(UUIDS.findall(text)) for text, _ in backend.asked[1:]]


async def test_six_questions_are_on_their_way_at_once_and_no_more() -> None:
    """However many there are: eighteen, of which the others wait for an answer."""
    running, most, answered = 0, 0, asyncio.Event()

    async def hang(promql: str) -> None:
        nonlocal running, most
        if promql == "time()":
            return
        running += 1
        most = max(most, running)
        await answered.wait()
        running -= 1

    backend = LiveBackend(before=hang)
    task = asyncio.create_task(KernelLiveStatService(backend).fetch_kernel_statistics(IDS))
    for _ in range(100):  # turns of the event loop, far more than it takes
        await asyncio.sleep(0)
    assert 6 == running
    answered.set()
    await task
    assert (6, 1 + 18) == (most, len(backend.asked))


async def test_a_failing_question_is_a_plain_error() -> None:
    """The backend's own with its own cause, in no group of errors; what else is on its way is cancelled and waited for."""
    cause = ConnectionResetError("reset")
    cancelled: list[str] = []

    async def fail(promql: str) -> None:
        if promql == "time()":
            return
        if kind_of(promql) == "rate_avg":
            raise UnavailableError("down", service="prometheus") from cause
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(kind_of(promql))

    with pytest.raises(UnavailableError, match="down") as caught:
        await KernelLiveStatService(LiveBackend(before=fail)).fetch_kernel_statistics(IDS[:10])
    assert cause is caught.value.__cause__
    assert sorted(SIX[:5]) == sorted(cancelled)


async def test_a_cancelled_read_cancels_its_questions() -> None:
    """And the caller gets `CancelledError`."""
    begun, cancelled = asyncio.Semaphore(0), list[str]()

    async def hang(promql: str) -> None:
        if promql == "time()":
            return
        begun.release()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(kind_of(promql))

    backend = LiveBackend(before=hang)
    task = asyncio.create_task(KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:10]))
    for _ in SIX:
        await begun.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(SIX) == sorted(cancelled)


async def test_one_failing_batch_fails_the_read() -> None:
    """A backend that cannot answer for some kernels is no reason to say that these have no data."""

    async def fail(promql: str) -> None:
        if IDS[599] in promql and kind_of(promql) == "rate_avg":
            raise UnavailableError("down", service="prometheus")

    with pytest.raises(UnavailableError, match="down"):
        await KernelLiveStatService(LiveBackend(_mem(*IDS), before=fail)).fetch_kernel_statistics(IDS)


@pytest.mark.parametrize("clock", [(), (1.0, 2.0), (float("nan"),), (float("inf"),), (1e300,)])
async def test_what_is_no_time_is_no_answer_to_what_time_it_is(clock: tuple[float, ...]) -> None:
    """No sample, two, or one that is no time at all."""
    backend = LiveBackend(clock=clock)
    with pytest.raises(ProtocolError, match=r"one sample for time\(\)"):
        await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:1])
    assert ["time()"] == [text for text, _ in backend.asked]


@pytest.mark.parametrize("labels", [{"kernel_id": IDS[9]}, {}, {"kernel_id": IDS[0].replace("-", "")}])
async def test_a_kernel_that_was_not_asked_for_is_no_answer(labels: dict[str, str]) -> None:
    """Nobody's numbers are shown as somebody's."""
    backend = LiveBackend(_mem(IDS[0]), more=({"container_metric_name": "mem", **labels},))
    with pytest.raises(ProtocolError, match="which was not asked for"):
        await KernelLiveStatService(backend).fetch_kernel_statistics(IDS[:2])


async def test_others_get_their_turns_while_much_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one turn six expressions are written, or one answer is sorted, or a few kernels are put together, and no more."""
    turn = 0
    done: Counter[tuple[int, str]] = Counter()

    def counted(name: str, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            done[turn, name] += 1
            return original(*args, **kwargs)

        return call

    for name in ("batch_queries", "group_samples"):
        monkeypatch.setattr(live_stat, name, counted(name, getattr(live_stat, name)))
    monkeypatch.setattr(live_stat.LiveSamples, "entry", counted("entry", live_stat.LiveSamples.entry))
    reading = asyncio.create_task(KernelLiveStatService(LiveBackend(_mem(*IDS))).fetch_kernel_statistics(IDS))
    while not reading.done():
        await asyncio.sleep(0)
        turn += 1
    assert {"batch_queries": 3, "group_samples": 18, "entry": 600} == Counter(name for _, name in done.elements())
    most = {name: max(count for (_, other), count in done.items() if other == name) for _, name in done}
    assert {"batch_queries": 1, "group_samples": 1, "entry": 32} == most
