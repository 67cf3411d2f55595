"""Checks of what a querier's four methods return, and of the expression that is built from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from statcore.errors import InputError
from statcore.plugins.hooks import QuerierSpec
from statcore.promql.quoting import label_text, selector_parts
from statcore.promql.syntax import Selector
from statcore.promql.utilization import replaced_labels
from statcore.queriers.interface import PercentOfCapacity, QueryStrategy, UtilizationMetricQuerier
from statcore.testing.expectations import expect
from statcore.testing.querier_checks.expressions import expect_answers, rate_windows, replaced
from statcore.testing.querier_checks.reading import arguments_of, at_least_one, expression_of, query_of

_WINDOWS: Final = ("5m", "90s", "1h30m", "1ms", "1y", timedelta(minutes=7))


def check_methods_answer(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The four methods of every querier that can be built return what `UtilizationMetricQuerier` says of each.

    These are a name; matchers, as text or `LabelMatcher`, by label; a list of labels; and a strategy. The constructor
    refuses whatever the methods cannot answer.
    """
    del spec
    for querier in at_least_one(queriers):
        query_of(querier)


def check_names_can_be_written(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The metric name is valid, and so are the labels, matched or grouped by; `__name__` is not among the labels."""
    del spec
    for querier in queriers:
        query = query_of(querier)
        try:
            selector_parts(query.name)
            for label in query.group_by:
                label_text(label)
            Selector(query.name, query.matchers)
        except InputError as error:
            raise AssertionError(f"{querier!r:.200}: {error}") from error


def check_expressions_render_for_any_window(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The strategy returns an expression for every window; `rate`, `irate`, `increase` and `delta` use that window only.

    A function `…_over_time` may have a fixed window, for example for the maximum of a day.
    """
    del spec
    for querier in queriers:
        for window in _WINDOWS:
            expression = expression_of(querier, window=window)
            expected = "7m" if isinstance(window, timedelta) else window
            if windows := rate_windows(expression) - {expected}:
                raise AssertionError(f"rates over {windows}, though {expected} is expected, in {expression.text}")


def check_answers_keep_the_labels_grouped_by(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The series of the answer have the labels grouped by, and constant labels; no matcher of the querier is lost.

    So everything is aggregated, and no aggregation keeps a label that an aggregation inside it has dropped. The sides of an
    operation have the same labels, or are matched by labels that both have. Every selector has all matchers of the querier,
    and may have more; otherwise the expression is refused. A selector may lack a label that the strategy declares in
    `replaces`, or match it in another way (the capacity beside the current value), as long as another selector has the
    querier's matcher and the querier does not group by that label.
    """
    del spec
    for querier in queriers:
        expect_answers(query_of(querier), expression_of(querier))


def check_declared_labels_are_replaced(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """A strategy replaces each label that it declares in `replaces`: a selector lacks it, or matches it in another way.

    A label that is declared, yet matched everywhere, would hide that a selector loses it later. A label that no querier
    matches is not checked. No declared label names the owner of a series, as `kernel_id` and `user_id` do.
    """
    del spec
    declared: dict[str, str] = {}
    used: set[str] = set()
    for querier in queriers:
        query, expression = query_of(querier), expression_of(querier)
        if isinstance(query.strategy, QueryStrategy | PercentOfCapacity):
            continue
        declared |= dict.fromkeys(replaced_labels(query.strategy).intersection(query.labels), expression.text)
        used |= replaced(query, expression)
    for label in sorted(declared.keys() - used):
        raise AssertionError(f"{label} is declared in `replaces`, and matched everywhere in {declared[label]}")


def check_asking_again_answers_the_same(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """A querier returns the same on every call, and another querier with the same fields returns the same, too."""
    for querier in queriers:
        first, text = query_of(querier), expression_of(querier).text
        for other in (querier, spec.querier(**arguments_of(spec, querier))):
            second = query_of(other)
            expect(first.name, second.name, f"the name that {other!r:.200} answers the next time")
            expect(list(first.wanted.items()), list(second.wanted.items()), "the labels, in order, the next time")
            expect(first.group_by, second.group_by, "the labels to group by the next time")
            expect(first.strategy, second.strategy, "the strategy the next time, by which queriers share requests")
            expect(text, expression_of(other).text, "the expression the next time")
