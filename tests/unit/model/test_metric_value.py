"""Metrics of one object: their values, unit hints and bounds."""

from __future__ import annotations

from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model import MetricValue
from statcore.model.statistics import has_bound, shown_value, unit_hint

FULL = MetricValue(current="512", capacity="1024", pct="50.00", unit_hint="bytes", stats={"rate": "3", "max": "900"})
FULL_MAP = {
    "current": "512",
    "capacity": "1024",
    "pct": "50.00",
    "unit_hint": "bytes",
    "stats.max": "900",
    "stats.rate": "3",
}
LEAST_MAP = {"current": "1", "capacity": None, "pct": "0.00", "unit_hint": ""}


def test_a_value_becomes_the_stored_map() -> None:
    """Keys are flat and in wire order; the capacity is there even if it is None."""
    assert list(FULL_MAP.items()) == list(FULL.to_map().items())
    assert LEAST_MAP == MetricValue(current="1").to_map()


def test_a_stored_map_becomes_a_value() -> None:
    """Missing fields have their defaults; unknown and nil ones, such as a version, are ignored."""
    assert FULL == MetricValue.from_map({**FULL_MAP, "stats.version": None, "stats.min": None, "extra": 5})
    assert MetricValue(current="1") == MetricValue.from_map({"current": "1"}) == MetricValue.from_map(LEAST_MAP)
    assert MetricValue(current="1") == MetricValue.from_map({"current": "1", "pct": None, "unit_hint": None})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"current": None},
        {"current": 5},
        {"current": "1", "capacity": 2},
        {"current": "1", "pct": 0.5},
        {"current": "1", "unit_hint": b"x"},
        {"current": "1", "stats.max": 9},
    ],
    ids=str,
)
def test_a_map_that_is_not_a_value_is_refused(fields: dict[str, Any]) -> None:
    """It has no current value, or a number that is not text."""
    with pytest.raises(InputError, match="not a metric value"):
        MetricValue.from_map(fields)


@pytest.mark.parametrize(
    ("metric", "fields", "hidden"),
    [
        ("net_rx", {"capacity": "1820", "pct": "549.75", "stats.rate": "5"}, ["capacity", "pct"]),
        ("io_read", {"capacity": "40", "pct": "314169.78"}, ["capacity", "pct"]),
        ("cpu_util", {"capacity": "1000", "pct": "50", "stats.max": "385894.5", "stats.rate": "5"}, ["stats.max"]),
        ("cpu_util", {"capacity": "1000", "stats.min": "1", "stats.sum": "2", "stats.avg": "3"}, ["min", "sum", "avg"]),
        ("mem", {"capacity": "9223372036854775807", "pct": "0.00", "stats.max": "5"}, ["capacity", "pct"]),
        ("mem", {"capacity": "8", "pct": "50", "stats.max": "5"}, []),
        ("mem", {"capacity": None, "pct": "0.00"}, []),
    ],
)
def test_meaningless_fields_are_not_shown(metric: str, fields: dict[str, Any], hidden: list[str]) -> None:
    """Fields that mean nothing become None. Other fields do not change, and neither does the stored entry."""
    stored = {"current": "4", **fields}
    names = [name if name in stored else f"stats.{name}" for name in hidden]
    assert stored | dict.fromkeys(names) == shown_value(metric, stored)
    assert {"current": "4", **fields} == stored


def test_a_value_that_is_not_a_map_is_shown_unchanged() -> None:
    """Some stores return whatever was stored."""
    assert [5, None, "x"] == [shown_value("net_rx", value) for value in (5, None, "x")]


def test_an_unknown_moving_statistic_is_refused() -> None:
    """The error names it and the known ones."""
    with pytest.raises(InputError, match=r"\['median'\]; known are .*'rate'"):
        MetricValue(current="1", stats={"max": "2", "median": "1"})


def test_values_are_equal_by_content_and_keep_it() -> None:
    """The order of statistics does not matter, and changing the mapping afterwards does not change the value."""
    stats = {"max": "900", "rate": "3"}
    value = MetricValue(current="512", capacity="1024", pct="50.00", unit_hint="bytes", stats=stats)
    stats.clear()
    assert FULL == value
    assert hash(FULL) == hash(value)


@pytest.mark.parametrize(
    ("expected", "metrics"),
    [
        ("millicores", ["cpu_util"]),
        ("percent", ["cuda_util", "tpu_v4_util"]),
        ("bytes", ["mem", "cuda_mem", "io_read", "io_write", "io_scratch_size", "disk"]),
        ("msec", ["cpu_used"]),
        ("bps", ["net_rx", "net_tx"]),
    ],
)
def test_a_metric_has_the_hint_that_agents_write(expected: str, metrics: list[str]) -> None:
    """Known metrics are found by name, those of accelerators by suffix."""
    assert [expected] * len(metrics) == [unit_hint(metric) for metric in metrics]


@pytest.mark.parametrize("metric", ["", "temperature", "util", "memory", "cuda_mem_temperature", "cudamem", "mem_"])
def test_the_hint_of_an_unknown_metric_is_its_own_name(metric: str) -> None:
    """Agents write it so for kernels and for nodes."""
    assert [metric, metric] == [unit_hint(metric), unit_hint(metric, of="node")]


def test_a_node_has_another_hint_for_cpu_util_only() -> None:
    """Agents write milliseconds used per interval for nodes, millicores for kernels."""
    assert ["msec", "bytes", "bps"] == [unit_hint(metric, of="node") for metric in ("cpu_util", "mem", "net_rx")]


def test_counters_have_no_bound() -> None:
    """Agents store their first sample as the capacity."""
    unbounded = ["cpu_used", "io_read", "io_write", "net_rx", "net_tx"]
    assert unbounded == [metric for metric in [*unbounded, "cpu_util", "mem", "cuda_mem", "x"] if not has_bound(metric)]
