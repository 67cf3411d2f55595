"""Coalescing: many queriers become few, and each answer is split among the queriers that it is for.

Queriers can be merged along a label where they agree in everything but the value of that label. Queriers that agree in the
metric name, the strategy and the names of their labels are a family, and are merged only with one another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple, TypeVar

import attrs

from statcore.errors import InputError, ProtocolError
from statcore.model.results import MatrixResult, Sample, Series, VectorResult
from statcore.queriers.interface import (
    NEVER_GROUPED,
    MetricQuery,
    PreparedQuerier,
    UtilizationMetricQuerier,
    replaced_by,
    resolve,
    strategy_key,
)
from statcore.queriers.matcher import LabelMatcher, MatchOperator, as_labels

MAX_VALUES: Final = 256
"""How many values of a label one querier names at most, by default."""

_Answer = TypeVar("_Answer", MatrixResult, VectorResult)
_Item = TypeVar("_Item", Series, Sample)


def coalesce(queriers: Sequence[UtilizationMetricQuerier], *, max_values: int = MAX_VALUES) -> tuple[CoalescedQuerier, ...]:
    """Merge queriers that agree in everything but the value of one label, so that few requests answer all of them.

    The value is an exact match, or a set of literal values where the querier groups by the label. A label that recurs in a
    query, or that its strategy declares in `replaces`, is never merged along. Every position of the input is in exactly one
    of the results, which are in the order of their first positions; equal queriers are queried once.

    Args:
        queriers: queriers of any kind, also results of this function.
        max_values: how many values of the label one result names at most, unless a single querier names more.

    Raises:
        PluginError: a querier breaks its contract.
        InputError: a label value cannot be encoded, or `max_values` is less than one.
    """
    if max_values < 1:
        raise InputError(f"max_values must be at least 1, not {max_values!r}")
    return coalesce_queries(dict(enumerate(map(resolve, queriers))), max_values=max_values)


class Share(NamedTuple):
    """The part of an answer that belongs to a member: series with these values, and whether they keep the label."""

    values: tuple[str, ...]
    keeps_label: bool


@attrs.frozen
class CoalescedQuerier(PreparedQuerier):
    """A querier in place of several queriers, or of a single querier, which it repeats; `coalesce` builds it.

    `positions` are the positions of its members in the input, in ascending order.
    """

    positions: tuple[int, ...]
    _label: str | None = None
    _shares: tuple[Share, ...] = attrs.field(default=(), repr=False)

    def split(self, answer: _Answer) -> tuple[_Answer, ...]:
        """Return the answer of each member, in the order of `positions`.

        Series stay in the order of the backend. Every member gets the warnings and infos of the whole answer, and whether
        it is partial.

        Raises:
            ProtocolError: a series belongs to no member.
        """
        if self._label is None:
            return (answer,) * len(self.positions)
        if isinstance(answer, MatrixResult):
            parts = self._parts(self._label, answer.series)
            return tuple(attrs.evolve(answer, series=part) for part in parts)  # type: ignore[call-arg]  # not both at once
        return tuple(attrs.evolve(answer, samples=part) for part in self._parts(self._label, answer.samples))

    def _parts(self, label: str, items: Iterable[_Item]) -> list[tuple[_Item, ...]]:
        parts: list[list[_Item]] = [[] for _ in self._shares]
        takers: dict[str, list[tuple[list[_Item], bool]]] = defaultdict(list)
        for part, share in zip(parts, self._shares, strict=True):
            for value in share.values:
                takers[value].append((part, share.keeps_label))
        for item in items:
            value = item.labels.get(label, "")  # the empty value matches series without the label
            if value not in takers:
                raise ProtocolError(f"the answer holds a series whose {label} is {value!r:.100}, which was not queried")
            for part, keeps_label in takers[value]:
                part.append(item if keeps_label else _without_label(item, label))
        return list(map(tuple, parts))


def _without_label(item: _Item, label: str) -> _Item:
    return attrs.evolve(item, labels={name: value for name, value in item.labels.items() if name != label})


@attrs.define(eq=False)
class _Member:
    """A distinct query, and the positions of the queriers that have it.

    `labels` and `matchers` are the labels of the query and their matchers, in the order of the label names; an exact match
    is text.
    """

    query: MetricQuery
    labels: tuple[str, ...]
    matchers: tuple[str | LabelMatcher, ...]
    positions: list[int] = attrs.field(factory=list[int], init=False)

    def values(self, place: int) -> tuple[str, ...]:
        """Return the values of the label at a place that its series have in an answer; no values if these are not known."""
        matcher = self.matchers[place]
        if isinstance(matcher, str):
            return (matcher,)
        return matcher.alternatives if self.labels[place] in self.query.group_by else ()


class _Batch(NamedTuple):
    """Members that agree in everything but the value of the label at a place; a single member needs no place."""

    place: int
    members: list[_Member]


def coalesce_queries(queries: Mapping[int, MetricQuery], *, max_values: int) -> tuple[CoalescedQuerier, ...]:
    """Merge validated queries, given by position, as `coalesce` merges queriers; `max_values` is at least one."""
    families: dict[object, dict[object, _Member]] = defaultdict(dict)
    for position, query in queries.items():
        pairs = sorted(query.matchers, key=itemgetter(0))
        labels = tuple([label for label, _ in pairs])
        matchers = tuple([matcher if isinstance(matcher, str) else _plain(matcher) for _, matcher in pairs])
        family = families[query.name, strategy_key(query.strategy), labels]
        key = (matchers, query.group_by)
        member = family.get(key)
        if member is None:
            member = family[key] = _Member(query, labels, matchers)
        member.positions.append(position)
    batches = [batch for family in families.values() for batch in _fewest_batches([*family.values()], max_values)]
    return tuple(sorted(map(_coalesced, batches), key=attrgetter("positions")))


def _plain(matcher: LabelMatcher) -> str | LabelMatcher:
    return matcher.value if matcher.operator is MatchOperator.EQUAL else matcher


def _fewest_batches(family: list[_Member], max_values: int) -> list[_Batch]:
    """Divide a family into batches: the largest groups first, or all groups of one label first where that gives fewer.

    The minimum cannot be computed in reasonable time. The result never has more batches than merging along one label alone.
    """
    groups = sorted(_groups(family), key=lambda group: -len(group.members))
    places = list(dict.fromkeys(group.place for group in groups))
    orders = [groups]
    if len(places) > 1:
        orders += [sorted(groups, key=lambda group: group.place != first) for first in places]
    return min((_divide(family, order, max_values) for order in orders), key=len)


def _groups(family: list[_Member]) -> Iterator[_Batch]:
    """Yield every group that would be one batch if values were unlimited; a member is in at most one group per label."""
    labels, replaced = family[0].labels, replaced_by(family[0].query.strategy)
    for place, label in enumerate(labels):
        if label.lower() in NEVER_GROUPED or label in replaced or labels.count(label) > 1:
            continue
        if len({(member.matchers[place], label in member.query.group_by) for member in family}) == 1:
            continue
        groups: dict[object, list[_Member]] = defaultdict(list)
        for member in family:
            if member.values(place):
                other_matchers = member.matchers[:place] + member.matchers[place + 1 :]
                other_groupings = tuple([name for name in member.query.group_by if name != label])
                groups[other_matchers, other_groupings].append(member)
        yield from (_Batch(place, members) for members in groups.values() if len(members) > 1)


def _divide(family: list[_Member], groups: list[_Batch], max_values: int) -> list[_Batch]:
    """Make batches of each group in turn, without the members of earlier groups; a member of no group is queried alone."""
    remaining = dict.fromkeys(family)
    batches: list[_Batch] = []
    for place, group in groups:
        members = [member for member in group if member in remaining]
        if len(members) > 1:
            batches += [_Batch(place, chunk) for chunk in _chunks(place, members, max_values)]
            for member in members:
                del remaining[member]
    return [*batches, *(_Batch(0, [member]) for member in remaining)]


def _chunks(place: int, members: list[_Member], max_values: int) -> Iterator[list[_Member]]:
    """Yield the members in chunks of at most `max_values` values; members with the same values stay together."""
    members_of: dict[tuple[str, ...], list[_Member]] = defaultdict(list)
    for member in members:
        members_of[member.values(place)].append(member)
    chunk: list[_Member] = []
    named: set[str] = set()
    for values, sharing in members_of.items():
        if chunk and len(named) + sum(value not in named for value in values) > max_values:
            yield chunk
            chunk, named = [], set()
        chunk += sharing
        named.update(values)
    yield chunk


def _coalesced(batch: _Batch) -> CoalescedQuerier:
    place, members = batch
    query = members[0].query
    if len(members) == 1:
        return CoalescedQuerier(query, tuple(members[0].positions))
    label = members[0].labels[place]
    shares = {
        position: Share(member.values(place), label in member.query.group_by)
        for member in members
        for position in member.positions
    }
    matcher = LabelMatcher.one_of(value for member in members for value in member.values(place))
    merged = query._replace(
        wanted=as_labels(tuple([(name, matcher if name == label else own) for name, own in query.matchers])),
        group_by=tuple(sorted({*query.group_by, label})),
    )
    positions = tuple(sorted(shares))
    return CoalescedQuerier(merged, positions, label, tuple([shares[position] for position in positions]))
