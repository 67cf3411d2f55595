"""The three interfaces of a querier, and `resolve`, which turns a querier into a validated query."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, cast

import attrs

from statcore.concurrency import close_coroutine
from statcore.errors import InputError, PluginError
from statcore.model.text import describe
from statcore.queriers.matcher import LabelMatcher, label_value
from statcore.queriers.query import ExpressionStrategy, MetricQuery, PercentOfCapacity, QueryStrategy, Strategy


class PrometheusMetricQuerier(ABC):
    """Which series to read: a metric name and label matchers."""

    @abstractmethod
    def name(self) -> str:
        """Return the metric name, for example `backendai_container_utilization`."""

    @abstractmethod
    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the matcher of each label, in the order in which they are written; text means an exact match."""


class AggregatingMetricQuerier(PrometheusMetricQuerier):
    """Which series to read, and by which labels to sum them."""

    @abstractmethod
    def group_by_labels(self) -> Sequence[str]:
        """Return the labels that the series of the answer keep; an empty list sums everything into one series."""


class UtilizationMetricQuerier(AggregatingMetricQuerier):
    """Which series to read, by which labels to sum them, and how their samples become a utilization."""

    @abstractmethod
    def query_strategy(self) -> Strategy:
        """Return the strategy for this metric: a `QueryStrategy`, `PercentOfCapacity`, or a plugin's own strategy."""


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
        wanted = _labels(querier.labels())
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
    return MetricQuery(name, wanted, group_by, strategy)


def _name(answer: object) -> str:
    if isinstance(answer, str) and answer:
        return answer
    raise _WrongAnswerError(answer, "a metric name")


def _labels(answer: Mapping[Any, Any] | None) -> Mapping[str, str | LabelMatcher]:
    # A plain dict is recognised at once; asking an abstract class takes as long as all the rest.
    if not isinstance(answer, (dict, Mapping)):
        raise _WrongAnswerError(answer, "a mapping of label name to text or LabelMatcher")
    labels: dict[Any, Any] = dict(answer)  # read once, so that what is checked is what is used
    for label, value in labels.items():
        if not isinstance(label, str) or not label:
            raise _WrongAnswerError(labels, f"label names, not {label!r}")
        if type(value) is LabelMatcher:
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
    if isinstance(answer, QueryStrategy | PercentOfCapacity):
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
