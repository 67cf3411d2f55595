"""Kinds of querier: building a querier from values, checking its options, listing its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

from statcore.concurrency import map_concurrently
from statcore.errors import InputError, PluginError, StatcoreError
from statcore.model.statistics import unit_hint
from statcore.model.text import describe
from statcore.plugins.hooks import QuerierSpec
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.queriers.interface import PercentOfCapacity, Strategy, UtilizationMetricQuerier, resolve
from statcore.statistics.utilization import available_metrics

METRIC_FIELD: Final = "metric_name"
"""The field of a querier class that names the metric."""
PERCENT: Final = "percent"
"""The unit of percent of capacity."""


def build_querier(spec: QuerierSpec, values: Mapping[str, object]) -> UtilizationMetricQuerier:
    """Return a querier from values by field; a value of None counts as not given.

    Raises:
        InputError: a field is unknown or missing, or the field or the class refuses a value.
        PluginError: the class fails.
    """
    known = [field.name for field in spec.fields]
    if unknown := sorted(values.keys() - set(known)):
        raise InputError(f"{spec.name} has no field {unknown[0]!r:.100}; its fields are {', '.join(known)}")
    given: dict[str, Any] = {}
    for field in spec.fields:
        value = values.get(field.name)
        value = field.default if value is None else value
        if value is not None:
            given[field.name] = field.read(value)
        elif field.required:
            raise InputError(f"{spec.name} needs {field.name}")
    try:
        return spec.querier(**given)
    except StatcoreError:
        raise
    except Exception as error:
        plugin = f"{spec.querier.__module__}.{spec.querier.__qualname__}"
        raise PluginError(f"{plugin}() raised {describe(error)}", plugin=plugin) from error


def answered_unit(units: Mapping[str, str], metric: str, strategy: Strategy) -> str:
    """Return the unit of what a querier answers, or "" if it is not known.

    Args:
        units: the `units` of its kind.
        metric: the value of its field `metric_name`; the name of a metric of an accelerator says the unit.
        strategy: its strategy.
    """
    if isinstance(strategy, PercentOfCapacity):
        return PERCENT
    hint = unit_hint(metric)
    return units.get(metric) or ("" if hint == metric else hint)


def check_options(spec: QuerierSpec) -> None:
    """Check that no two fields would be the same option of the command line.

    An option leaves out the underscores around a field's name. A field that is named like an option of a command gets the
    kind in front, so `rack_step` and `step` of the kind `rack` would both be `--rack-step`.

    Raises:
        PluginError: two fields would be one option, a field has no letter, or the fields cannot be read.
    """
    names = {field.name: field.name.strip("_") for field in spec.fields}
    kind = spec.name.replace("-", "_")
    for name, stripped in names.items():
        if not stripped:
            raise PluginError(f"the field {name} has no letter, and so no name for an option; rename it", plugin=spec.name)
    for (first, option), (second, other) in combinations(names.items(), 2):
        if option in {other, f"{kind}_{other}"} or other == f"{kind}_{option}":
            message = f"{first} and {second} of {spec.name} would be one option of the command line; rename one of them"
            raise PluginError(message, plugin=spec.name)


async def metric_names(metrics: MetricQuerierPort, spec: QuerierSpec) -> list[str]:
    """Return the names of metrics that the field `metric_name` takes and that the backend has series of.

    If the class needs other fields, too, every choice of `metric_name` is listed without a request, because its series
    cannot be queried without them.

    Raises:
        PluginError: the class breaks its contract.
        InputError: the kind neither names a series nor has choices of metrics, so that nothing can be listed.
        StatcoreError: the backend failed, as `MetricQuerierPort` says.
    """
    if spec.series is not None:
        return await available_metrics(metrics, series=spec.series, metric_label=spec.metric_label)
    fields = {field.name: field for field in spec.fields}
    metric = fields.pop(METRIC_FIELD, None)
    if metric is None:
        raise InputError(f"{spec.name} has no field {METRIC_FIELD} with choices to list; query it")
    choices = list(metric.choices)
    if not choices:
        raise InputError(f"{spec.name} does not say which metrics it has; query them by name")
    if any(field.required for field in fields.values()):
        return choices

    async def exists(choice: str) -> bool:
        try:
            query = resolve(build_querier(spec, {METRIC_FIELD: choice}))
        except InputError:  # this choice needs more than its name
            return True
        return bool(await metrics.label_values("__name__", match=Selector(query.name, query.wanted)))

    found = await map_concurrently(choices, exists)
    return [choice for choice, is_found in zip(choices, found, strict=True) if is_found]
