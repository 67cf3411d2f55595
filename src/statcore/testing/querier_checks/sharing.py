"""Checks of queriers that share a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from statcore.errors import InputError
from statcore.plugins.fields import FieldType
from statcore.plugins.hooks import QuerierSpec
from statcore.queriers.coalescing import CoalescedQuerier, coalesce
from statcore.queriers.interface import NEVER_GROUPED, MetricQuery, QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import MatchOperator
from statcore.testing.expectations import expect
from statcore.testing.querier_checks.expressions import expect_answers
from statcore.testing.querier_checks.reading import build_and_resolve, expression_of, fields_of, query_of, values_of
from statcore.testing.queriers import FixedQuerier

_OTHER: Final = 'another "one"'
_TWO: Final = {FieldType.TEXT: ("one", "two"), FieldType.UUID: (str(UUID(int=1)), str(UUID(int=2)))}


def check_shared_requests_hold_every_value(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Where queriers share a request, the expression has the label values of all, and its series can be distinguished.

    So a plugin's own strategy takes the labels from the query that it is given, and not from one querier.
    """
    del spec
    for together in (*coalesce(queriers), *_pairs(queriers)):
        expect_answers(query_of(together), expression_of(together))


def check_alike_queriers_share_requests(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Queriers with a plugin's own strategy that differ only in the value of one label have equal strategies."""
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec, *_TWO):
            try:
                query, other = (build_and_resolve(spec, {**values, field.name: text})[0] for text in _TWO[field.type])
            except InputError:  # the field takes only some texts
                continue
            if _differ_in_one_value(query, other):
                expect(query.strategy, other.strategy, f"the strategy of queriers that differ in {field.name} alone")


def _pairs(queriers: Sequence[UtilizationMetricQuerier]) -> Iterator[CoalescedQuerier]:
    """Yield, for each label that a querier matches exactly, the querier merged with one that matches another value."""
    for querier in queriers:
        query = query_of(querier)
        for label, matcher in query.labels.items():
            if matcher.operator is MatchOperator.EQUAL and label.lower() not in NEVER_GROUPED:
                matchers = {**query.wanted, label: _OTHER}
                other = FixedQuerier(query.name, matchers, group_by=query.group_by, strategy=query.strategy)
                yield from coalesce([querier, other])


def _differ_in_one_value(query: MetricQuery, other: MetricQuery) -> bool:
    named = isinstance(query.strategy, QueryStrategy) or isinstance(other.strategy, QueryStrategy)
    if named or type(query.strategy) is not type(other.strategy):
        return False
    labels, others = query.labels, other.labels
    differing = [label for label in labels if labels[label] != others.get(label)]
    same = query.name == other.name and query.group_by == other.group_by and labels.keys() == others.keys()
    return same and len(differing) == 1
