"""What a querier's four methods answer, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from statcore.errors import InputError
from statcore.plugins.hooks import QuerierSpec
from statcore.promql.names import label_text, selector_parts
from statcore.promql.syntax import Selector
from statcore.promql.utilization import replaced_labels
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.query import PercentOfCapacity, QueryStrategy
from statcore.testing.expectations import expect
from statcore.testing.querier_checks.asking import arguments_of, ask, at_least_one, expression_of
from statcore.testing.querier_checks.expressions import expect_answers, rate_windows, replaced

_WINDOWS: Final = ("5m", "90s", "1h30m", "1ms", "1y", timedelta(minutes=7))


def check_methods_answer(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The four methods of a querier that could be built answer, with what `UtilizationMetricQuerier` says of each.

    A name; matchers, as text or `LabelMatcher`, by label; a list of labels; a strategy, one of the three or a function.
    What a querier cannot be asked about, its constructor refuses.
    """
    del spec
    for querier in at_least_one(queriers):
        ask(querier)


def check_names_can_be_written(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The metric name and the labels, those grouped by too, are names, and `__name__` is none of the labels."""
    del spec
    for querier in queriers:
        asked = ask(querier)
        try:
            selector_parts(asked.name)
            for label in asked.group_by:
                label_text(label)
            Selector(asked.name, asked.wanted)
        except InputError as error:
            raise AssertionError(f"{querier!r:.200}: {error}") from error


def check_expressions_render_for_any_window(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The strategy gives an expression for every window, and `rate`, `irate`, `increase` and `delta` are over that alone.

    A function `…_over_time` may have a window of its own, where that is what is meant: the maximum of a day.
    """
    del spec
    for querier in queriers:
        for window in _WINDOWS:
            expression = expression_of(querier, window=window)
            wanted = "7m" if isinstance(window, timedelta) else window
            if windows := rate_windows(expression) - {wanted}:
                raise AssertionError(f"rates over {windows}, though {wanted} was asked for, in {expression.text}")


def check_answers_keep_the_labels_grouped_by(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """The answer's series have the labels grouped by and no others but constant ones; no matcher of the querier is lost.

    So everything is aggregated, and nothing keeps a label that an aggregation inside has dropped; the sides of an operation
    have the same labels, or are matched by labels that both have. Every selector has all of the querier's labels, matched
    as the querier does, and may have more; else the expression is refused. What the strategy declares in `replaces` a
    selector may lack or match otherwise (the capacity beside what is current), as long as another has the querier's matcher
    and it is not grouped by.
    """
    del spec
    for querier in queriers:
        expect_answers(ask(querier), expression_of(querier))


def check_declared_labels_are_replaced(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """What a strategy declares in `replaces` it does replace: some selector lacks that label, or matches it otherwise.

    A label that is declared and matched everywhere would hide that a selector loses it later. Where no querier matches the
    label, nothing can be told. None of the labels says whose a series is, as `kernel_id` and `user_id` do.
    """
    del spec
    declared: dict[str, str] = {}
    used: set[str] = set()
    for querier in queriers:
        asked, expression = ask(querier), expression_of(querier)
        if isinstance(asked.strategy, QueryStrategy | PercentOfCapacity):
            continue
        declared |= dict.fromkeys(replaced_labels(asked.strategy).intersection(asked.labels), expression.text)
        used |= replaced(asked, expression)
    for label in sorted(declared.keys() - used):
        raise AssertionError(f"{label} is declared in `replaces`, and matched everywhere in {declared[label]}")


def check_asking_again_answers_the_same(spec: QuerierSpec, queriers: Sequence[UtilizationMetricQuerier]) -> None:
    """A querier answers the same however often it is asked, and so does another one with the same fields."""
    for querier in queriers:
        first, text = ask(querier), expression_of(querier).text
        for again in (querier, spec.querier(**arguments_of(spec, querier))):
            second = ask(again)
            expect(first.name, second.name, f"the name that {again!r:.200} answers the next time")
            expect(list(first.wanted.items()), list(second.wanted.items()), "the labels, in order, the next time")
            expect(first.group_by, second.group_by, "the labels to group by the next time")
            expect(first.strategy, second.strategy, "the strategy the next time, by which queriers share requests")
            expect(text, expression_of(again).text, "the expression the next time")
