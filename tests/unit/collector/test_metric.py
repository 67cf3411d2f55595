"""The stored values and moving statistics of raw values, and the sums of a session."""

from __future__ import annotations

from statcore import MetricValue
from statcore.statistics import sum_kernels as sum_kernel_entries
from statcore_collector.metric import MovingStatistics, ObjectTracker, RawValue, sum_kernels


def test_a_rate_is_zero_until_there_are_two_samples() -> None:
    """Agents do the same; that zero does not count in average and maximum."""
    tracker = ObjectTracker()
    expected = MetricValue(current="0", capacity="1000", pct="0", unit_hint="millicores", stats={"max": "0", "avg": "0"})
    assert {"cpu_util": expected} == tracker.observe(0, {"cpu_util": RawValue(700, 1000)})
    expected = MetricValue(
        current="250", capacity="1000", pct="25", unit_hint="millicores", stats={"max": "250", "avg": "250"}
    )
    assert {"cpu_util": expected} == tracker.observe(2, {"cpu_util": RawValue(1200, 1000)})


def test_statistics_of_cpu_util_are_those_of_its_rates() -> None:
    """Average and maximum are of the stored rates, not of the counter."""
    tracker = ObjectTracker()
    values = {}
    for time_s, cpu_ms in ((0, 0), (1, 900), (2, 1200)):
        values = tracker.observe(time_s, {"cpu_util": RawValue(cpu_ms, 1000)})
    assert "300" == values["cpu_util"].current
    assert {"max": "900", "avg": "600"} == values["cpu_util"].stats


def test_memory_has_a_capacity_and_a_maximum() -> None:
    """A gauge is stored as it is, with its percentage of the capacity."""
    tracker = ObjectTracker()
    tracker.observe(0, {"mem": RawValue(3000, 9000)})
    expected = MetricValue(current="1000", capacity="9000", pct="11.11", unit_hint="bytes", stats={"max": "3000"})
    assert {"mem": expected} == tracker.observe(1, {"mem": RawValue(1000, 9000)})


def test_without_a_capacity_the_percentage_is_zero() -> None:
    """The wire format says `0.00`."""
    values = ObjectTracker().observe(0, {"mem": RawValue(3000)})
    assert (None, "0.00") == (values["mem"].capacity, values["mem"].pct)


def test_io_is_stored_cumulative_with_its_rate() -> None:
    """`io_*` stores the counter; its rate is a statistic, 0 at first."""
    tracker = ObjectTracker()
    assert {"rate": "0"} == tracker.observe(0, {"io_write": RawValue(100)})["io_write"].stats
    value = tracker.observe(4, {"io_write": RawValue(500)})["io_write"]
    assert ("500", {"rate": "100"}) == (value.current, value.stats)


def test_traffic_is_stored_as_its_rate() -> None:
    """`net_*` stores bytes per second, with the unit hint that readers expect."""
    tracker = ObjectTracker()
    tracker.observe(0, {"net_rx": RawValue(1000)})
    expected = MetricValue(current="500", unit_hint="bps")
    assert {"net_rx": expected} == tracker.observe(2, {"net_rx": RawValue(2000)})


def test_a_reset_counter_has_a_rate_of_zero() -> None:
    """The next sample has a rate again."""
    tracker = ObjectTracker()
    tracker.observe(0, {"net_rx": RawValue(1000), "io_read": RawValue(1000)})
    tracker.observe(1, {"net_rx": RawValue(2000), "io_read": RawValue(2000)})
    fallen = tracker.observe(2, {"net_rx": RawValue(10), "io_read": RawValue(10)})
    assert ["0", "10"] == [fallen[metric].current for metric in ("net_rx", "io_read")]
    assert "0" == fallen["io_read"].stats["rate"]
    assert "90" == tracker.observe(3, {"net_rx": RawValue(100)})["net_rx"].current


def test_a_gap_is_bridged() -> None:
    """A metric that was unreadable for a round has the rate over the gap when it returns."""
    tracker = ObjectTracker()
    tracker.observe(0, {"net_rx": RawValue(1000)})
    assert {} == tracker.observe(1, {})
    assert "500" == tracker.observe(2, {"net_rx": RawValue(2000)})["net_rx"].current


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
