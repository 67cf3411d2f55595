"""Queriers: their interfaces, their strategies, and the validated query that `resolve` makes of a querier."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

import attrs

from statcore.concurrency import close_coroutine
from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.queriers.matcher import LabelMatcher, Matchers, as_matchers, as_pairs, label_value

NEVER_GROUPED: Final = frozenset(["inf", "nan", "without"])
"""Words, in upper or lower case, that no server reads as a bare label in a grouping; newer servers read them in quotes."""


class PrometheusMetricQuerier(ABC):
    """A querier that says which series to read: a metric name and label matchers."""

    @abstractmethod
    def name(self) -> str:
        """Return the metric name, for example `backendai_container_utilization`."""

    @abstractmethod
    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the matcher of each label, in the order in which they are written; text means an exact match."""


class AggregatingMetricQuerier(PrometheusMetricQuerier):
    """A querier that also says by which labels the series are summed."""

    @abstractmethod
    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the series of the answer keep; an empty list sums everything into one series."""


class UtilizationMetricQuerier(AggregatingMetricQuerier):
    """A querier that also says how the samples become a utilization."""

    @abstractmethod
    def query_strategy(self) -> Strategy:
        """Return the strategy for this metric: a `QueryStrategy`, `PercentOfCapacity`, or a plugin's own strategy."""


class QueryStrategy(StrEnum):
    """How the samples of a series become a utilization."""

    GAUGE = "gauge"
    """The value without a change (`mem`)."""
    RATE = "rate"
    """The increase per second of a cumulative counter (`cpu_util`)."""
    RATE_NORMALIZED = "rate_normalized"
    """The increase per second (`net_rx`, `net_tx`), divided by the backend's `normalization_interval_s`, 1 by default."""


@attrs.frozen
class PercentOfCapacity:
    """Current values in percent of the capacity, over series that differ in the label `value_type` alone.

    `statcore.promql` writes the expression. It matches `value_type` itself and gives the answer `value_type="pct"`, so the
    querier neither matches that label nor groups by it. A series counts only together with its partner, and only where the
    capacity is a finite number above 0.

    Args:
        is_counter: whether the current values are counters. The rate of each series is then divided by its own capacity,
            and the percentages are added: two processes that use a core each are 200 percent. Otherwise the sum of the
            current values is divided by the sum of the capacities.
    """

    is_counter: bool = False


class QueryExpression(Protocol):
    """An expression of `statcore.promql`, the only kind of value that a strategy may return."""

    @property
    def text(self) -> str:
        """The PromQL."""
        ...


class ExpressionStrategy(Protocol):
    """A plugin's own strategy, for example a quantile of a histogram or the difference of two metrics.

    It may be a function. A strategy with parameters is a frozen class with `__call__`, so that two with equal parameters
    are equal: queriers share requests only where their strategies are equal.

    Every selector of the expression carries each of the query's matchers, unchanged or narrower. An expression that reads
    more is refused. A class may declare labels that some of its selectors lack or match in another way, as a class
    variable: `replaces = ("mode",)`. Labels that name the owner of a series, such as `kernel_id` and `user_id`, cannot be
    declared. Queriers that differ in the value of a declared label do not share a request, because a shared request would
    be grouped by that label.
    """

    def __call__(self, query: MetricQuery, window: str, /) -> QueryExpression:
        """Return the expression, made of values of `statcore.promql`, that answers a query.

        Args:
            query: the validated query. Where several queriers share a request it is the query of all of them, so take the
                labels from it and from nowhere else. The answer must have one series per combination of `query.group_by`,
                with these labels alone, and its value must depend on the samples of that combination alone.
            window: the duration that rates are taken over, for example `5m`.
        """
        ...


Strategy: TypeAlias = QueryStrategy | PercentOfCapacity | ExpressionStrategy
"""The strategies that `query_strategy` may return."""


class MetricQuery(NamedTuple):
    """The query of a querier: the validated results of its four methods.

    Attributes:
        name: the metric name.
        wanted: label to matcher as the querier wrote them, or `RecurringLabels` where a label has several matchers.
        group_by: the labels that the series of the answer keep, sorted and distinct.
        strategy: how samples become the answer.
    """

    name: str
    wanted: Mapping[str, str | LabelMatcher]
    group_by: tuple[str, ...]
    strategy: Strategy

    @property
    def matchers(self) -> Matchers:
        """Pairs of label and matcher, in order; text means an exact match. Where a label recurs, all its matchers hold."""
        return as_pairs(self.wanted)

    @property
    def labels(self) -> dict[str, LabelMatcher]:
        """The matcher of every label, in order.

        Raises:
            UnsupportedError: a label recurs; a mapping would lose one of its matchers. Use `matchers`.
        """
        return as_matchers(self.wanted)


ResolvedQuerier: TypeAlias = MetricQuery
"""The former name of `MetricQuery`; strategies that were written for it still use it."""


@attrs.frozen
class PreparedQuerier(UtilizationMetricQuerier):
    """A querier that holds its validated query, which `resolve` returns without calling any method."""

    query: MetricQuery = attrs.field(hash=False)  # its mapping cannot be hashed

    def name(self) -> str:
        """Return the metric name."""
        return self.query.name

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the matcher of each label, or `RecurringLabels` where a label has several."""
        return self.query.wanted

    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the series of the answer keep."""
        return self.query.group_by

    def query_strategy(self) -> Strategy:
        """Return the strategy."""
        return self.query.strategy


class _WrongAnswerError(Exception):
    def __init__(self, answer: object, expected: str) -> None:
        super().__init__(f"answered {reprlib.repr(answer)}: expected {expected}")
        close_coroutine(answer)


def resolve(querier: UtilizationMetricQuerier) -> MetricQuery:
    """Return the validated query of a querier; each of its four methods is called once.

    Raises:
        PluginError: a method is missing, raises, or returns a value of another kind; the error names the class and the
            method.
        InputError: a label value cannot be encoded, or the querier itself raises the error for bad input.
    """
    method = "name"
    try:
        if isinstance(querier, PreparedQuerier):
            return querier.query
        name = _name(querier.name())
        method = "labels"
        labels = _labels(querier.labels())
        method = "group_by_labels"
        group_by = _group_by(querier.group_by_labels())
        method = "query_strategy"
        strategy = _strategy(querier.query_strategy())
    except InputError:
        raise
    except Exception as error:
        plugin = f"{type(querier).__module__}.{type(querier).__qualname__}"
        problem = error if isinstance(error, _WrongAnswerError) else f"raised {describe(error)}"
        raise PluginError(f"{plugin}.{method}() {problem}", plugin=plugin, method=method) from error
    return MetricQuery(name, labels, group_by, strategy)


def _name(answer: object) -> str:
    if isinstance(answer, str) and answer:
        return answer
    raise _WrongAnswerError(answer, "a metric name")


def _labels(answer: Mapping[Any, Any] | None) -> Mapping[str, str | LabelMatcher]:
    # `dict` is checked first, because a check of the abstract class takes as long as the rest of this function.
    if not isinstance(answer, (dict, Mapping)):
        raise _WrongAnswerError(answer, "a mapping of label name to text or LabelMatcher")
    labels: dict[Any, Any] = dict(answer)  # read once: a second reading could return values that were not checked
    for label, value in labels.items():
        if not isinstance(label, str) or not label:
            raise _WrongAnswerError(labels, f"label names, not {label!r}")
        if type(value) is LabelMatcher or (type(value) is str and value.isascii()):
            continue
        if not isinstance(value, str):
            raise _WrongAnswerError(labels, f"text or a LabelMatcher for the label {label!r}")
        labels[label] = label_value(value)
    return labels


def _group_by(answer: Collection[Any] | None) -> tuple[str, ...]:
    if isinstance(answer, (list, tuple, Sequence, AbstractSet)) and not isinstance(answer, str):
        try:
            return _sorted_names(tuple(answer))
        except TypeError:
            pass
    raise _WrongAnswerError(answer, "a list of label names")


@lru_cache(maxsize=1024)  # programs group by few sets of labels, many times
def _sorted_names(names: tuple[object, ...]) -> tuple[str, ...]:
    labels = {name for name in names if isinstance(name, str) and name}
    if len(labels) < len(set(names)):
        raise TypeError("not all are label names")
    return tuple(sorted(labels))


def _strategy(answer: object) -> Strategy:
    if isinstance(answer, (QueryStrategy, PercentOfCapacity)):  # a union is built anew for each check
        return answer
    if isinstance(answer, str) and answer in list(QueryStrategy):
        return QueryStrategy(answer)
    if callable(answer) and not isinstance(answer, type):
        strategy = cast("ExpressionStrategy", answer)
        try:
            hash(strategy)
        except Exception as error:
            raise _WrongAnswerError(answer, "a strategy that can be hashed, such as one of a frozen class") from error
        return strategy
    raise _WrongAnswerError(answer, f"one of {', '.join(QueryStrategy)}, or a plugin's own strategy")


def strategy_key(strategy: Strategy) -> Hashable:
    """Return a key that is equal for equal strategies; where a plugin's own comparison fails, the keys differ."""
    return strategy if isinstance(strategy, QueryStrategy | PercentOfCapacity) else _PluginStrategyKey(strategy)


class _PluginStrategyKey:
    def __init__(self, strategy: ExpressionStrategy) -> None:
        """Compute the hash once."""
        self._strategy = strategy
        self._hash = hash(strategy)

    def __hash__(self) -> int:
        """Return the hash of the strategy."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Return whether both strategies are equal."""
        if not isinstance(other, _PluginStrategyKey):
            return NotImplemented
        try:
            return bool(self._strategy == other._strategy)
        except Exception:  # noqa: BLE001 - third-party code
            return False


def replaced_by(strategy: Strategy) -> frozenset[object]:
    """Return the labels that a strategy declares in `replaces`, or none where that is not a collection of names.

    `statcore.promql` refuses such a strategy when it is used.
    """
    try:
        return frozenset(getattr(strategy, "replaces", ()))
    except Exception:  # noqa: BLE001 - third-party code
        return frozenset()
