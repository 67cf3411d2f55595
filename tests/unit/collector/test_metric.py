"""The stored values and moving statistics of raw values, and the sums of a session."""

from __future__ import annotations

import pytest

from statcore import MetricValue
from statcore.statistics import sum_kernels as sum_kernel_entries
from statcore_collector.metric import MovingStatistics, ObjectTracker, RawValue, sum_kernels

CAPACITIES = {"cpu_util": 1000, "mem": 9000}


def cpu(current: str, pct: str, **stats: str) -> MetricValue:
    """Return a value of `cpu_util`."""
    return MetricValue(current=current, capacity="1000", pct=pct, unit_hint="millicores", stats=stats)


def mem(current: str, pct: str, *, most: str) -> MetricValue:
    """Return a value of `mem`."""
    return MetricValue(current=current, capacity="9000", pct=pct, unit_hint="bytes", stats={"max": most})


def io(current: str, *, rate: str) -> MetricValue:
    """Return a value of `io_write`, which is the counter; its rate is a statistic."""
    return MetricValue(current=current, unit_hint="bytes", stats={"rate": rate})


def net(rate: str) -> MetricValue:
    """Return a value of `net_rx`, which is the rate of its counter."""
    return MetricValue(current=rate, unit_hint="bps")


@pytest.mark.parametrize(
    ("expected", "metric", "samples"),
    [
        pytest.param(cpu("0", "0", max="0", avg="0"), "cpu_util", [700], id="a first rate is 0, as agents write it"),
        pytest.param(cpu("500", "50", max="500", avg="500"), "cpu_util", [700, 1200], id="the first 0 has no statistics"),
        pytest.param(cpu("300", "30", max="900", avg="600"), "cpu_util", [0, 900, 1200], id="statistics of the rates"),
        pytest.param(mem("1000", "11.11", most="3000"), "mem", [3000, 1000], id="a gauge with its maximum"),
        pytest.param(io("100", rate="0"), "io_write", [100], id="a first rate of io"),
        pytest.param(io("500", rate="400"), "io_write", [100, 500], id="a rate of io"),
        pytest.param(io("10", rate="0"), "io_write", [1000, 2000, 10], id="io after a reset"),
        pytest.param(net("1000"), "net_rx", [1000, 2000], id="a rate of traffic"),
        pytest.param(net("0"), "net_rx", [1000, 2000, 10], id="traffic after a reset"),
        pytest.param(net("90"), "net_rx", [1000, 2000, 10, 100], id="the sample after that"),
        pytest.param(net("500"), "net_rx", [1000, None, 2000], id="the rate over a gap"),
    ],
)
def test_the_last_of_a_sample_a_second_is_stored_as(expected: MetricValue, metric: str, samples: list[int | None]) -> None:
    """None is a round in which the metric is unreadable."""
    tracker = ObjectTracker()
    stored = {}
    for time_s, value in enumerate(samples):
        raw = {} if value is None else {metric: RawValue(value, CAPACITIES.get(metric))}
        stored = tracker.observe(time_s, raw)
        assert set(raw) == set(stored)
    assert {metric: expected} == stored


def test_without_a_capacity_the_percentage_is_zero() -> None:
    """The wire format says `0.00`."""
    values = ObjectTracker().observe(0, {"mem": RawValue(3000)})
    assert (None, "0.00") == (values["mem"].capacity, values["mem"].pct)


def test_a_rate_is_per_second() -> None:
    """The time between two samples is what it really was."""
    tracker = ObjectTracker()
    tracker.observe(1, {"net_rx": RawValue(1000)})
    assert "500" == tracker.observe(3, {"net_rx": RawValue(2000)})["net_rx"].current


def test_a_session_of_one_kernel_is_that_kernel() -> None:
    """No value is computed again, and all statistics stay."""
    kernel = {"mem": MetricValue(current="5", unit_hint="bytes", stats={"max": "7"})}
    assert kernel == sum_kernels([kernel])


def test_a_session_is_the_sum_of_its_kernels() -> None:
    """Current values, capacities and rates are summed; `cpu_util` is the sum of percentages of one core."""
    first = {
        "cpu_util": MetricValue(
            current="250.5", capacity="1000", pct="25.05", unit_hint="millicores", stats={"max": "300"}
        ),
        "mem": MetricValue(current="100", capacity="1000", pct="10", unit_hint="bytes"),
        "io_write": MetricValue(current="100", unit_hint="bytes", stats={"rate": "10"}),
    }
    second = {
        "cpu_util": MetricValue(current="1000", capacity="1000", pct="100", unit_hint="millicores", stats={"max": "1000"}),
        "mem": MetricValue(current="500", capacity="1000", pct="50", unit_hint="bytes"),
        "io_write": MetricValue(current="50", unit_hint="bytes", stats={"rate": "2.5"}),
    }
    expected = {
        "cpu_util": MetricValue(current="1250.5", capacity="2000", pct="125.05", unit_hint="millicores"),
        "mem": MetricValue(current="600", capacity="2000", pct="30", unit_hint="bytes"),
        "io_write": MetricValue(current="150", unit_hint="bytes", stats={"rate": "12.5"}),
    }
    assert expected == sum_kernels([first, second])


def test_a_session_has_the_average_that_readers_would_sum() -> None:
    """The average of a sum is the sum of the averages; the maximum of a sum is not known."""
    kernels = [
        {"cpu_util": MetricValue(current=str(number), capacity="1000", stats={"avg": str(number), "max": "900"})}
        for number in (300, 500)
    ]
    assert {"avg": "800"} == sum_kernels(kernels)["cpu_util"].stats
    entry, _ = sum_kernel_entries([{"cpu_util": kernel["cpu_util"].to_map()} for kernel in kernels])
    assert {"cpu_util": sum_kernels(kernels)["cpu_util"].to_map()} == entry


def test_a_session_lacks_what_one_of_its_kernels_lacks() -> None:
    """A missing metric does not count as zero."""
    first = {
        "mem": MetricValue(current="100", unit_hint="bytes"),
        "io_write": MetricValue(current="100", unit_hint="bytes", stats={"rate": "10"}),
    }
    second = {"io_write": MetricValue(current="50", unit_hint="bytes")}
    expected = MetricValue(current="150", unit_hint="bytes")
    assert {"io_write": expected} == sum_kernels([first, second])


def test_two_samples_at_one_time_have_no_rate() -> None:
    """The difference exists, and nothing is divided by zero."""
    moving = MovingStatistics()
    moving.observe(10, 5)
    moving.observe(10, 13)
    assert 8 == moving.values()["diff"]
    assert "rate" not in moving.values()
