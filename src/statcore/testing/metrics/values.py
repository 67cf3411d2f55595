"""Values of each strategy, over series with known samples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.utilization import NORMALIZATION_INTERVAL_S
from statcore.queriers.container import ContainerMetricQuerier
from statcore.queriers.interface import QueryStrategy
from statcore.testing.expectations import expect
from statcore.testing.metrics.comparison import between, expect_numbers, expect_points, querier_of, values_by
from statcore.testing.metrics.dataset import (
    GROWTH,
    INTERVAL_S,
    KERNEL_ID,
    MEM,
    NET_CAPACITY,
    ODD_NUMBERS,
    PERCENT_AGENT,
    SHARES,
    MetricDataset,
    percent_kernel,
)

_PER_SECOND: Final = GROWTH / INTERVAL_S
# Five minutes after the first sample and later the whole window holds samples.
_FIRST_S: Final = 600
_LAST_S: Final = 2_400


async def check_gauges_are_the_newest_sample(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A gauge has at each point the value of the newest sample that is not later."""
    result = await backend.query_utilization(querier_of("ramp"), between(dataset, 100, 700, step_s=10))
    expect_points([(dataset.at(s).timestamp(), s // INTERVAL_S) for s in range(100, 701, 10)], result)


async def check_values_are_exact(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """Every float comes back unchanged, to its last bit: NaN, infinities, the smallest and the largest; none becomes 0.

    The sign of zero may be lost: a sum of one number may add it to 0.
    """
    querier = querier_of("odd_numbers", group_by=["kind"])
    ranged = values_by("kind", await backend.query_utilization(querier, between(dataset, 60, 60, step_s=15)))
    instant = values_by("kind", await backend.query_utilization_now(querier, time=dataset.at(60)))
    for found in (ranged, instant):
        expect(_exact(ODD_NUMBERS), _exact(found), "odd numbers by their kind")


async def check_rates_are_per_second(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A rate is the increase per second over the window: text or a timedelta, five minutes by default."""
    querier = querier_of("counter", strategy=QueryStrategy.RATE)
    time_range = between(dataset, _FIRST_S, _LAST_S, step_s=37)
    expected = [(dataset.at(s).timestamp(), _PER_SECOND) for s in range(_FIRST_S, _LAST_S + 1, 37)]
    expect_points(expected, await backend.query_utilization(querier, time_range))
    for window in ("1m", "9m30s", timedelta(minutes=2)):
        expect_points(expected, await backend.query_utilization(querier, time_range, rate_interval=window))
    now = await backend.query_utilization_now(querier, time=dataset.at(_LAST_S), rate_interval="1m")
    expect_numbers([_PER_SECOND], [sample.value for sample in now.samples], "the rate at one instant")


async def check_rates_survive_a_counter_reset(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A counter that starts again from zero has the rate of what it counted, never a negative one."""
    querier = querier_of("reset", strategy=QueryStrategy.RATE)
    result = await backend.query_utilization(querier, between(dataset, _FIRST_S, _LAST_S, step_s=INTERVAL_S))
    times = range(_FIRST_S, _LAST_S + 1, INTERVAL_S)
    expect_points([(dataset.at(s).timestamp(), _PER_SECOND) for s in times], result)


async def check_rates_are_normalized_by_the_interval(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A normalized rate is the rate divided by the normalization interval, by default one second: bytes per second."""
    querier = querier_of("counter", strategy=QueryStrategy.RATE_NORMALIZED)
    expected = _PER_SECOND / NORMALIZATION_INTERVAL_S
    result = await backend.query_utilization(querier, between(dataset, _FIRST_S, _FIRST_S + 60, step_s=30))
    expect_points([(dataset.at(s).timestamp(), expected) for s in (_FIRST_S, _FIRST_S + 30, _FIRST_S + 60)], result)
    now = await backend.query_utilization_now(querier, time=dataset.at(_LAST_S))
    expect_numbers([expected], [sample.value for sample in now.samples], "the normalized rate at one instant")


async def check_one_sample_has_no_rate(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """A counter with one sample in the window has no rate: no series, neither zero nor the raw counter."""
    querier = querier_of("rare", strategy=QueryStrategy.RATE)
    time_range = between(dataset, 30, _LAST_S, step_s=60)
    expect((), (await backend.query_utilization(querier, time_range)).series, "rates of a counter sampled every 10 minutes")
    expect((), (await backend.query_utilization_now(querier, time=dataset.at(1_210))).samples, "its rate at one instant")
    wide = await backend.query_utilization_now(querier, time=dataset.at(_LAST_S), rate_interval="25m")
    expect_numbers([GROWTH / 600], [sample.value for sample in wide.samples], "its rate over 25 minutes")


async def check_capacities_are_gauges(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """The capacity of a counter is the stored value, not its rate, which would be zero."""
    cases = (
        ("cpu_util", "current", _PER_SECOND),
        ("net_rx", "current", _PER_SECOND / NORMALIZATION_INTERVAL_S),
        ("net_rx", "capacity", NET_CAPACITY),
        ("mem", "current", MEM),
    )
    for metric, value_type, expected in cases:
        querier = ContainerMetricQuerier(metric_name=metric, value_type=value_type, kernel_id=KERNEL_ID)
        result = await backend.query_utilization(querier, between(dataset, _FIRST_S, _FIRST_S, step_s=30))
        labels = {"kernel_id": KERNEL_ID, "value_type": value_type}
        expect_points([(dataset.at(_FIRST_S).timestamp(), expected)], result, labels=labels)


async def check_percent_is_of_the_capacity(backend: MetricQuerierPort, dataset: MetricDataset) -> None:
    """`pct` counts kernels with a capacity above 0: percentages of cores are added, other metrics are divided as sums."""
    time = dataset.at(_LAST_S)
    of_all = {"cpu_util": 150.0, "mem": 100 * 2 * MEM / (4 * MEM + 2 * MEM)}
    for metric, shares in SHARES.items():
        together = ContainerMetricQuerier(metric_name=metric, value_type="pct", agent_id=PERCENT_AGENT)
        (sample,) = (await backend.query_utilization_now(together, time=time)).samples
        expect({"agent_id": PERCENT_AGENT, "value_type": "pct"}, dict(sample.labels), f"the labels of the pct of {metric}")
        expect_numbers([of_all[metric]], [sample.value], f"the pct of {metric}")
        for number, share in enumerate(shares):
            alone = ContainerMetricQuerier(metric_name=metric, value_type="pct", kernel_id=percent_kernel(number))
            found = [sample.value for sample in (await backend.query_utilization_now(alone, time=time)).samples]
            expect_numbers([share] if share else [], found, f"the pct of {metric} of one kernel")


def _exact(numbers: Mapping[str, float]) -> dict[str, str]:
    """Return numbers as texts that differ when the numbers do; NaN is equal to itself, and the sign of zero is lost."""
    return {kind: repr(number + 0.0) for kind, number in numbers.items()}
