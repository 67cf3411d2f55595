"""Metric backend in memory, which stores scrapes and answers queries for utilization and PromQL."""

from __future__ import annotations

import time as wall
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from statcore.errors import InputError, QueryRejectedError
from statcore.model import (
    MatrixResult,
    QueryTimeRange,
    Sample,
    Series,
    VectorResult,
    format_duration,
    parse_duration,
    parse_time,
)
from statcore.model.text import check_text
from statcore.model.time import unix_ms
from statcore.model.validation import NOT_A_SETTING, check_count, check_seconds
from statcore.ports import ScrapeSample
from statcore.promql import (
    MAX_RANGE_POINTS,
    NORMALIZATION_INTERVAL_S,
    RATE_INTERVAL,
    Expression,
    Number,
    Selector,
    check_points,
    utilization_query,
)
from statcore.promql.parsing import EvaluationTime, Query, read_query
from statcore.promql.quoting import label_text, selector_parts
from statcore.queriers import UtilizationMetricQuerier
from statcore_memory.evaluation import Evaluation, Grid
from statcore_memory.operations import Column, Vector
from statcore_memory.semantics import Semantics, as_semantics
from statcore_memory.series import Labels, StoredSeries
from statcore_memory.tsdb import Tsdb

_MILLISECOND: Final = timedelta(milliseconds=1)


def _retention(value: timedelta | str) -> timedelta:
    if not isinstance(value, timedelta | str):  # pyright: ignore[reportUnnecessaryIsInstance] - settings come from files
        raise InputError(f"retention must be a duration such as 1h, not {value!r}")
    try:
        return parse_duration(format_duration(value))
    except InputError as error:
        raise InputError(f"retention: {error}") from None


def _new_tsdb(metrics: MemoryMetrics) -> Tsdb:
    retention_ms = metrics.retention // _MILLISECOND
    return Tsdb(retention_ms=retention_ms, max_series=metrics.max_series, semantics=metrics.semantics)


@attrs.frozen(kw_only=True, eq=False)
class MemoryMetrics:
    """A `MetricQuerierPort` and `PromQLPort` over scrapes in memory; it answers as Prometheus does.

    It evaluates the PromQL that `statcore.promql` has classes for, and no other PromQL.

    Args:
        retention: how long samples are kept, counted back from the newest scrape; text or timedelta, by default an hour.
        max_series: how many series are kept at most; new series replace series that have ended, and a scrape that needs
            more is refused. A series keeps at most one sample per second of the retention (at least 3,600), of 16 bytes.
        max_range_points: the most points per series of a range query.
        semantics: the major version of Prometheus to answer as: 3, or 2 for 2.42; `Semantics` lists the differences.
        normalization_interval_s: what `rate_normalized` divides by, 1 by default.
        clock: the time in unix seconds.

    Raises:
        InputError: a setting cannot be used; the message names it.
    """

    retention: timedelta = attrs.field(default=timedelta(hours=1), converter=_retention)
    max_series: int = attrs.field(default=10_000, validator=check_count)
    max_range_points: int = attrs.field(default=MAX_RANGE_POINTS, validator=check_count)
    semantics: Semantics = attrs.field(default=Semantics.PROMETHEUS_3, converter=as_semantics)
    normalization_interval_s: float = attrs.field(default=NORMALIZATION_INTERVAL_S, validator=check_seconds)
    clock: Callable[[], float] = attrs.field(default=wall.time, metadata=NOT_A_SETTING)
    _tsdb: Tsdb = attrs.field(init=False, repr=False, default=attrs.Factory(_new_tsdb, takes_self=True))

    def append_scrape(self, samples: Iterable[ScrapeSample], /, *, target: str, time: datetime | float) -> None:
        """Add one scrape of one target; a scrape that is refused adds nothing.

        Series of the target's previous scrape that are not in this one end at `time`. A scrape without samples, as of a
        target that is down, ends all of them.

        Args:
            samples: metric name, labels, and value; a label with an empty value is no label.
            target: the name of the target; it is not added to the labels.
            time: an aware datetime or unix seconds, rounded to milliseconds.

        Raises:
            InputError: a bad name or value, a series twice, a time that is not after the previous scrape's, or more series
                than `max_series`.
        """
        scraped: dict[Labels, float] = {}
        for name, labels, value in samples:
            key = _key(name, labels)
            if key in scraped:
                raise InputError(f"one scrape of {target!r} holds {dict(key)} twice")
            try:
                scraped[key] = float(value)
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"the value of {dict(key)} must be a number that fits a float, not {value!r}") from None
        self._tsdb.append(scraped, target=target, time=unix_ms(parse_time(time)))

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization at every point of the range, series sorted by their labels.

        Raises:
            PluginError: the querier breaks its contract.
            InputError: an interval that is not positive, a bad name, or more than `max_range_points` points.
            QueryRejectedError: a regular expression is not valid, or a series matches several.
            UnsupportedError: a regular expression uses syntax that is not supported.
        """
        return await self._over(self._utilization(querier, rate_interval), time_range)

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the querier's utilization at `time` (aware), by default the clock's.

        Raises:
            PluginError: the querier breaks its contract.
            InputError: an interval that is not positive, a bad name, or a time without a zone.
            QueryRejectedError: a regular expression is not valid, or a series matches several.
            UnsupportedError: a regular expression uses syntax that is not supported.
        """
        return await self._at(self._utilization(querier, rate_interval), time)

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate a PromQL text at `time` (aware), by default the clock's; a scalar is one sample without labels.

        Raises:
            InputError: a time without a zone, or a query that is not text.
            QueryRejectedError: the text is not PromQL, a regular expression is not valid, or a series matches several.
            UnsupportedError: the query uses PromQL that `statcore.promql` has no class for; the message names it.
            MissingExtraError: the parser is not installed; it comes with the extra `presets`.
        """
        return await self._at(_read(promql), time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate a PromQL text at every point of the range.

        Raises:
            InputError: a query that is not text, or more than `max_range_points` points.
            QueryRejectedError: the text is not PromQL, a regular expression is not valid, or a series matches several.
            UnsupportedError: the query uses PromQL that `statcore.promql` has no class for; the message names it.
            MissingExtraError: the parser is not installed; it comes with the extra `presets`.
        """
        return await self._over(_read(promql), time_range)

    def utilization_text(
        self, querier: UtilizationMetricQuerier, /, *, rate_interval: timedelta | str = RATE_INTERVAL
    ) -> str:
        """Return the PromQL that answers a querier."""
        return self._utilization(querier, rate_interval).text

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the distinct values of a label, sorted, among the matching series with a sample in the range.

        Raises:
            InputError: a bad label name, a time without a zone, or a range that ends before it starts.
            QueryRejectedError: a regular expression is not valid, or `match` has an offset, which a server refuses here.
            UnsupportedError: a regular expression uses syntax that is not supported.
        """
        label_text(label)
        found = self._find(match, time_range)
        return sorted({series.labels[label] for series in found if label in series.labels})

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, sorted, of the matching series with a sample in the range.

        Raises:
            InputError: a time without a zone, or a range that ends before it starts.
            QueryRejectedError: a regular expression is not valid, or `match` has an offset, which a server refuses here.
            UnsupportedError: a regular expression uses syntax that is not supported.
        """
        return [dict(series.labels) for series in self._find(match, time_range)]

    async def ping(self) -> None:
        """Return immediately: no service has to be reached."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close, and other users of this object may continue to use it."""

    def _utilization(self, querier: UtilizationMetricQuerier, rate_interval: timedelta | str) -> Expression:
        interval_s = self.normalization_interval_s
        return utilization_query(querier, rate_interval=rate_interval, normalization_interval_s=interval_s)

    async def _over(self, query: Query, time_range: QueryTimeRange) -> MatrixResult:
        check_points(time_range, self.max_range_points, reason=f"max_range_points is {self.max_range_points}")
        step = time_range.step // _MILLISECOND
        grid = Grid(start=unix_ms(time_range.start), step=step, points=time_range.points)
        vector = await self._evaluate(query, grid)
        return MatrixResult(series=tuple(_series(labels, vector[labels], grid) for labels in sorted(vector)))

    async def _at(self, query: Query, time: datetime | None) -> VectorResult:
        grid = Grid(start=unix_ms(parse_time(self.clock() if time is None else time)))
        vector = await self._evaluate(query, grid)
        timestamp = grid.start / 1000
        return VectorResult(
            samples=tuple(
                Sample(labels=dict(labels), timestamp=timestamp, value=column[0]) for labels, column in vector.items()
            )
        )

    async def _evaluate(self, query: Query, grid: Grid) -> Vector:
        match query:
            case Number(number):
                return {(): dict.fromkeys(range(grid.points), number)}
            case EvaluationTime():
                return {(): {point: grid.time(point) / 1000 for point in range(grid.points)}}
            case expression:
                return await Evaluation(self._tsdb.select, self.semantics).evaluate(expression, grid)

    def _find(self, match: Selector | None, time_range: tuple[datetime, datetime] | None) -> list[StoredSeries]:
        if match is not None and match.offset is not None:
            raise QueryRejectedError(f"series are selected without an offset, not by {match.text}", query=match.text)
        found = self._tsdb.select(match)
        if time_range is None:
            return found
        start, end = (unix_ms(parse_time(time)) for time in time_range)
        if end < start:
            raise InputError(f"the range ends before it starts: {time_range[0].isoformat()}, {time_range[1].isoformat()}")
        return [series for series in found if series.has_sample(start=start, end=end)]


def _read(promql: str) -> Query:
    check_text(promql, what="a query")
    try:
        return read_query(promql)
    except InputError as error:
        raise QueryRejectedError(f"not PromQL: {error}", query=promql) from error


def _series(labels: Labels, column: Column, grid: Grid) -> Series:
    points = sorted(column)
    return Series(
        labels=dict(labels),
        timestamps=array("d", [grid.time(point) / 1000 for point in points]),
        values=array("d", [column[point] for point in points]),
    )


def _key(name: str, labels: Mapping[str, str]) -> Labels:
    selector_parts(name)
    if "__name__" in labels:
        raise InputError(f"the label __name__ must not stand beside the metric name {name!r}")
    pairs = [("__name__", name)]
    for label, value in labels.items():
        label_text(label)
        if check_text(value, what="a label value"):
            pairs.append((label, value))
    return tuple(sorted(pairs))
