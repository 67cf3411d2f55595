"""Which metrics the backend has for a kind of querier."""

from __future__ import annotations

from typing import Final

from statcore.concurrency import map_concurrently
from statcore.errors import InputError
from statcore.plugins.fields import build_querier, querier_fields
from statcore.plugins.hooks import QuerierSpec
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.queriers.interface import resolve
from statcore.statistics.utilization import available_metrics

METRIC_FIELD: Final = "metric_name"
"""The field of a querier class that tells its metrics apart."""


async def metric_names(metrics: MetricQuerierPort, spec: QuerierSpec) -> list[str]:
    """Return the names that the field `metric_name` may have, as far as the backend has series for them.

    Where the class needs more than that field, or needs it for a choice, nothing is asked about it: the class knows it.

    Raises:
        PluginError: the class breaks its contract.
        InputError: it neither names series nor has choices of metrics, so that nothing can be listed.
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """
    if spec.series is not None:
        return await available_metrics(metrics, series=spec.series, metric_label=spec.metric_label)
    fields = querier_fields(spec)
    choices = [choice for field in fields if field.name == METRIC_FIELD for choice in field.choices]
    if not choices:
        if METRIC_FIELD in (field.name for field in fields):
            raise InputError(f"{spec.name} does not say which metrics it has; query them by name")
        raise InputError(f"{spec.name} has no field {METRIC_FIELD}, by whose choices metrics are listed; query it")
    if any(field.required for field in fields if field.name != METRIC_FIELD):
        return choices

    async def exists(choice: str) -> bool:
        try:
            asked = resolve(build_querier(spec, {METRIC_FIELD: choice}))
        except InputError:  # this one wants more than its name
            return True
        return bool(await metrics.label_values("__name__", match=Selector(asked.name, asked.wanted)))

    found = await map_concurrently(choices, exists)
    return [choice for choice, there in zip(choices, found, strict=True) if there]
