"""Recording rules of Prometheus: the heavy queries of kinds, per owner, in YAML.

A record is named LEVEL:METRIC:OPERATIONS, as Prometheus recommends: the labels that its series keep, the kind with its
metric, and what was computed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from statcore.errors import InputError, PluginError, StatcoreError
from statcore.promql.syntax import (
    Aggregation,
    BinaryOperation,
    Call,
    Expression,
    HistogramQuantile,
    Subquery,
    parts_in,
    render,
)
from statcore.queriers.interface import PercentOfCapacity
from statcore.queriers.matcher import Matchers
from statcore_cli.exports.queries import ExportedQuery

_ESCAPED: Final = re.compile("[^ -~\U00010000-\U0010ffff]")
_HEAVY: Final = (BinaryOperation, Call, HistogramQuantile, Subquery)


@attrs.frozen(kw_only=True)
class RecordingRule:
    """A rule: the name of the series that it records, and the PromQL of their values."""

    record: str
    expression: str


@attrs.frozen(kw_only=True)
class RecordingRules:
    """The rules of the heavy queries: percent of capacity, rates, and other operations on several series.

    A query has a rule for each owner. If its querier itself distinguishes objects, it has one rule, which does so as well.
    The recorded series keep the labels of the scope, so that reads of them can be confined.

    Args:
        queries: by kind, its queries.
        matchers: the matchers of the scope, which are in every selector.
        rate_interval: the window that rates are taken over.
        normalization_interval_s: the divisor of `rate_normalized`.
        on_fault: is called with the name and the error of each query that cannot be written, and of each rule whose name
            another rule has, and which so are left out.
    """

    queries: Mapping[str, Iterable[ExportedQuery]]
    matchers: Matchers
    rate_interval: timedelta | str
    normalization_interval_s: float
    on_fault: Callable[[str, StatcoreError], None]

    def by_kind(self) -> Mapping[str, Sequence[RecordingRule]]:
        """Return the rules of each kind."""
        taken: dict[str, str] = {}
        return {kind: list(self._rules(queries, taken)) for kind, queries in self.queries.items()}

    def _rules(self, queries: Iterable[ExportedQuery], taken: dict[str, str]) -> Iterator[RecordingRule]:
        """Yield the rules of queries; `taken` has the name of the query of each rule before."""
        for query in queries:
            try:
                rules = list(self._rules_of(query))
            except (InputError, PluginError) as error:
                self.on_fault(query.name, error)
                continue
            for rule in rules:
                if other := taken.get(rule.record):
                    self.on_fault(f"{rule.record} of {query.name}", InputError(f"a rule of {other} has the same name"))
                else:
                    taken[rule.record] = query.name
                    yield rule

    def _rules_of(self, query: ExportedQuery) -> Iterator[RecordingRule]:
        levels = [query.distinguished] if query.distinguished else [(label,) for label in query.owners]
        kept = [label for label, _ in self.matchers]
        # The levels of two labels of the scope are the same rule.
        for labels in dict.fromkeys(tuple(sorted({*level, *kept})) for level in levels):
            expression = query.expression(
                matchers=self.matchers,
                group_by=labels,
                rate_interval=self.rate_interval,
                normalization_interval_s=self.normalization_interval_s,
            )
            if any(isinstance(part, _HEAVY) for part in parts_in(expression)):
                yield RecordingRule(
                    record=_name(query, labels, expression),
                    expression=render(expression),
                )


def rules_file(rules_by_kind: Mapping[str, Sequence[RecordingRule]]) -> str:
    """Return a file of rules in YAML, with a group for each kind that has rules."""
    lines: list[str] = []
    for kind, rules in rules_by_kind.items():
        lines += [f"  - name: {_quoted(f'statcore {kind}')}", "    rules:"] if rules else []
        for rule in rules:
            lines += [f"      - record: {_quoted(rule.record)}", f"        expr: {_quoted(rule.expression)}"]
    return "\n".join(["groups:" if lines else "groups: []", *lines]) + "\n"


def _quoted(text: str) -> str:
    """Return text as a scalar of YAML: a string of JSON without surrogates, which YAML does not have."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _name(query: ExportedQuery, labels: Iterable[str], expression: Expression) -> str:
    metric = "_".join(filter(None, [query.kind, query.metric, *query.choices]))
    operations = list(dict.fromkeys(_operations(query, expression))) or ["sum"]
    parts = ("_".join(labels), metric, "_".join(operations))
    return ":".join(re.sub(r"[^A-Za-z0-9_]", "_", part) for part in parts)


def _operations(query: ExportedQuery, expression: Expression) -> Iterator[str]:
    """Yield what an expression computes, the last operation first; a sum is named only if nothing else is."""
    if isinstance(query.query.strategy, PercentOfCapacity):
        yield "percent"
    for part in parts_in(expression):
        match part:
            case HistogramQuantile(quantile=quantile):
                yield f"quantile{quantile!r}"
            case Call(function=function, argument=argument):
                yield f"{function}{argument.window}"
            case Aggregation(operator=operator) if operator != "sum":
                yield operator
            case _:
                pass
