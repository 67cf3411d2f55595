"""Coalescing: many queriers as few requests, and each answer split among the members of its request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import attrs

from statcore.errors import InputError, ProtocolError
from statcore.model.results import MatrixResult, Sample, Series, VectorResult
from statcore.model.text import check_text
from statcore.queriers.interface import UtilizationMetricQuerier, resolve
from statcore.queriers.matcher import LabelMatcher, MatchOperator
from statcore.queriers.query import NEVER_GROUPED, ResolvedQuerier, Strategy, replaced_by, strategy_key

_Answer = TypeVar("_Answer", MatrixResult, VectorResult)
_Part = TypeVar("_Part", Series, Sample)


class Share(NamedTuple):
    """What of an answer is one member's: the series with these values, and whether they keep the label."""

    values: tuple[str, ...]
    keeps_label: bool


@attrs.frozen
class CoalescedQuerier(UtilizationMetricQuerier):
    """Asks for several queriers at once, or for a single one exactly as that one would; `coalesce` makes it.

    `positions` says which queriers of the input are its members, in ascending order.
    """

    positions: tuple[int, ...]
    _asked: ResolvedQuerier = attrs.field(hash=False)
    _label: str | None = None
    _shares: tuple[Share, ...] = attrs.field(default=(), repr=False)

    def name(self) -> str:
        """Return the members' metric name."""
        return self._asked.name

    def labels(self) -> Mapping[str, str | LabelMatcher]:
        """Return the members' matchers; that of the label in which they differ takes the values of all."""
        return self._asked.wanted

    def group_by_labels(self) -> Sequence[str]:
        """Return what the members group by, and the label in which they differ."""
        return self._asked.group_by

    def query_strategy(self) -> Strategy:
        """Return the members' strategy."""
        return self._asked.strategy

    def split(self, answer: _Answer) -> tuple[_Answer, ...]:
        """Return what each member would have been answered, in the order of `positions`.

        Series stay in the backend's order; its warnings and infos, and whether the answer is partial, are for every member.

        Raises:
            ProtocolError: a series is no member's.
        """
        if self._label is None:
            return (answer,) * len(self.positions)
        if isinstance(answer, MatrixResult):
            parts = self._parts(self._label, answer.series)
            return tuple(attrs.evolve(answer, series=part) for part in parts)  # type: ignore[call-arg]  # not both at once
        return tuple(attrs.evolve(answer, samples=part) for part in self._parts(self._label, answer.samples))

    def _parts(self, label: str, found: Iterable[_Part]) -> Iterator[tuple[_Part, ...]]:
        parts: list[list[_Part]] = [[] for _ in self._shares]
        takers: dict[str, list[tuple[list[_Part], bool]]] = {}
        for part, share in zip(parts, self._shares, strict=True):
            for value in share.values:
                takers.setdefault(value, []).append((part, share.keeps_label))
        for one in found:
            value = one.labels.get(label, "")  # the empty value asks for the series that lack the label
            if value not in takers:
                raise ProtocolError(f"the answer holds a series whose {label} is {value!r:.100}, which was not asked for")
            for part, keeps_label in takers[value]:
                part.append(one if keeps_label else _without(label, one))
        return map(tuple, parts)


def _without(label: str, one: _Part) -> _Part:
    return attrs.evolve(one, labels={name: value for name, value in one.labels.items() if name != label})


MAX_VALUES: Final = 256
"""How many values of a label one querier names, unless told otherwise."""


def coalesce(queriers: Sequence[UtilizationMetricQuerier], *, max_values: int = MAX_VALUES) -> tuple[CoalescedQuerier, ...]:
    """Merge queriers that agree in everything but the value of one label, so that few queries answer them all.

    The value is matched exactly, or is one of a set whose label is grouped by, and the label is none that the strategy
    declares in `replaces`. Every position of the input is in exactly one of the results, which are in the order of their
    first positions; equal queriers are asked for once.

    Args:
        queriers: of any kind, results of this function among them.
        max_values: how many values of the label one result names at most, unless a single querier names more.

    Raises:
        PluginError: a querier breaks its contract.
        InputError: a label value is no text that can be sent, or `max_values` is less than one.
    """
    return coalesce_resolved(dict(enumerate(map(resolve_plain, queriers))), max_values=max_values)


def resolve_plain(querier: UtilizationMetricQuerier) -> ResolvedQuerier:
    """Return a querier's answers as `resolve` does, with every exact match as plain text that can be sent."""
    asked = resolve(querier)
    return asked._replace(wanted={label: _plain(wanted) for label, wanted in asked.wanted.items()})


def coalesce_resolved(asked: Mapping[int, ResolvedQuerier], *, max_values: int) -> tuple[CoalescedQuerier, ...]:
    """Do what `coalesce` does with answers of `resolve_plain` by position."""
    if max_values < 1:
        raise InputError(f"max_values must be at least 1, not {max_values!r}")
    questions: dict[object, _Question] = {}
    families: dict[object, list[_Question]] = {}
    for position, one in asked.items():
        names = tuple(sorted(one.wanted))
        matchers = tuple([one.wanted[name] for name in names])
        key = (one.name, strategy_key(one.strategy), names, one.group_by, matchers)
        question = questions.get(key)
        if question is None:
            question = questions[key] = _Question(one, names, matchers)
            families.setdefault(key[:3], []).append(question)
        question.positions.append(position)
    batches = (batch for family in families.values() for batch in _fewest_batches(family, max_values))
    return tuple(sorted(map(_coalesced, batches), key=lambda one: one.positions))


@attrs.define(eq=False)
class _Question:
    """What a querier, or several equal ones, ask for; `names` and `matchers` are the labels in order of their names."""

    asked: ResolvedQuerier
    names: tuple[str, ...]
    matchers: tuple[str | LabelMatcher, ...]
    positions: list[int] = attrs.field(factory=list[int], init=False)

    def values(self, label: str) -> tuple[str, ...]:
        """Return the values of a label by which its series can be told from others, or none if they cannot."""
        wanted = self.asked.wanted[label]
        if isinstance(wanted, str):
            return (wanted,)
        return wanted.alternatives if label in self.asked.group_by else ()


class _Batch(NamedTuple):
    """Questions that agree in everything but the label's value, which matters only where there are several."""

    label: str
    questions: list[_Question]


def _plain(wanted: str | LabelMatcher) -> str | LabelMatcher:
    if isinstance(wanted, str):
        return check_text(wanted, what="a label value")
    return wanted.value if wanted.operator is MatchOperator.EQUAL else wanted


def _fewest_batches(family: list[_Question], max_values: int) -> list[_Batch]:
    """Merge where most can be merged first; or, where that gives fewer, all that can be merged along one label first.

    The least there is cannot be found in reasonable time, but no label gives less when all is merged along it alone.
    """
    mergeable = sorted(_mergeable(family), key=lambda batch: -len(batch.questions))
    labels = dict.fromkeys(batch.label for batch in mergeable)
    plans = [_divide(family, mergeable, max_values)]
    if len(labels) > 1:
        for first in labels:
            rest = [batch for batch in mergeable if batch.label != first]
            order = [batch for batch in mergeable if batch.label == first] + rest
            plans.append(_divide(family, order, max_values))
    return min(plans, key=len)


def _mergeable(family: list[_Question]) -> Iterator[_Batch]:
    """Yield all that could be asked together if only values were unlimited; a question is in one batch per label."""
    replaced = replaced_by(family[0].asked.strategy)
    for place, label in enumerate(family[0].names):
        differing = {(question.matchers[place], label in question.asked.group_by) for question in family}
        if len(differing) == 1 or label.lower() in NEVER_GROUPED or label in replaced:
            continue
        found: dict[object, list[_Question]] = {}
        for question in family:
            if question.values(label):
                grouped_else = tuple([name for name in question.asked.group_by if name != label])
                others = question.matchers[:place] + question.matchers[place + 1 :]
                found.setdefault((grouped_else, others), []).append(question)
        yield from (_Batch(label, questions) for questions in found.values() if len(questions) > 1)


def _divide(family: list[_Question], mergeable: list[_Batch], max_values: int) -> list[_Batch]:
    """Ask for each of these together, in their order, less what was taken before; what is left at the end stays alone."""
    left = dict.fromkeys(family)
    batches: list[_Batch] = []
    for label, questions in mergeable:
        together = [question for question in questions if question in left]
        if len(together) > 1:
            batches += [_Batch(label, batch) for batch in _chunks(label, together, max_values)]
            for question in together:
                del left[question]
    return [*batches, *(_Batch("", [question]) for question in left)]


def _chunks(label: str, questions: list[_Question], max_values: int) -> Iterator[list[_Question]]:
    sharing: dict[tuple[str, ...], list[_Question]] = {}
    for question in questions:
        sharing.setdefault(question.values(label), []).append(question)
    chunk: list[_Question] = []
    named: set[str] = set()
    for values, those in sharing.items():
        if chunk and len(named) + sum(value not in named for value in values) > max_values:
            yield chunk
            chunk, named = [], set()
        chunk += those
        named.update(values)
    yield chunk


def _coalesced(batch: _Batch) -> CoalescedQuerier:
    label, questions = batch
    asked = questions[0].asked
    if len(questions) == 1:
        return CoalescedQuerier(tuple(questions[0].positions), asked)
    shares = sorted(
        (position, Share(question.values(label), label in question.asked.group_by))
        for question in questions
        for position in question.positions
    )
    together = asked._replace(
        wanted={**asked.wanted, label: LabelMatcher.one_of(value for _, share in shares for value in share.values)},
        group_by=tuple(sorted({*asked.group_by, label})),
    )
    return CoalescedQuerier(tuple(position for position, _ in shares), together, label, tuple(share for _, share in shares))
