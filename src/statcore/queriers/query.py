"""The validated query of a querier, and the strategies that say how samples become a utilization."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

import attrs

from statcore.queriers.matcher import LabelMatcher, Matchers, as_matchers, as_pairs

NEVER_GROUPED: Final = frozenset(["inf", "nan", "without"])
"""Words, in any case, that no server reads as a bare label in a grouping; only newer servers read them in quotes."""


class QueryStrategy(StrEnum):
    """How the samples of a series become a utilization."""

    GAUGE = "gauge"
    """The value as it is (`mem`)."""
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

    Every selector of the expression carries each of the query's matchers, as it is or narrower. An expression that reads
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
"""What `query_strategy` returns."""


class MetricQuery(NamedTuple):
    """What a querier queries: the validated results of its four methods.

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
"""The former name of `MetricQuery`, which strategies written for it keep using."""


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
