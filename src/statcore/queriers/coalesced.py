"""A querier that asks for several others at once, and tells whose is which of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import attrs

from statcore.errors import ProtocolError
from statcore.model.matrix import MatrixResult, Series
from statcore.model.vector import Sample, VectorResult
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore.queriers.matcher import LabelMatcher
from statcore.queriers.strategy import ResolvedQuerier, Strategy

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
