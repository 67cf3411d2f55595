"""The plugin: what statcore is told about this backend. It imports no driver.

What VictoriaMetrics does otherwise than Prometheus, and what becomes of it:

- Rates: its `rate` takes in the last sample before the window, and holds a rate of zero where the window has none; the
  client asks for the samples of the window alone. As ever in VictoriaMetrics nothing is extrapolated to the window's ends,
  and a counter that falls by less than an eighth was not reset.
- Increases: its `increase` and `delta` count the sample before the window, too, and from zero where a series begins; the
  client asks for `increase_prometheus` and `delta_prometheus`, which do neither, and extrapolate as little.
- 30,000 points per series and request, where Prometheus has 11,000: the client splits ranges at 30,000.
- `isPartial`, which a cluster says when a storage node is away: the answer is `partial`, and an error in strict mode.
- What a client cannot mend is in `differences`, and the conformance suite verifies each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statcore.plugins import API_VERSION, MetricBackendSpec, hookimpl, requires_extra
from statcore.ports import MetricQuerierPort

STATCORE_PLUGIN_API = API_VERSION


async def open_victoriametrics(url: str, options: Mapping[str, Any]) -> MetricQuerierPort:
    """Open a client of the server at `url`; `options` are those of `PrometheusOptions` by name.

    Raises:
        MissingExtraError: the driver is not installed.
        InputError: the URL or an option cannot be used.
    """
    with requires_extra("prometheus"):
        from statcore_victoriametrics.client import VictoriaMetricsClient  # noqa: PLC0415 - the driver is an extra

    return VictoriaMetricsClient.from_settings(url, options)


SPEC = MetricBackendSpec(
    name="victoriametrics",
    summary="a VictoriaMetrics server or cluster",
    schemes=("victoriametrics", "victoriametrics+https"),
    open=open_victoriametrics,
    extra="prometheus",
    differences={
        "values_are_exact": (
            "A sample that is NaN is not stored, and all others are rounded to some 14 digits, the smallest floats to 0."
        ),
        "hostile_values_round_trip": (
            "A regex may miss values that hold U+0000, U+0001 or U+0002, which the index keeps escaped; "
            "an exact match finds them."
        ),
    },
)


@hookimpl
def statcore_metric_backends() -> list[MetricBackendSpec]:
    """Contribute `victoriametrics`."""
    return [SPEC]
