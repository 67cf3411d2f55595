"""The plugin, which contributes the backend `victoriametrics` and imports no driver.

VictoriaMetrics differs from Prometheus in these points:

- Rates: its `rate` includes the last sample before the window, and is zero where the window has no sample. The client
  limits it to the samples of the window. VictoriaMetrics never extrapolates to the ends of the window, and a counter that
  falls by less than an eighth does not count as reset.
- Increases: its `increase` and `delta` include the sample before the window, and count from zero where a series begins.
  The client uses `increase_prometheus` and `delta_prometheus`, which do neither, and do not extrapolate.
- A request may have 30,000 points per series, where Prometheus allows 11,000. The client splits ranges at 30,000.
- `isPartial`, which a cluster answers while a storage node is missing, makes the answer `partial`, and is an error in
  strict mode.
- Differences that the client cannot remove are in `differences`, and the conformance suite verifies each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statcore.plugins import MetricBackendSpec, hookimpl, requires_extra
from statcore.ports import MetricQuerierPort

STATCORE_PLUGIN_API = 1


async def open_victoriametrics(url: str, options: Mapping[str, Any]) -> MetricQuerierPort:
    """Open a client of the server at `url` with options of `PrometheusOptions` by name.

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
