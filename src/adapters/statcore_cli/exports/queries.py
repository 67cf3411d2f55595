"""The queries that an export holds: each metric of a kind of querier, over all objects of a scope, with its unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import product
from typing import Any, Final
from uuid import UUID

import attrs

from statcore.errors import InputError, UnsupportedError
from statcore.model.statistics import has_bound
from statcore.plugins.fields import FieldType, QuerierField
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.querier_kinds import METRIC_FIELD, build_querier, prepare
from statcore.promql.syntax import Expression
from statcore.promql.utilization import utilization_query
from statcore.queriers.interface import MetricQuery, PreparedQuerier, resolve
from statcore.queriers.matcher import Matchers, as_labels, as_matcher

_CAPACITY: Final = "capacity"
_TRIAL_VALUES: Final[Mapping[FieldType, Any]] = {
    FieldType.TEXT: "statcore-trial",
    FieldType.UUID: str(UUID(int=1)),
    FieldType.INTEGER: 1,
}
"""A value for a field, to find out which label the field matches."""


@attrs.frozen(kw_only=True)
class ExportedQuery:
    """The query of a metric of a kind, over all objects.

    Args:
        kind: the name of the kind.
        metric: the value of the field `metric_name`; "" for a kind without that field.
        choices: the values of the fields that must be chosen, such as `current`.
        unit: the unit of the values, or "" if it is not known.
        query: the validated query.
        owners: the labels that the optional fields of the kind match, such as `kernel_id`.
    """

    kind: str
    metric: str
    choices: tuple[str, ...]
    unit: str
    query: MetricQuery
    owners: tuple[str, ...]

    @property
    def title(self) -> str:
        """The kind and the metric."""
        return f"{self.kind} {self.metric}".rstrip()

    @property
    def name(self) -> str:
        """The kind, the metric and the choices."""
        return " ".join([self.title, *self.choices])

    @property
    def distinguished(self) -> tuple[str, ...]:
        """The owners by which the querier groups even if no owner is set: values of these objects must not be added."""
        return tuple(label for label in self.owners if label in self.query.group_by)

    def expression(
        self,
        *,
        matchers: Matchers,
        group_by: Iterable[str],
        rate_interval: timedelta | str,
        normalization_interval_s: float,
    ) -> Expression:
        """Return the expression of the query with more matchers in each selector, grouped by more labels.

        Args:
            matchers: the matchers; the query's own matchers of the same labels stay beside them.
            group_by: the labels that series keep besides those of the query.
            rate_interval: the window that rates are taken over.
            normalization_interval_s: the divisor of `rate_normalized`.

        Raises:
            InputError: a name or an interval that is not valid.
            PluginError: the strategy of the querier breaks its contract.
        """
        query = self.query._replace(
            wanted=as_labels((*self.query.matchers, *matchers)),
            group_by=tuple(sorted({*self.query.group_by, *group_by})),
        )
        return utilization_query(
            PreparedQuerier(query), rate_interval=rate_interval, normalization_interval_s=normalization_interval_s
        )


def exported_queries(spec: QuerierSpec, metrics: Sequence[str]) -> Iterator[ExportedQuery]:
    """Yield the query of each metric with each value of the fields that must be chosen.

    What the class refuses is left out, and so is the capacity of a metric without a bound, which means nothing.

    Args:
        spec: the kind.
        metrics: the values for the field `metric_name`; ignored for a kind without that field.

    Raises:
        UnsupportedError: the class has another required field, and the kind has no example.
        PluginError: the class breaks its contract.
    """
    fields = {field.name: field for field in spec.fields}
    chosen = [field for field in spec.fields if field.default is not None and field.name != METRIC_FIELD]
    example = dict(spec.example or {})
    _check_example(spec, example)
    for metric in metrics if METRIC_FIELD in fields else [""]:
        for choices in product(*(field.choices for field in chosen)):
            if _CAPACITY in choices and not has_bound(metric):
                continue
            values = {**example, **{field.name: choice for field, choice in zip(chosen, choices, strict=True)}}
            values |= {METRIC_FIELD: metric} if metric else {}
            try:
                prepared = prepare(build_querier(spec, values), spec.units)
            except InputError:
                continue
            query = prepared.querier.query
            yield ExportedQuery(
                kind=spec.name,
                metric=metric,
                choices=choices,
                unit=prepared.unit,
                query=query,
                owners=tuple(_owners(spec, values, query)),
            )


def known_metrics(spec: QuerierSpec) -> list[str]:
    """Return the metrics of a kind that are known without a backend: the choices of the field, or those with a unit."""
    field = next((field for field in spec.fields if field.name == METRIC_FIELD), None)
    return list(field.choices) if field is not None and field.choices else list(spec.units)


def _check_example(spec: QuerierSpec, example: Mapping[str, object]) -> None:
    given = {METRIC_FIELD, *example}
    if missing := [field.name for field in spec.fields if field.required and field.name not in given]:
        raise UnsupportedError(f"it needs {', '.join(missing)}, and its QuerierSpec has no example of it")


def _owners(spec: QuerierSpec, values: Mapping[str, object], query: MetricQuery) -> Iterator[str]:
    """Yield the label that each optional field matches once it has a value."""
    known = dict(query.matchers)
    for field in spec.fields:
        if field.name not in values and (label := _label_of(field, spec, values, known)) is not None:
            yield label


def _label_of(
    field: QuerierField, spec: QuerierSpec, values: Mapping[str, object], known: Mapping[str, object]
) -> str | None:
    value = _TRIAL_VALUES.get(field.type)
    if value is None:
        return None
    try:
        query = resolve(build_querier(spec, {**values, field.name: value}))
    except InputError:
        return None
    added = [label for label, matcher in query.matchers if label not in known and as_matcher(matcher).value == str(value)]
    return added[0] if len(added) == 1 else None
