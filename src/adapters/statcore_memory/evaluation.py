"""Evaluating a querier's expression on a grid of points: `sum by` of values or rates, and the division after it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Self

import attrs

from statcore.errors import UnsupportedError
from statcore.model import Series, parse_duration
from statcore.promql import Aggregation, BinaryOperation, Call, Expression, Number, RangeSelector, Selector, render
from statcore_memory.series import LOOKBACK_MS, Labels, StoredSeries

_MILLISECOND: Final = timedelta(milliseconds=1)
_AT_A_TIME: Final = 256


@attrs.frozen(kw_only=True)
class Grid:
    """Points in time, in unix ms: `start`, `start + step`, and so on."""

    start: int
    step: int = 1
    points: int = 1

    def within(self, first: int, last: int) -> range:
        """Return the numbers of the points from `first` to `last`, both in unix ms and included."""
        return range(max(0, -((self.start - first) // self.step)), min(self.points, (last - self.start) // self.step + 1))


@attrs.frozen(kw_only=True)
class Utilization:
    """What `statcore.promql.utilization_query` builds, taken apart; without a window the values themselves are summed."""

    selector: Selector
    window_ms: int | None
    by: frozenset[str]
    divisor: float | None

    @classmethod
    def of(cls, expression: Expression) -> Self:
        """Take an expression apart.

        Raises:
            UnsupportedError: it is of another form.
        """
        divisor: float | None = None
        summed = expression
        if isinstance(expression, BinaryOperation) and expression.operator == "/" and isinstance(expression.right, Number):
            summed, divisor = expression.left, expression.right.value
        match summed:
            case _ if divisor == 0:
                raise UnsupportedError(f"the memory adapter cannot divide by zero: {render(expression)}")
            case Aggregation("sum", Selector() as selector, by=by):
                return cls(selector=selector, window_ms=None, by=frozenset(by), divisor=divisor)
            case Aggregation("sum", Call("rate", RangeSelector(selector, window)), by=by):
                window_ms = parse_duration(window) // _MILLISECOND
                # A rate is not the metric itself any more: the name is gone before the sum.
                return cls(selector=selector, window_ms=window_ms, by=frozenset(by) - {"__name__"}, divisor=divisor)
            case _:
                raise UnsupportedError(f"the memory adapter cannot evaluate {render(expression)}")

    async def evaluate(self, selected: Iterable[StoredSeries], grid: Grid) -> list[Series]:
        """Return the groups that have a value at any point, each with the points where it has one.

        Values are added in the order of `selected`, and the groups are in the order of their first series there.
        The event loop gets its turn every few hundred points.
        """
        from asyncio import sleep  # noqa: PLC0415 - costs as much as the rest of the import, and is there by now

        sums: dict[Labels, dict[int, float]] = {}
        since_pause = 0
        for series in selected:
            if not series.times:  # retention took them while others had their turn
                continue
            group = tuple(pair for pair in series.key if pair[0] in self.by)
            reach = LOOKBACK_MS if self.window_ms is None else self.window_ms
            for point in grid.within(series.times[0], series.times[-1] + reach):
                since_pause += 1
                if since_pause > _AT_A_TIME:
                    since_pause = 0
                    await sleep(0)
                value = self._value(series, grid.start + point * grid.step)
                if value is not None:
                    summed = sums.setdefault(group, {})
                    summed[point] = summed[point] + value if point in summed else value
        return [self._series(group, summed, grid) for group, summed in sums.items()]

    def _value(self, series: StoredSeries, time: int) -> float | None:
        return series.value_at(time) if self.window_ms is None else series.rate_at(time, self.window_ms)

    def _series(self, group: Labels, summed: dict[int, float], grid: Grid) -> Series:
        points = sorted(summed)
        values = array("d", [summed[point] for point in points])
        if self.divisor is not None:
            values = array("d", [value / self.divisor for value in values])
        times = array("d", [(grid.start + point * grid.step) / 1000 for point in points])
        return Series(labels=dict(group), timestamps=times, values=values)
