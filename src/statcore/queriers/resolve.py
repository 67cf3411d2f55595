"""Asking a querier its four questions, and trusting none of the answers: queriers come from third parties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sized
from typing import TypeVar, cast

import attrs

from statcore.errors import InputError, PluginError
from statcore.queriers.interface import QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher

_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class ResolvedQuerier:
    """A querier's answers, checked: every label has a matcher, the group-by labels are sorted and distinct."""

    name: str
    labels: Mapping[str, LabelMatcher] = attrs.field(hash=False)
    group_by: tuple[str, ...]
    strategy: QueryStrategy


def _name(answer: object) -> str:
    if not isinstance(answer, str) or not answer:
        raise InputError("expected a non-empty metric name")
    return answer


def _labels(answer: object) -> dict[str, LabelMatcher]:
    if not isinstance(answer, Mapping):
        raise InputError("expected a mapping of label name to text or LabelMatcher")
    labels: dict[str, LabelMatcher] = {}
    for label, wanted in cast("Mapping[object, object]", answer).items():
        matcher = LabelMatcher.equal(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(label, str) or not label or not isinstance(matcher, LabelMatcher):
            raise InputError("expected a mapping of label name to text or LabelMatcher")
        labels[label] = matcher
    return labels


def _group_by(answer: object) -> tuple[str, ...]:
    if isinstance(answer, list | tuple | set | frozenset):
        labels = [label for label in cast("Iterable[object]", answer) if isinstance(label, str) and label]
        if len(labels) == len(cast("Sized", answer)):
            return tuple(sorted(set(labels)))
    raise InputError("expected a list of label names")


def _strategy(answer: object) -> QueryStrategy:
    return QueryStrategy(str(answer))


def _ask(querier: UtilizationMetricQuerier, method: str, check: Callable[[object], _T]) -> _T:
    plugin = f"{type(querier).__module__}.{type(querier).__qualname__}"
    try:
        answer = getattr(querier, method)()
    except Exception as error:
        raise PluginError(
            f"{plugin}.{method}() raised {type(error).__name__}: {error}", plugin=plugin, method=method
        ) from error
    try:
        return check(answer)
    except ValueError as error:
        raise PluginError(f"{plugin}.{method}() answered {answer!r:.200}: {error}", plugin=plugin, method=method) from error


def resolve(querier: UtilizationMetricQuerier) -> ResolvedQuerier:
    """Ask the querier what it queries.

    Raises:
        PluginError: a method is missing, raises or answers nonsense; the error names the querier's class and the method.
    """
    return ResolvedQuerier(
        name=_ask(querier, "name", _name),
        labels=_ask(querier, "labels", _labels),
        group_by=_ask(querier, "group_by_labels", _group_by),
        strategy=_ask(querier, "query_strategy", _strategy),
    )
