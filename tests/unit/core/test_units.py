"""The unit hints of metrics."""

from __future__ import annotations

import pytest

from statcore.model import unit_hint


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
