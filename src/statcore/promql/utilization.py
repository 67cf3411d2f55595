"""The expression for a querier's utilization, and the check that a plugin's strategy reads no more than its query."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import lru_cache
from types import FunctionType
from typing import Final, cast, get_args

from statcore.concurrency import close_coroutine
from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.model.time import format_duration
from statcore.promql.quoting import escape
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
    render,
    selectors_in,
)
from statcore.queriers.container import OWNER_LABELS
from statcore.queriers.interface import (
    ExpressionStrategy,
    MetricQuery,
    PercentOfCapacity,
    QueryStrategy,
    UtilizationMetricQuerier,
    resolve,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator, RecurringLabels, as_labels, as_matcher

RATE_INTERVAL: Final = "5m"
"""The default window that rates are taken over."""
NORMALIZATION_INTERVAL_S: Final = 1.0
"""The default divisor of `rate_normalized`. It is not written: the rate of a cumulative counter is per second already."""

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
        querier: a querier of any kind.
        rate_interval: the window that rates are taken over.
        normalization_interval_s: the divisor of `rate_normalized`; 1, the default, is not written. Where agents export
            amounts per collection interval instead of cumulative counters, it is that interval in seconds.

    Raises:
        PluginError: the querier, or its plugin's own strategy, breaks its contract. A strategy breaks it also if its
            expression reads more than the query.
        InputError: an interval that is not positive, or a name that is not valid.
    """
    window = _checked_window(rate_interval, normalization_interval_s)
    return _expression(resolve(querier), window, normalization_interval_s)


def utilization_text(
    querier: UtilizationMetricQuerier,
    *,
    rate_interval: timedelta | str = RATE_INTERVAL,
    normalization_interval_s: float = NORMALIZATION_INTERVAL_S,
) -> str:
    """Return the text of the expression that `utilization_query` returns.

    The expression is built once for all queriers that differ only in the values of their labels. With a plugin's own
    strategy it is built for each querier.

    Args:
        querier: a querier of any kind.
        rate_interval: the window that rates are taken over.
        normalization_interval_s: the divisor of `rate_normalized`, as in `utilization_query`.

    Raises:
        PluginError: the querier, or its plugin's own strategy, breaks its contract. A strategy breaks it also if its
            expression reads more than the query.
        InputError: an interval that is not positive, or a name that is not valid.
    """
    query = resolve(querier)
    name, labels, group_by, strategy = query
    # The expression of a plugin's strategy may depend on label values, so only our own strategies have a template.
    if isinstance(strategy, (QueryStrategy, PercentOfCapacity)):
        shape: list[str | tuple[str, MatchOperator]] = []
        values: list[str] = []
        for label, matcher in query.matchers if type(labels) is RecurringLabels else labels.items():
            if isinstance(matcher, str):
                shape.append(label)
                values.append(matcher)
            else:
                shape.append((label, matcher.operator))
                values.append(matcher.value)
        everything = "".join(values)
        if escape(everything) != everything:
            values = list(map(escape, values))
        try:
            template, selectors = _template(name, tuple(shape), group_by, strategy, rate_interval, normalization_interval_s)
        except TypeError:
            pass  # an argument cannot be hashed; building the expression shows whether it is valid
        else:
            return template % (tuple(values) * selectors)
    window = _checked_window(rate_interval, normalization_interval_s)
    return render(_expression(query, window, normalization_interval_s))


@lru_cache(maxsize=1024)  # programs have few shapes of queries, and query each of them many times
def _template(
    name: str,
    shape: tuple[str | tuple[str, MatchOperator], ...],
    group_by: tuple[str, ...],
    strategy: QueryStrategy | PercentOfCapacity,
    rate_interval: timedelta | str,
    normalization_interval_s: float,
) -> tuple[str, int]:
    """Return the text of all queries that differ only in label values, with `%s` in place of each value.

    Args:
        name: the metric name.
        shape: an item for each matcher: the label, or the label and the operator of a LabelMatcher.
        group_by: the labels to group by.
        strategy: a strategy of statcore.
        rate_interval: the window that rates are taken over.
        normalization_interval_s: the divisor of `rate_normalized`.

    Returns:
        The text, and how many selectors it has; each of them has all values, in order.
    """
    mark = "\0"  # no name may hold it, so it stands in the text only where a value does
    matchers = tuple((item, mark) if isinstance(item, str) else (item[0], LabelMatcher(item[1], mark)) for item in shape)
    query = MetricQuery(name, as_labels(matchers), group_by, strategy)
    expression = _expression(query, _checked_window(rate_interval, normalization_interval_s), normalization_interval_s)
    return render(expression).replace("%", "%%").replace(mark, "%s"), len(selectors_in(expression))


def _checked_window(rate_interval: timedelta | str, normalization_interval_s: float) -> str:
    """Return the window of rates; a gauge has none, but a bad setting should be found with the first query."""
    if not normalization_interval_s > 0:
        raise InputError(f"normalization_interval_s must be above zero, not {normalization_interval_s!r}")
    return format_duration(rate_interval)


def _expression(query: MetricQuery, window: str, normalization_interval_s: float) -> Expression:
    strategy = query.strategy
    if isinstance(strategy, PercentOfCapacity):
        return _percent_of_capacity(strategy, query, window)
    if not isinstance(strategy, QueryStrategy):
        return _plugin_expression(strategy, query, window)
    selector = Selector(query.name, query.matchers)
    if strategy is QueryStrategy.GAUGE:
        return Aggregation("sum", selector, query.group_by)
    summed_rate = Aggregation("sum", Call("rate", RangeSelector(selector, window)), query.group_by)
    if strategy is QueryStrategy.RATE or normalization_interval_s == 1:
        return summed_rate
    return BinaryOperation("/", summed_rate, Number(normalization_interval_s))


def _percent_of_capacity(strategy: PercentOfCapacity, query: MetricQuery, window: str) -> Expression:
    if _VALUE_TYPE in dict(query.matchers) or _VALUE_TYPE in query.group_by:
        raise _broken(strategy, f"sets the label {_VALUE_TYPE}, which labels() and group_by_labels() must leave out")
    current, capacity = (
        Selector(query.name, (*query.matchers, (_VALUE_TYPE, value_type))) for value_type in ("current", "capacity")
    )
    bounded = BinaryOperation("<=", BinaryOperation(">", capacity, Number(0)), _GREATEST)  # neither NaN nor infinite
    partner = Matching.ignoring(_VALUE_TYPE)
    if strategy.is_counter:
        rate = Call("rate", RangeSelector(current, window))
        share: Expression = Aggregation("sum", BinaryOperation("/", rate, bounded, matching=partner), query.group_by)
    else:
        used, whole = (
            Aggregation("sum", BinaryOperation("and", series, other, matching=partner), query.group_by)
            for series, other in ((current, bounded), (bounded, current))
        )
        share = BinaryOperation("/", used, whole)
    return ConstantLabel(BinaryOperation("*", share, Number(100)), _VALUE_TYPE, "pct")


def _plugin_expression(strategy: ExpressionStrategy, query: MetricQuery, window: str) -> Expression:
    replaces = replaced_labels(strategy)
    copy = query._replace(wanted=as_labels(query.matchers))  # a strategy may change the mapping of its query
    try:
        answer: object = strategy(copy, window)
    except InputError:
        raise
    except Exception as error:
        raise _broken(strategy, f"raised {describe(error)}") from error
    if type(answer) not in get_args(Expression):
        close_coroutine(answer)
        raise _broken(strategy, f"answered {reprlib.repr(answer)}: expected an expression of statcore.promql")
    expression = cast("Expression", answer)
    matchers = [(label, as_matcher(matcher)) for label, matcher in query.matchers]
    if wider := widening(expression, matchers, replaces=replaces):
        hint = "write every matcher of the query in each selector, or declare the label in `replaces` of the strategy"
        raise _broken(strategy, f"reads more than its query: {wider}; {hint}")
    return expression


def widening(
    expression: Expression, matchers: Iterable[tuple[str, LabelMatcher]], *, replaces: Collection[str] = ()
) -> str | None:
    """Return how an expression reads more than the matchers allow, or None where it does not.

    Every selector, of any metric, carries each matcher unchanged, or a narrower matcher of the same label, which has only
    some of the literal values of a `one_of`. Further matchers are allowed. No constant label has the name of a matched
    label, or of a label that names the owner of a series: where queriers share a request, one would get the series of
    another.

    Args:
        expression: the expression to be evaluated.
        matchers: pairs of label and matcher; a label may recur, and each of its matchers counts.
        replaces: labels that some selectors may lack or match in another way; at least one selector carries each of their
            matchers. Constant labels may have these names.
    """
    matchers = list(matchers)
    selectors = [(selector, selector.matchers) for selector in selectors_in(expression)]
    for label, matcher in matchers:
        wider = [selector for selector, carried in selectors if not _narrows(carried, label, matcher)]
        if wider and label not in replaces:
            return f"{wider[0].text:.500} does not match {label}{matcher.operator}{matcher.value!r:.100}"
        if len(wider) == len(selectors):
            return f"no selector matches {label}{matcher.operator}{matcher.value!r:.100}"
    kept = {*dict(matchers), *OWNER_LABELS}.difference(replaces)
    for part in parts_in(expression):
        if isinstance(part, ConstantLabel) and part.name in kept:
            return f"{part.text:.500} sets {part.name}, which must tell series apart"
    return None


def _narrows(carried: list[tuple[str, LabelMatcher]], label: str, matcher: LabelMatcher) -> bool:
    return any(name == label and other.is_within(matcher) for name, other in carried)


def replaced_labels(strategy: ExpressionStrategy) -> frozenset[str]:
    """Return the labels that a plugin's strategy declares in `replaces`: some of its selectors need not match them.

    Raises:
        PluginError: it is not a collection of label names, or holds a label that names the owner of a series, by which
            a host may confine reads.
    """
    try:
        declared = label_names(getattr(strategy, "replaces", ()))
    except Exception as error:
        problem = f"has no collection of label names in `replaces`: {describe(error)}"
        raise _broken(strategy, problem, method="replaces") from error
    if owners := sorted(set(declared).intersection(OWNER_LABELS)):
        problem = f"declares {', '.join(owners)} in `replaces`; it names the owner of a series, so every selector has it"
        raise _broken(strategy, problem, method="replaces")
    return frozenset(declared)


def _broken(strategy: PercentOfCapacity | ExpressionStrategy, problem: str, *, method: str = "__call__") -> PluginError:
    named = strategy if isinstance(strategy, FunctionType) else type(strategy)
    plugin = f"{named.__module__}.{named.__qualname__}"
    return PluginError(f"the strategy {plugin} {problem}", plugin=plugin, method=method)
