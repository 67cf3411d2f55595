"""The query, the expression and the fields of a querier under check, and queriers built from fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from statcore.errors import PluginError
from statcore.plugins.fields import FieldType, QuerierField
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import build_querier
from statcore.promql.syntax import Expression
from statcore.promql.utilization import RATE_INTERVAL, utilization_query
from statcore.queriers.interface import MetricQuery, UtilizationMetricQuerier, resolve

_JSON: Final = (str, bool, int, float)


def query_of(querier: UtilizationMetricQuerier) -> MetricQuery:
    """Return the validated query of a querier; a broken contract is an AssertionError."""
    try:
        return resolve(querier)
    except Exception as error:
        raise AssertionError(f"{querier!r:.200} does not answer: {error}") from error


def expression_of(querier: UtilizationMetricQuerier, *, window: Any = RATE_INTERVAL) -> Expression:  # noqa: ANN401 - any
    """Return the expression of a querier; any error is an AssertionError."""
    try:
        return utilization_query(querier, rate_interval=window)
    except Exception as error:
        raise AssertionError(f"{querier!r:.200} cannot be queried with the window {window}: {error}") from error


def fields_of(spec: QuerierSpec, *types: FieldType) -> list[QuerierField]:
    """Return the fields of these types, by default all; fields that cannot be read are an AssertionError."""
    try:
        fields = spec.fields
    except PluginError as error:
        raise AssertionError(str(error)) from error
    return [field for field in fields if not types or field.type in types]


def arguments_of(spec: QuerierSpec, querier: UtilizationMetricQuerier) -> dict[str, Any]:
    """Return the arguments that build an equal querier: its attributes, by the name of the field."""
    found: dict[str, Any] = {}
    for field in fields_of(spec):
        attribute = next((name for name in (field.name, f"_{field.name}") if hasattr(querier, name)), None)
        if attribute is None:
            raise AssertionError(f"{field.name} cannot be read of {querier!r:.200}: it has no attribute of that name")
        found[field.name] = getattr(querier, attribute)
    return found


def values_of(spec: QuerierSpec, querier: UtilizationMetricQuerier) -> dict[str, Any]:
    """Return the fields of a querier as JSON values, without fields that are None."""
    fields = {field.name: field for field in fields_of(spec)}
    arguments = arguments_of(spec, querier)
    return {name: _json(fields[name], value) for name, value in arguments.items() if value is not None}


def _json(field: QuerierField, value: object) -> object:
    if field.choices:
        for text, choice in field.choices.items():
            if choice == value:
                return text
        raise AssertionError(f"{field.name} is {value!r:.200}, which is none of its choices {', '.join(field.choices)}")
    if isinstance(value, UUID):
        return str(value)
    if type(value) in _JSON:
        return value
    return str(value)  # a field of any other type is given as text


def build(spec: QuerierSpec, values: Mapping[str, object]) -> UtilizationMetricQuerier:
    """Build a querier as the command line and GraphQL do; an error that is not an `InputError` is an AssertionError."""
    try:
        return build_querier(spec, values)
    except PluginError as error:
        raise AssertionError(f"{dict(values)!r:.500}: {error}; what is refused is refused with InputError") from error


def build_and_resolve(spec: QuerierSpec, values: Mapping[str, object]) -> tuple[MetricQuery, Expression]:
    """Build a querier and return its query and its expression; errors as in `build`."""
    querier = build(spec, values)
    try:
        return resolve(querier), utilization_query(querier)
    except PluginError as error:
        raise AssertionError(f"{querier!r:.200}: {error}; what is refused is refused with InputError") from error


def at_least_one(queriers: Iterable[UtilizationMetricQuerier]) -> list[UtilizationMetricQuerier]:
    """Return the queriers; an empty list is an AssertionError, because nothing would be checked."""
    found = list(queriers)
    if not found:
        raise AssertionError("there is no querier to check")
    return found
