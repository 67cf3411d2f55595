"""What a querier queries: the validated query, and the strategies that turn samples into a utilization."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias

import attrs

from statcore.queriers.matcher import LabelMatcher, as_matchers

NEVER_GROUPED: Final = frozenset(["inf", "nan", "without"])
"""Words, in any case, that no server takes bare for a label to group by; only newer ones take them quoted."""


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
    """What is current in percent of the capacity, over series that differ in the label `value_type` alone.

    `statcore.promql` writes the expression, which matches `value_type` itself and gives the answer `value_type="pct"`. So
    that label is none of the querier's, neither to match nor to group by. A series without its partner, or whose capacity
    is not a finite number above 0, counts for nothing.

    Args:
        is_counter: whether what is current counts up. Then each series has the percentage that its rate is of its own
            capacity, and these are added: two processes that use a core each are 200 percent. Else all that is current is
            added, and divided by all that there is.
    """

    is_counter: bool = False


class QueryExpression(Protocol):
    """A value of `statcore.promql`, which is all that a strategy may answer with."""

    @property
    def text(self) -> str:
        """The PromQL."""
        ...


class ExpressionStrategy(Protocol):
    """A strategy of a plugin's own, for what is none of the three: a quantile of a histogram, a difference of two metrics.

    A function will do. One with parameters is a frozen class with `__call__`, so that equal ones are equal: queriers
    share requests only where their strategies are equal.

    Every selector of the expression carries each of the querier's matchers, as it is or narrower; an expression that reads
    more is refused. A class may declare labels that some of its selectors lack or match otherwise, as a class variable:
    `replaces = ("mode",)`. None of them is a label that says whose a series is, such as `kernel_id` or `user_id`. Queriers
    that differ in the value of such a label do not share a request, since that would be grouped by the label.
    """

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> QueryExpression:
        """Return the expression, made of values of `statcore.promql`, that answers a querier.

        Args:
            asked: the querier's other answers. Where alike queriers share a request these are not one querier's own: so
                use these labels and no others. The answer must have one series per combination of `asked.group_by`, with
                these labels alone, whose value depends on the samples of that combination alone.
            window: the duration that rates are taken over, for example `5m`.
        """
        ...


Strategy: TypeAlias = QueryStrategy | PercentOfCapacity | ExpressionStrategy
"""What `query_strategy` returns."""


class ResolvedQuerier(NamedTuple):
    """A querier's answers, checked: `wanted` as the querier wrote its labels, the group-by labels sorted and distinct."""

    name: str
    wanted: Mapping[str, str | LabelMatcher]
    group_by: tuple[str, ...]
    strategy: Strategy

    @property
    def labels(self) -> dict[str, LabelMatcher]:
        """The matcher of every label, in the querier's order."""
        return as_matchers(self.wanted)


def strategy_key(strategy: Strategy) -> Hashable:
    """Return what tells strategies apart; where a plugin's own comparison fails, they differ."""
    return strategy if isinstance(strategy, QueryStrategy | PercentOfCapacity) else _OwnKey(strategy)


def replaced_by(strategy: Strategy) -> frozenset[object]:
    """Return the labels that a strategy declares in `replaces`, or none where those are no collection of names.

    Such a strategy is refused when it is used.
    """
    try:
        return frozenset(getattr(strategy, "replaces", ()))
    except Exception:  # noqa: BLE001 - third-party code
        return frozenset()


class _OwnKey:
    def __init__(self, strategy: ExpressionStrategy) -> None:
        """Take the hash once."""
        self._strategy = strategy
        self._hash = hash(strategy)

    def __hash__(self) -> int:
        """Return the strategy's."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Return whether both strategies are equal."""
        if not isinstance(other, _OwnKey):
            return NotImplemented
        try:
            return bool(self._strategy == other._strategy)
        except Exception:  # noqa: BLE001 - third-party code
            return False
