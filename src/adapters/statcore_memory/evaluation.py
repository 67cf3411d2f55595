"""Evaluation of the expressions of `statcore.promql` over series, as in Prometheus: no I/O, no clock.

A range query is evaluated at all points of its grid together, node by node; points at which no series can have a value are
skipped. Each node means what Prometheus documents (querying: basics, operators, functions); `Semantics` lists the
differences between versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias, get_args

import attrs

from statcore.errors import UnsupportedError
from statcore.model import format_duration, parse_duration
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Number,
    RangeSelector,
    Selector,
    Subquery,
)
from statcore.promql.syntax import SetOperator
from statcore_memory.arithmetic import folds, folds_over_time
from statcore_memory.functions import Window, range_functions
from statcore_memory.operations import (
    Column,
    Vector,
    aggregate,
    keep_matched,
    quantiles,
    relabelled,
    with_number,
    with_vector,
    without,
)
from statcore_memory.pace import Pace
from statcore_memory.semantics import Semantics
from statcore_memory.series import LOOKBACK_MS, Labels, Samples, StoredSeries

MAX_DEPTH: Final = 100
"""How deeply expressions may be nested: each level takes a few levels of Python's stack."""
SUBQUERY_STEP_MS: Final = 60_000
"""The step of a subquery that has no step: the default evaluation interval of a server."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_KEEPS_NAME: Final = "last_over_time"
_Range: TypeAlias = tuple[Labels, Samples]


@attrs.frozen(kw_only=True)
class Grid:
    """Points in time, in unix ms: `start`, `start + step`, and so on."""

    start: int
    step: int = 1
    points: int = 1

    @property
    def end(self) -> int:
        """The last point."""
        return self.start + (self.points - 1) * self.step

    def time(self, point: int) -> int:
        """Return the time of a point by its number."""
        return self.start + point * self.step

    def within(self, first: int, last: int) -> range:
        """Return the numbers of the points from `first` to `last`, in unix ms, both included."""
        return range(max(0, -((self.start - first) // self.step)), min(self.points, (last - self.start) // self.step + 1))

    def moved(self, by: int) -> Grid:
        """Return the grid moved `by` ms later."""
        return attrs.evolve(self, start=self.start + by)

    def of_subquery(self, reach: int) -> Grid:
        """Return the grid of full minutes that lie within the last `reach` ms of a point."""
        first = -((reach - self.start) // SUBQUERY_STEP_MS)
        last = self.end // SUBQUERY_STEP_MS
        return Grid(start=first * SUBQUERY_STEP_MS, step=SUBQUERY_STEP_MS, points=max(0, last - first + 1))


@attrs.define
class Evaluation:
    """One evaluation of an expression.

    Args:
        select: returns the series of a selector, sorted by their labels.
        semantics: the major version of Prometheus to evaluate as.
    """

    select: Callable[[Selector], Sequence[StoredSeries]]
    semantics: Semantics
    _pace: Pace = attrs.field(factory=Pace, init=False)
    _depth: int = attrs.field(default=0, init=False)

    async def evaluate(self, expression: Expression, grid: Grid) -> Vector:
        """Return the value of every series at every point where it has one.

        Raises:
            QueryRejectedError: a server would refuse: a series matches several, or two series would have the same labels.
            UnsupportedError: a regular expression uses syntax that is not supported, or the nesting is too deep.
        """
        if self._depth == MAX_DEPTH:
            raise UnsupportedError(
                f"the memory adapter evaluates expressions of {MAX_DEPTH} levels at most: {expression.text:.200}"
            )
        self._depth += 1
        try:
            return await self._evaluate(expression, grid)
        finally:
            self._depth -= 1

    async def _evaluate(self, expression: Expression, grid: Grid) -> Vector:
        match expression:
            case Selector():
                vector = await self._instant(expression, grid)
            case Call(function, argument):
                vector = await self._call(function, argument, grid)
            case Aggregation(operator, inner, by):
                fold = folds(self.semantics)[operator]
                vector = await aggregate(await self.evaluate(inner, grid), fold, frozenset(by), self._pace)
            case BinaryOperation():
                vector = await self._operate(expression, grid)
            case HistogramQuantile(quantile, buckets):
                vector = await quantiles(await self.evaluate(buckets, grid), quantile, self.semantics, self._pace)
            case ConstantLabel(inner, name, value):
                unlabelled = await self.evaluate(inner, grid)
                vector = relabelled((_with_label(labels, name, value), column) for labels, column in unlabelled.items())
        return vector

    async def _operate(self, operation: BinaryOperation, grid: Grid) -> Vector:
        left = await self.evaluate(operation.left, grid)
        if isinstance(operation.right, Number):
            return await with_number(left, operation.operator, operation.right.value, self._pace)
        right = await self.evaluate(operation.right, grid)
        if operation.operator in get_args(SetOperator):
            return await keep_matched(left, right, operation, self._pace)
        return await with_vector(left, right, operation, self.semantics, self._pace)

    async def _instant(self, selector: Selector, grid: Grid) -> Vector:
        selected = grid.moved(-_offset_ms(selector))
        reach = self.semantics.reach_ms(LOOKBACK_MS)
        vector: Vector = {}
        for series in self.select(selector):
            if not series.times:  # retention dropped them while other tasks ran
                continue
            column = Column()
            for point in selected.within(series.times[0], series.times[-1] + reach):
                time = selected.time(point)
                value = series.value_at(time, not_before=time - reach)
                if value is not None:
                    column[point] = value
                await self._pace.spend()
            if column:
                vector[series.key] = column
        return vector

    async def _call(self, function: str, argument: RangeSelector | Subquery, grid: Grid) -> Vector:
        length = parse_duration(argument.window) // _MILLISECOND
        reach = self.semantics.reach_ms(length)
        if isinstance(argument, RangeSelector):
            selected = grid.moved(-_offset_ms(argument.selector))
            ranges: Iterable[_Range] = ((series.key, series) for series in self.select(argument.selector))
        else:
            selected = grid
            ranges = await self._subquery(argument, grid, reach)
        evaluate = range_functions(self.semantics)[function]
        is_fold = function in folds_over_time(self.semantics)  # other functions read a few samples of a window
        called: list[tuple[Labels, Column]] = []
        for labels, samples in ranges:
            column = Column()
            for point in selected.within(samples.times[0], samples.times[-1] + reach) if samples.times else ():
                window = Window.of(samples, end=selected.time(point), length=length, reach=reach)
                value = None if window is None else evaluate(window)
                if value is not None:
                    column[point] = value
                await self._pace.spend(window.last - window.first + 1 if window is not None and is_fold else 1)
            called.append((labels if function == _KEEPS_NAME else without(labels, {"__name__"}), column))
        return relabelled(called)

    async def _subquery(self, subquery: Subquery, grid: Grid, reach: int) -> list[_Range]:
        steps = grid.of_subquery(reach)
        if not steps.points:
            return []
        ranges: list[_Range] = []
        for labels, column in (await self.evaluate(subquery.expression, steps)).items():
            samples = Samples()
            for point in sorted(column):
                samples.append(steps.time(point), column[point])
            await self._pace.spend(len(column))
            ranges.append((labels, samples))
        return ranges


def _with_label(labels: Labels, name: str, value: str) -> Labels:
    return tuple(sorted((*without(labels, {name}), (name, value))))


def _offset_ms(selector: Selector) -> int:
    return 0 if selector.offset is None else parse_duration(format_duration(selector.offset)) // _MILLISECOND
