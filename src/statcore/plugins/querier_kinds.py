"""Kinds of querier: building a querier from values, its query and unit, checking its options, listing its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from itertools import combinations
from typing import Any, Final, NamedTuple

from statcore.concurrency import map_concurrently
from statcore.errors import InputError, PluginError, StatcoreError
from statcore.model.statistics import unit_hint
from statcore.model.text import describe
from statcore.plugins.hooks import QuerierSpec
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.syntax import Selector
from statcore.queriers.container import CONTAINER_SERIES, DEVICE_SERIES, PROCESS_SERIES
from statcore.queriers.interface import PercentOfCapacity, PreparedQuerier, UtilizationMetricQuerier, resolve
from statcore.statistics.utilization import available_metrics

METRIC_FIELD: Final = "metric_name"
"""The field of a querier class that names the metric."""
PERCENT: Final = "percent"
"""The unit of percent of capacity."""
_SERIES_OF_AGENTS: Final = frozenset({CONTAINER_SERIES, DEVICE_SERIES, PROCESS_SERIES})


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


class PreparedQuery(NamedTuple):
    """The query of a querier, each of whose methods was called once.

    Attributes:
        querier: a querier with this query.
        unit: the unit of what it answers, or "" if it is not known.
    """

    querier: PreparedQuerier
    unit: str


def prepare(querier: UtilizationMetricQuerier, units: Mapping[str, str]) -> PreparedQuery:
    """Return the query of a querier, with its unit.

    Args:
        querier: the querier; its attribute `metric_name`, if it has one, is the metric.
        units: the `units` of its kind. Of the series that agents write, the name of a metric says the unit, too.

    Raises:
        InputError: a label value cannot be encoded, or the querier itself raises the error for bad input.
        PluginError: the querier breaks its contract.
    """
    query = resolve(querier)
    if isinstance(query.strategy, PercentOfCapacity):
        return PreparedQuery(PreparedQuerier(query), PERCENT)
    metric = _metric(querier)
    unit = units.get(metric, "") if metric else ""
    if not unit and query.name in _SERIES_OF_AGENTS and (hint := unit_hint(metric)) != metric:
        unit = hint
    return PreparedQuery(PreparedQuerier(query), unit)


def _metric(querier: UtilizationMetricQuerier) -> str:
    try:
        name: object = getattr(querier, METRIC_FIELD, "")
        return str(name.value if isinstance(name, Enum) else name)
    except Exception:  # noqa: BLE001 - third-party code
        return ""


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
