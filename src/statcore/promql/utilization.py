"""A querier to the expression of its utilization: the three strategies, percent of capacity, and those of plugins."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from types import FunctionType
from typing import Final, cast, get_args

from statcore.concurrency import close_coroutine
from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.model.time import format_duration
from statcore.promql.syntax import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    Matching,
    Number,
    RangeSelector,
    Selector,
    label_names,
    parts_in,
    selectors_in,
)
from statcore.queriers.container import OWNER_LABELS
from statcore.queriers.interface import UtilizationMetricQuerier, resolve
from statcore.queriers.matcher import LabelMatcher
from statcore.queriers.query import ExpressionStrategy, PercentOfCapacity, QueryStrategy, ResolvedQuerier


def widening(expression: Expression, matchers: Mapping[str, LabelMatcher], *, replaces: Collection[str] = ()) -> str | None:
    """Return how an expression reads more than the matchers let it, or None where it does not.

    Every selector, of whatever metric, carries each matcher as it is, or a narrower one in its place: literal values out of
    the same `one_of`. It may carry matchers of more labels. No constant label has the name of a matched label, or of one
    that says whose a series is: where queriers share a request, one would be answered with the series of the others.

    Args:
        expression: what is to be evaluated.
        matchers: label name to matcher, as a querier or a scope has them.
        replaces: labels that some selectors may lack, or match otherwise; at least one has the matcher. Constant labels may
            have these names.
    """
    selectors = [(selector, selector.labels) for selector in selectors_in(expression)]
    for label, matcher in matchers.items():
        wider = [selector for selector, labels in selectors if not _carries(labels, label, matcher)]
        if wider and label not in replaces:
            return f"{wider[0].text:.500} does not match {label}{matcher.operator}{matcher.value!r:.100}"
        if len(wider) == len(selectors):
            return f"no selector matches {label}{matcher.operator}{matcher.value!r:.100}"
    kept = {*matchers, *OWNER_LABELS}.difference(replaces)
    for part in parts_in(expression):
        if isinstance(part, ConstantLabel) and part.name in kept:
            return f"{part.text:.500} sets {part.name}, by which series are told apart"
    return None


def _carries(labels: Mapping[str, LabelMatcher], label: str, matcher: LabelMatcher) -> bool:
    return label in labels and labels[label].is_within(matcher)


RATE_INTERVAL: Final = "5m"
"""The window that rates are taken over."""
NORMALIZATION_INTERVAL_S: Final = 1.0
"""The default divisor of `rate_normalized`, not written: the rate of a cumulative counter is per second already."""

_VALUE_TYPE: Final = "value_type"
_GREATEST: Final = Number(sys.float_info.max)


def utilization_query(
    querier: UtilizationMetricQuerier,
    *,
    rate_interval: timedelta | str = RATE_INTERVAL,
    normalization_interval_s: float = NORMALIZATION_INTERVAL_S,
) -> Expression:
    """Return the expression that answers a querier.

    Args:
        querier: of any kind.
        rate_interval: the window that rates are taken over.
        normalization_interval_s: what `rate_normalized` divides by; 1, the default, is not written. Where agents export
            amounts per collection interval in the place of cumulative counters, it is that interval in seconds.

    Raises:
        PluginError: the querier, or a strategy of its plugin's own, breaks its contract; a strategy also does that when it
            reads more than the querier asks for.
        InputError: an interval that is not positive, or a name that cannot be one.
    """
    if not normalization_interval_s > 0:
        raise InputError(f"normalization_interval_s must be above zero, not {normalization_interval_s!r}")
    window = format_duration(rate_interval)  # checked for a gauge, too, which does not use it
    asked = resolve(querier)
    if isinstance(asked.strategy, PercentOfCapacity):
        return _percent_of_capacity(asked.strategy, asked, window)
    if not isinstance(asked.strategy, QueryStrategy):
        return _own_expression(asked.strategy, asked, window)
    selector = Selector(asked.name, asked.wanted)
    if asked.strategy is QueryStrategy.GAUGE:
        return Aggregation("sum", selector, asked.group_by)
    summed_rate = Aggregation("sum", Call("rate", RangeSelector(selector, window)), asked.group_by)
    if asked.strategy is QueryStrategy.RATE or normalization_interval_s == 1:
        return summed_rate
    return BinaryOperation("/", summed_rate, Number(normalization_interval_s))


def _percent_of_capacity(strategy: PercentOfCapacity, asked: ResolvedQuerier, window: str) -> Expression:
    if _VALUE_TYPE in asked.wanted or _VALUE_TYPE in asked.group_by:
        raise _broken(strategy, f"sets the label {_VALUE_TYPE}, which labels() and group_by_labels() have to leave out")
    current, capacity = (
        Selector(asked.name, {**asked.wanted, _VALUE_TYPE: value_type}) for value_type in ("current", "capacity")
    )
    bounded = BinaryOperation("<=", BinaryOperation(">", capacity, Number(0)), _GREATEST)  # neither NaN nor infinite
    partner = Matching.ignoring(_VALUE_TYPE)
    if strategy.is_counter:
        rate = Call("rate", RangeSelector(current, window))
        share: Expression = Aggregation("sum", BinaryOperation("/", rate, bounded, matching=partner), asked.group_by)
    else:
        used, whole = (
            Aggregation("sum", BinaryOperation("and", series, other, matching=partner), asked.group_by)
            for series, other in ((current, bounded), (bounded, current))
        )
        share = BinaryOperation("/", used, whole)
    return ConstantLabel(BinaryOperation("*", share, Number(100)), _VALUE_TYPE, "pct")


def _own_expression(strategy: ExpressionStrategy, asked: ResolvedQuerier, window: str) -> Expression:
    replaces = replaced_labels(strategy)
    matchers = asked.labels  # before the strategy, which could take some out of `asked.wanted`
    try:
        answer: object = strategy(asked, window)
    except InputError:
        raise
    except Exception as error:
        raise _broken(strategy, f"raised {describe(error)}") from error
    if type(answer) not in get_args(Expression):
        close_coroutine(answer)
        raise _broken(strategy, f"answered {reprlib.repr(answer)}: expected an expression of statcore.promql")
    expression = cast("Expression", answer)
    if wider := widening(expression, matchers, replaces=replaces):
        hint = (
            "each selector takes all of the labels that the strategy is given, or the strategy declares them in `replaces`"
        )
        raise _broken(strategy, f"reads more than the querier asks for: {wider}; {hint}")
    return expression


def replaced_labels(strategy: ExpressionStrategy) -> frozenset[str]:
    """Return the labels that a plugin's strategy declares in `replaces`: those that some of its selectors need not match.

    Raises:
        PluginError: it is no collection of label names, or holds a label that scopes confine reads by.
    """
    try:
        declared = label_names(getattr(strategy, "replaces", ()))
    except Exception as error:
        said = f"has no collection of label names in `replaces`: {describe(error)}"
        raise _broken(strategy, said, method="replaces") from error
    if owners := sorted(set(declared).intersection(OWNER_LABELS)):
        said = f"declares {', '.join(owners)} in `replaces`; that says whose a series is, and is matched in every selector"
        raise _broken(strategy, said, method="replaces")
    return frozenset(declared)


def _broken(strategy: PercentOfCapacity | ExpressionStrategy, said: str, *, method: str = "__call__") -> PluginError:
    named = strategy if isinstance(strategy, FunctionType) else type(strategy)
    plugin = f"{named.__module__}.{named.__qualname__}"
    return PluginError(f"the strategy {plugin} {said}", plugin=plugin, method=method)
