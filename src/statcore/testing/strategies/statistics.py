"""MetricValues and InferenceValues: usual and odd ones."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from statcore.model.statistics import STATS, MetricValue

_ODD: Final = ("0", "-0", "0.00", "NaN", "Infinity", "-Infinity", "1E+30")
_NAMES: Final = ("cpu_util", "cpu_used", "mem", "io_read", "io_write", "net_rx", "net_tx", "cuda_mem", "cuda_util")
_UNITS: Final = ("", "percent", "msec", "bytes", "bps")


def number_texts() -> st.SearchStrategy[str]:
    """Return decimal text as it is stored: quantized to 0.001, trailing zeros stripped; and odd numbers."""
    quantized = st.decimals(min_value=-(10**15), max_value=10**15, places=3).map(_stripped)
    return st.one_of(quantized, st.sampled_from(_ODD))


def metric_values() -> st.SearchStrategy[MetricValue]:
    """Return values with and without a capacity, with any of the moving statistics."""
    return st.builds(
        MetricValue,
        current=number_texts(),
        capacity=st.none() | number_texts(),
        pct=st.one_of(st.just("0.00"), number_texts()),
        unit_hint=st.sampled_from(_UNITS),
        stats=st.dictionaries(st.sampled_from(STATS), number_texts()),
    )


def metric_maps(*, max_size: int = 8) -> st.SearchStrategy[dict[str, MetricValue]]:
    """Return the metrics of one kernel by name, at most `max_size`."""
    return st.dictionaries(st.sampled_from(_NAMES), metric_values(), max_size=max_size)


def inference_values() -> st.SearchStrategy[dict[str, Any]]:
    """Return stored InferenceValue maps: scalars and histograms."""
    scalars = metric_values().map(lambda value: {"__type": "GAUGE", **value.to_map()})
    histograms = st.fixed_dictionaries(
        {
            "__type": st.just("HISTOGRAM"),
            "current": st.dictionaries(st.one_of(number_texts(), st.just("+Inf")), number_texts(), max_size=5),
            "threshold_unit": st.just("le"),
            "count": st.none() | st.integers(0, 2**63 - 1),
            "sum": st.none() | number_texts(),
        }
    )
    return st.one_of(scalars, histograms)


def _stripped(number: Decimal) -> str:
    return f"{number.normalize():f}"
