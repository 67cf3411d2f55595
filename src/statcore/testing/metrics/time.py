"""The times of the points and instants that a backend answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from statcore.ports.metrics import MetricQuerierPort
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, expect_points, in_ms, querier_of
from statcore.testing.metrics.dataset import ENDED_COUNT, FRACTION_S, INTERVAL_S, OWNERS, MetricDataset

_LOOKBACK_S: Final = 300
_CLOCKS_DIFFER: Final = timedelta(minutes=1)


async def check_points_lie_on_the_grid(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Points are at start, start + step, and so on, up to the end; a time without a sample has no point."""
    cases = ((601, 1_200.9, 20), (600, 600, 3_600), (0, 45, 15), (-100, 65, 40))
    for first, last, step in cases:
        result = await backend.query_utilization(querier_of("ramp"), between(dataset, first, last, step_s=step))
        times = [second for second in range(first, int(last) + 1, step) if second >= 0]
        expect_points([(dataset.at(second).timestamp(), second // INTERVAL_S) for second in times], result)


async def check_times_are_kept_to_the_millisecond(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Times have milliseconds: a sample counts from its own millisecond on, and not before."""
    result = await backend.query_utilization(querier_of("fraction"), between(dataset, 0.1, 0.2, step_s=0.004))
    milliseconds = [ms for ms in range(100, 201, 4) if ms >= FRACTION_S * 1000]
    expect_points([(dataset.at(ms / 1000).timestamp(), 3.0) for ms in milliseconds], result)
    at_it = await backend.query_utilization_now(querier_of("fraction"), time=dataset.at(FRACTION_S))
    expect([3.0], [sample.value for sample in at_it.samples], "the values at the sample's own millisecond")
    before = await backend.query_utilization_now(querier_of("fraction"), time=dataset.at(FRACTION_S - 0.001))
    expect((), before.samples, "the samples one millisecond before")


async def check_a_series_ends_after_the_lookback(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A sample counts for five minutes; after that its series is absent, until it has a newer sample."""
    last = INTERVAL_S * (ENDED_COUNT - 1)
    result = await backend.query_utilization(querier_of("ended"), between(dataset, last - 30, 2_400, step_s=29))
    times = [second for second in range(last - 30, 2_401, 29) if second < last + _LOOKBACK_S]
    expect_points([(dataset.at(second).timestamp(), 7.0) for second in times], result)
    for second, expected in ((last + _LOOKBACK_S - 1, [7.0]), (last + _LOOKBACK_S + 1, [])):
        now = await backend.query_utilization_now(querier_of("ended"), time=dataset.at(second))
        expect(expected, [sample.value for sample in now.samples], f"the values {second - last} s after the last sample")

    result = await backend.query_utilization(querier_of("rare"), between(dataset, 30, 2_400, step_s=60))
    times = [second for second in range(30, 2_401, 60) if second % 600 < _LOOKBACK_S]
    expect_points([(dataset.at(second).timestamp(), 1_000.0 + 30 * (second // 600)) for second in times], result)


async def check_long_ranges_are_answered_whole(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A range of more points than a server answers at once (11,000) is one answer, every point once and in order."""
    time_range = between(dataset, 100, 2_500, step_s=0.1)
    result = await backend.query_utilization(querier_of("ramp"), time_range)
    tenths = range(1_000, 25_001)
    expect_points([(dataset.at(tenth / 10).timestamp(), tenth // (10 * INTERVAL_S)) for tenth in tenths], result)


async def check_now_is_the_time_given(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """An instant is evaluated at the time given, in any zone; its samples have this time, to the millisecond."""
    for second, expected in ((0, 0.0), (14.999, 0.0), (1_000.5, 66.0), (2_400, 160.0)):
        time = dataset.at(second)
        result = await backend.query_utilization_now(querier_of("ramp"), time=time.astimezone())
        expect([expected], [sample.value for sample in result.samples], f"the values after {second} s")
        expect([0], [len(sample.labels) for sample in result.samples], f"the number of labels after {second} s")
        times = [in_ms(sample.timestamp) for sample in result.samples]
        expect([in_ms(time.timestamp())], times, f"the times in milliseconds after {second} s")
        expect(False, result.partial, f"whether the answer after {second} s is partial")  # noqa: FBT003 - the value expected


async def check_now_is_the_present_by_default(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Without a time an instant is evaluated at the backend's present."""
    before = max(datetime.now(UTC), dataset.end) - _CLOCKS_DIFFER
    result = await backend.query_utilization_now(querier_of("owners"))
    after = datetime.now(UTC) + _CLOCKS_DIFFER
    expect([sum(OWNERS.values())], [sample.value for sample in result.samples], "the values now")
    (sample,) = result.samples
    if not before.timestamp() <= sample.timestamp <= after.timestamp():
        raise AssertionError(f"the time of a sample now: expected {before} to {after}, got {sample.timestamp}")
