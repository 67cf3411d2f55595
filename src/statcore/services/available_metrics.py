"""Which metrics the backend has for a kind of object."""

from __future__ import annotations

from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector


async def available_metrics(metrics: MetricQuerierPort, *, series: str, metric_label: str | None) -> list[str]:
    """Return the names of the metrics that there are, sorted; the errors are those of `MetricQuerierPort`.

    Args:
        metrics: the backend.
        series: the name of the series, as in `QuerierSpec`.
        metric_label: the label that tells its metrics apart, or None where `series` is the only metric.
    """
    selector = Selector(series)
    if metric_label is not None:
        return list(await metrics.label_values(metric_label, match=selector))
    return [series] if await metrics.series(selector) else []
