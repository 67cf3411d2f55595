"""The unit hints of metrics, and which have no bound."""

from __future__ import annotations

import pytest

from statcore.model import UNBOUNDED_METRICS, has_bound, unit_hint


@pytest.mark.parametrize(
    ("expected", "metrics"),
    [
        ("percent", ["cpu_util", "cuda_util", "tpu_v4_util"]),
        ("bytes", ["mem", "cuda_mem", "io_read", "io_write", "io_scratch_size", "disk"]),
        ("msec", ["cpu_used"]),
        ("bps", ["net_rx", "net_tx"]),
        ("", ["", "temperature", "util", "memory", "cuda_mem_temperature", "cudamem", "mem_", "net_rx_util_"]),
    ],
)
def test_a_metric_has_the_hint_that_readers_expect(expected: str, metrics: list[str]) -> None:
    """Known ones by name, accelerators by suffix, others none."""
    assert [expected] * len(metrics) == [unit_hint(metric) for metric in metrics]


def test_a_counter_has_no_bound() -> None:
    """Agents write a capacity for these, too: the first sample. What is not known may have one."""
    assert {"cpu_used", "net_rx", "net_tx", "io_read", "io_write"} == UNBOUNDED_METRICS
    assert not any(map(has_bound, UNBOUNDED_METRICS))
    assert all(map(has_bound, ["cpu_util", "mem", "cuda_mem", "io_scratch_size", "temperature"]))
