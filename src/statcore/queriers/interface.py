"""The three interfaces of a querier, and their resolution into a validated query."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, cast

from statcore.concurrency import close_coroutine
from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.queriers.matcher import LabelMatcher
from statcore.queriers.query import ExpressionStrategy, PercentOfCapacity, QueryStrategy, ResolvedQuerier, Strategy


class PrometheusMetricQuerier(ABC):
    """Which series: a metric name and label matchers."""

    @abstractmethod
    def name(self) -> str:
        """Return the metric name, for example `backendai_container_utilization`."""

    @abstractmethod
    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return label name to matcher, in the order in which they are to be written; text means an exact match."""


class AggregatingMetricQuerier(PrometheusMetricQuerier):
    """Which series, and by which labels they are summed."""

    @abstractmethod
    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the answer's series keep; an empty list sums everything into one."""


class UtilizationMetricQuerier(AggregatingMetricQuerier):
    """Which series, how they are summed, and how their samples are read."""

    @abstractmethod
    def query_strategy(self) -> Strategy:
        """Return the strategy for this metric: one of the three, percent of capacity, or one of the plugin's own."""


class _NonsenseError(Exception):
    def __init__(self, answer: object, expected: str) -> None:
        super().__init__(f"answered {reprlib.repr(answer)}: expected {expected}")
        close_coroutine(answer)


def resolve(querier: UtilizationMetricQuerier) -> ResolvedQuerier:
    """Ask the querier what it queries.

    Raises:
        PluginError: a method is missing, raises or answers nonsense; the error names the querier's class and the method.
        InputError: a label value is not encodable text, or the querier itself says that it was given bad input.
    """
    method = "name"
    try:
        name = _name(querier.name())
        method = "labels"
        wanted = _wanted(querier.labels())
        method = "group_by_labels"
        group_by = _group_by(querier.group_by_labels())
        method = "query_strategy"
        strategy = _strategy(querier.query_strategy())
    except InputError:
        raise
    except Exception as error:
        plugin = f"{type(querier).__module__}.{type(querier).__qualname__}"
        said = error if isinstance(error, _NonsenseError) else f"raised {describe(error)}"
        raise PluginError(f"{plugin}.{method}() {said}", plugin=plugin, method=method) from error
    return ResolvedQuerier(name, wanted, group_by, strategy)


def _name(answer: object) -> str:
    if isinstance(answer, str) and answer:
        return answer
    raise _NonsenseError(answer, "a metric name")


def _wanted(answer: Mapping[Any, Any] | None) -> Mapping[str, str | LabelMatcher]:
    # A plain dict is told at once, where asking an abstract class takes as long as the rest.
    if not isinstance(answer, (dict, Mapping)):
        raise _NonsenseError(answer, "a mapping of label name to text or LabelMatcher")
    # Read once: what is checked here is what is used.
    wanted: dict[Any, Any] = dict(answer)
    for label, value in wanted.items():
        if not isinstance(label, str) or not label:
            raise _NonsenseError(wanted, f"label names, not {label!r}")
        if not isinstance(value, str) and type(value) is not LabelMatcher:
            raise _NonsenseError(wanted, f"text or a LabelMatcher for the label {label!r}")
    return wanted


def _group_by(answer: Collection[Any] | None) -> tuple[str, ...]:
    if isinstance(answer, (list, tuple, Sequence, AbstractSet)) and not isinstance(answer, str):
        try:
            return _sorted_names(tuple(answer))
        except TypeError:
            pass
    raise _NonsenseError(answer, "a list of label names")


@lru_cache(maxsize=1024)
def _sorted_names(names: tuple[object, ...]) -> tuple[str, ...]:
    labels = {name for name in names if isinstance(name, str) and name}
    if len(labels) < len(set(names)):
        raise TypeError("not all are label names")
    return tuple(sorted(labels))


def _strategy(answer: object) -> Strategy:
    if isinstance(answer, QueryStrategy | PercentOfCapacity):
        return answer
    if isinstance(answer, str) and answer in list(QueryStrategy):
        return QueryStrategy(answer)
    if callable(answer) and not isinstance(answer, type):
        strategy = cast("ExpressionStrategy", answer)
        try:
            hash(strategy)
        except Exception as error:
            raise _NonsenseError(answer, "a strategy that can be hashed, as those of frozen classes can") from error
        return strategy
    raise _NonsenseError(answer, f"one of {', '.join(QueryStrategy)}, or a strategy of the plugin's own")
