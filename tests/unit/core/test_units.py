"""What is known of metrics by their name."""

from __future__ import annotations

import pytest

from statcore.model.statistics import has_bound, unit_hint


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
    """Known ones by name, accelerators by suffix."""
    assert [expected] * len(metrics) == [unit_hint(metric) for metric in metrics]


@pytest.mark.parametrize("metric", ["", "temperature", "util", "memory", "cuda_mem_temperature", "cudamem", "mem_"])
def test_the_hint_of_an_unknown_metric_is_its_own_name(metric: str) -> None:
    """As agents write it: of kernels and of nodes."""
    assert [metric, metric] == [unit_hint(metric), unit_hint(metric, of="node")]


def test_a_node_has_another_hint_for_cpu_util_alone() -> None:
    """Agents write milliseconds used per interval for nodes, millicores for kernels."""
    assert ["msec", "bytes", "bps"] == [unit_hint(metric, of="node") for metric in ("cpu_util", "mem", "net_rx")]


def test_counters_have_no_bound() -> None:
    """What agents store as their capacity is the first sample."""
    unbounded = ["cpu_used", "io_read", "io_write", "net_rx", "net_tx"]
    assert unbounded == [metric for metric in [*unbounded, "cpu_util", "mem", "cuda_mem", "x"] if not has_bound(metric)]
