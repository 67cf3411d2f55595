"""Alike queriers that are asked for together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from statcore.errors import InputError
from statcore.plugins.fields import FieldType
from statcore.plugins.hooks import QuerierSpec
from statcore.queriers.coalescing import CoalescedQuerier, coalesce
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.matcher import MatchOperator
from statcore.queriers.query import NEVER_GROUPED, QueryStrategy, ResolvedQuerier
from statcore.testing.expectations import expect
from statcore.testing.querier_checks.asking import ask, expression_of, fields_of, query, values_of
from statcore.testing.querier_checks.expressions import expect_answers
from statcore.testing.queriers import FixedQuerier

_OTHER: Final = 'another "one"'
_TWO: Final = {FieldType.TEXT: ("one", "two"), FieldType.UUID: (str(UUID(int=1)), str(UUID(int=2)))}


def check_shared_requests_hold_every_value(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Where alike queriers are asked for at once, the expression has every one's label values, and can be told apart.

    So a strategy of the plugin's own uses the labels that it is given, and none that it remembers of one querier.
    """
    del spec
    for together in (*coalesce(queriers), *_pairs(queriers)):
        expect_answers(ask(together), expression_of(together))


def check_alike_queriers_share_requests(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """Queriers with strategies of the plugin's own that differ in one label's value alone have equal strategies."""
    for querier in queriers:
        values = values_of(spec, querier)
        for field in fields_of(spec, *_TWO):
            try:
                one, two = (query(spec, {**values, field.name: text})[0] for text in _TWO[field.type])
            except InputError:  # the field takes only some texts
                continue
            if _alike(one, two):
                expect(one.strategy, two.strategy, f"the strategy of queriers that differ in {field.name} alone")


def _pairs(queriers: Sequence[UtilizationMetricQuerier]) -> Iterator[CoalescedQuerier]:
    """Yield each querier, for each label that it matches exactly, together with one that wants another value."""
    for querier in queriers:
        asked = ask(querier)
        for label, matcher in asked.labels.items():
            if matcher.operator is MatchOperator.EQUAL and label.lower() not in NEVER_GROUPED:
                wanted = {**asked.wanted, label: _OTHER}
                other = FixedQuerier(asked.name, wanted, group_by=asked.group_by, strategy=asked.strategy)
                yield from coalesce([querier, other])


def _alike(one: ResolvedQuerier, two: ResolvedQuerier) -> bool:
    named = isinstance(one.strategy, QueryStrategy) or isinstance(two.strategy, QueryStrategy)
    if named or type(one.strategy) is not type(two.strategy):
        return False
    labels = one.labels.keys()
    differing = [label for label in labels if one.labels[label] != two.labels.get(label)]
    return len(differing) == 1 and (one.name, one.group_by, labels) == (two.name, two.group_by, two.labels.keys())
