"""Operations on vectors over a grid: aggregations, binary operations with numbers and vectors, histograms."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from typing import Final, TypeAlias

from statcore.errors import QueryRejectedError
from statcore.promql import BinaryOperation, Matching
from statcore_memory.arithmetic import ARITHMETIC, COMPARISONS, Fold
from statcore_memory.histogram import quantile_of, read_bound
from statcore_memory.pace import Pace
from statcore_memory.semantics import Semantics
from statcore_memory.series import Labels

Column: TypeAlias = dict[int, float]
"""The values of one series by the number of the point; never empty."""
Vector: TypeAlias = dict[Labels, Column]
"""An instant vector at every point of a grid, in the order in which a server answers."""
_NAME: Final = "__name__"
_LE: Final = "le"


def relabelled(pairs: Iterable[tuple[Labels, Column]]) -> Vector:
    """Return a vector of series under their new labels; series with the same labels at different points become one.

    Raises:
        QueryRejectedError: two series have the same labels at one point.
    """
    vector: Vector = {}
    for labels, column in pairs:
        if not column:
            continue
        known = vector.setdefault(labels, column)
        if known is column:
            continue
        if not known.keys().isdisjoint(column):
            raise QueryRejectedError(f"two series would have the same labels: {dict(labels)}")
        vector[labels] = known | column
    return vector


def without(labels: Labels, names: Collection[str]) -> Labels:
    """Return the labels whose names are not among `names`."""
    return tuple(pair for pair in labels if pair[0] not in names)


def only(labels: Labels, names: Collection[str]) -> Labels:
    """Return the labels whose names are among `names`."""
    return tuple(pair for pair in labels if pair[0] in names)


async def aggregate(vector: Vector, fold: Fold, by: Collection[str], pace: Pace) -> Vector:
    """Return the fold of the values of each group of series with the same labels `by`, in the order of the series."""
    groups: dict[Labels, dict[int, list[float]]] = {}
    for labels, column in vector.items():
        group = groups.setdefault(only(labels, by), {})
        for point, value in column.items():
            group.setdefault(point, []).append(value)
        await pace.spend(len(column))
    aggregated: Vector = {}
    for labels, group in groups.items():
        column = aggregated[labels] = Column()
        for point, values in group.items():
            column[point] = fold(values)
            await pace.spend(len(values))
    return aggregated


async def quantiles(buckets: Vector, quantile: float, semantics: Semantics, pace: Pace) -> Vector:
    """Return a quantile of each histogram. The series of a histogram differ only in `le`, and have a number there."""
    histograms: dict[Labels, dict[int, dict[float, float]]] = {}
    for labels, column in buckets.items():
        bound = read_bound(dict(labels).get(_LE, ""))
        if bound is None:
            continue
        histogram = histograms.setdefault(without(labels, {_LE, _NAME}), {})
        for point, count in column.items():
            counts = histogram.setdefault(point, {})
            counts[bound] = counts.get(bound, 0.0) + count
        await pace.spend(len(column))
    answer: Vector = {}
    for labels, histogram in histograms.items():
        column = answer[labels] = Column()
        for point, counts in histogram.items():
            column[point] = quantile_of(quantile, counts, semantics)
            await pace.spend(len(counts))
    return answer


async def with_number(vector: Vector, sign: str, number: float, pace: Pace) -> Vector:
    """Return the result of arithmetic with a number, without metric names, or the values for which a comparison holds.

    Raises:
        QueryRejectedError: two series have the same labels at one point, once their names are dropped.
    """
    answer: list[tuple[Labels, Column]] = []
    for labels, column in vector.items():
        if sign in ARITHMETIC:
            calculate = ARITHMETIC[sign]
            changed = {point: calculate(value, number) for point, value in column.items()}
            answer.append((without(labels, {_NAME}), changed))
        else:
            holds = COMPARISONS[sign]
            answer.append((labels, {point: value for point, value in column.items() if holds(value, number)}))
        await pace.spend(len(column))
    return relabelled(answer)


async def with_vector(left: Vector, right: Vector, operation: BinaryOperation, semantics: Semantics, pace: Pace) -> Vector:
    """Return arithmetic of each series with its partner at every point, or the left values for which a comparison holds.

    Raises:
        QueryRejectedError: a series has several partners at one point, or two series would have the same labels.
    """
    matching, sign = operation.matching, operation.operator
    partners = await _partners(right, matching, {point for column in left.values() for point in column}, pace)
    answer: list[tuple[Labels, Column]] = []
    matched: dict[Labels, set[int]] = {}
    for labels, column in left.items():
        signature = _signature(labels, matching)
        partner = partners.get(signature, {})
        pairs = [(point, value, partner[point]) for point, value in column.items() if point in partner]
        if sign in ARITHMETIC:
            calculate = ARITHMETIC[sign]
            joined = {point: calculate(value, other) for point, value, other in pairs}
        else:
            holds = COMPARISONS[sign]
            joined = {point: value for point, value, other in pairs if holds(value, other)}
        counted = joined if semantics is Semantics.PROMETHEUS_2 else {point for point, _, _ in pairs}
        before = matched.setdefault(signature, set())
        if not before.isdisjoint(counted):
            raise QueryRejectedError(
                f"several series on the left side of {sign} have the same partner, by the labels {dict(signature)}"
            )
        before.update(counted)
        answer.append((_joined_labels(labels, operation), joined))
        await pace.spend(len(column))
    return relabelled(answer)


async def keep_matched(left: Vector, right: Vector, operation: BinaryOperation, pace: Pace) -> Vector:
    """Return the left values that have a partner at that point (`and`), or have none (`unless`)."""
    matching, keeps_partners = operation.matching, operation.operator == "and"
    points_of: dict[Labels, set[int]] = {}
    for labels, column in right.items():
        points_of.setdefault(_signature(labels, matching), set()).update(column)
        await pace.spend(len(column))
    answer: list[tuple[Labels, Column]] = []
    for labels, column in left.items():
        points = points_of.get(_signature(labels, matching), ())
        answer.append((labels, {point: value for point, value in column.items() if (point in points) is keeps_partners}))
        await pace.spend(len(column))
    return relabelled(answer)


async def _partners(right: Vector, matching: Matching | None, points: AbstractSet[int], pace: Pace) -> dict[Labels, Column]:
    """Return the right side by the labels that are matched, at the `points` at which the left side has a series."""
    partners: dict[Labels, Column] = {}
    for labels, column in right.items():
        signature = _signature(labels, matching)
        known = partners.setdefault(signature, {})
        for point in points & column.keys():
            if point in known:
                raise QueryRejectedError(f"several series on the right side match by the labels {dict(signature)}")
            known[point] = column[point]
        await pace.spend(len(column))
    return partners


def _signature(labels: Labels, matching: Matching | None) -> Labels:
    if matching is None:
        return without(labels, {_NAME})
    if matching.modifier == "on":
        return only(labels, matching.labels)
    return without(labels, {*matching.labels, _NAME})


def _joined_labels(labels: Labels, operation: BinaryOperation) -> Labels:
    kept = without(labels, {_NAME}) if operation.operator in ARITHMETIC else labels
    matching = operation.matching
    if matching is None:
        return kept
    return only(kept, matching.labels) if matching.modifier == "on" else without(kept, matching.labels)
