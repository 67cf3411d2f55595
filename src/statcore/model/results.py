"""Results of a metric backend: series over a time range, samples at one instant, and the joining of a split range."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import lt
from typing import Any, TypeVar

import attrs

from statcore.errors import InputError, ProtocolError
from statcore.model.arrow import ArrowColumn, ArrowTable, NumberColumn, TextColumn, TimeColumn
from statcore.model.numbers import format_sample_value

_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class AnswerNotes:
    """The backend's notes on an answer.

    Args:
        warnings: texts that may mean that data is missing.
        infos: texts that never mean that data is missing.
        partial: whether the backend says that data is missing.
    """

    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    partial: bool = False


@attrs.frozen(kw_only=True)
class Series:
    """One series: its labels, and samples in order of time.

    `timestamps` are unix seconds, `values` floats (NaN and infinities as the backend sent them); both are
    `array('d')` of equal length: 8 bytes a number, and accepted by numpy without a copy.
    """

    labels: Mapping[str, str]
    timestamps: array[float]
    values: array[float]

    def __attrs_post_init__(self) -> None:
        """Check that each timestamp has a value."""
        if len(self.timestamps) != len(self.values):
            raise InputError(f"{len(self.timestamps)} timestamps but {len(self.values)} values for {dict(self.labels)}")

    def __len__(self) -> int:
        """Return how many samples the series has."""
        return len(self.timestamps)


@attrs.frozen(kw_only=True)
class MatrixResult(AnswerNotes, ArrowTable):
    """Answer to a range query: series in the backend's order, with the backend's notes.

    As Arrow and as a data frame it has a row for each sample; see `arrow_columns`.

    `status` and `data` are the same answer in the shape of a Prometheus response.
    """

    series: tuple[Series, ...]

    @property
    def status(self) -> str:
        """Always `success`: a failed query raises."""
        return "success"

    @property
    def data(self) -> QueryData:
        """The answer as `data.result_type` and `data.result[].metric / .values`."""
        return QueryData(
            result_type="matrix",
            result=tuple(MetricResponse(series.labels, series.timestamps, series.values) for series in self.series),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per series with `labels`, `timestamps` and `values`, ready for a JSON encoder."""
        return [
            {"labels": dict(s.labels), "timestamps": s.timestamps.tolist(), "values": s.values.tolist()}
            for s in self.series
        ]

    def arrow_columns(self) -> Mapping[str, ArrowColumn]:
        """Return a column for each label, null in rows of series without it, and the columns `timestamp` and `value`.

        The column of a label with one of these two names gets `label_` in front.
        """
        labels = dict.fromkeys(label for series in self.series for label in series.labels)
        columns: dict[str, ArrowColumn] = {}
        for label in labels:
            name = label
            while name in {"timestamp", "value"} or (name != label and name in labels):
                name = f"label_{name}"
            columns[name] = TextColumn([(series.labels.get(label), len(series)) for series in self.series])
        times = chain.from_iterable(series.timestamps for series in self.series)
        columns["timestamp"] = TimeColumn(array("q", [round(time * 1000) for time in times]))
        columns["value"] = NumberColumn(array("d", chain.from_iterable(series.values for series in self.series)))
        return columns


@attrs.frozen(kw_only=True)
class Sample:
    """One sample: labels, `timestamp` in unix seconds, and the value."""

    labels: Mapping[str, str]
    timestamp: float
    value: float


@attrs.frozen(kw_only=True)
class VectorResult(AnswerNotes):
    """Answer to an instant query: samples in the backend's order, with the backend's notes."""

    samples: tuple[Sample, ...]


@attrs.frozen
class MetricResponse:
    """One series of a Prometheus response: its labels, and its samples as pairs of unix seconds and text."""

    metric: Mapping[str, str]
    _timestamps: Sequence[float] = attrs.field(repr=False)
    _numbers: Sequence[float] = attrs.field(repr=False)

    @property
    def values(self) -> list[tuple[float, str]]:
        """The samples as pairs of unix seconds and decimal text."""
        return [(time, format_sample_value(number)) for time, number in zip(self._timestamps, self._numbers, strict=True)]


@attrs.frozen(kw_only=True)
class QueryData:
    """The `data` member of a Prometheus response."""

    result_type: str
    result: Sequence[MetricResponse]


def check_part(part: MatrixResult) -> MatrixResult:
    """Return the answer to a part of a range after checking that it can be joined with others.

    Raises:
        ProtocolError: the answer has one series twice, or samples that are not in order of time.
    """
    seen: set[frozenset[tuple[str, str]]] = set()
    in_order: set[bytes] = set()  # most series of an answer share their times, which are checked once
    for series in part.series:
        key, times = frozenset(series.labels.items()), series.timestamps.tobytes()
        if key in seen:
            raise ProtocolError(f"the answer has the series {dict(series.labels)} twice")
        if times not in in_order and not all(map(lt, series.timestamps, series.timestamps[1:])):
            raise ProtocolError(f"the samples of {dict(series.labels)} are not in order of time")
        seen.add(key)
        in_order.add(times)
    return part


def join_parts(parts: Sequence[MatrixResult]) -> MatrixResult:
    """Return one answer with the samples of all parts, in order of time and without duplicates.

    Args:
        parts: answers that `check_part` accepts, in order of time.

    Returns:
        The series in the order in which they first occur in the parts, with the notes of all parts.
    """
    joined: dict[frozenset[tuple[str, str]], Series] = {}
    for part in parts:
        for series in part.series:
            known = joined.setdefault(frozenset(series.labels.items()), _empty(series))
            # Some servers move the ends of a part onto a grid of their own, so that it overlaps the part before.
            first = bisect_right(series.timestamps, known.timestamps[-1]) if known.timestamps else 0
            known.timestamps.extend(series.timestamps[first:])
            known.values.extend(series.values[first:])
    return MatrixResult(
        series=tuple(joined.values()),
        warnings=_distinct(warning for part in parts for warning in part.warnings),
        infos=_distinct(info for part in parts for info in part.infos),
        partial=any(part.partial for part in parts),
    )


def append_instant(result: MatrixResult, instant: VectorResult) -> MatrixResult:
    """Return the answer over a range, with the samples of a later instant appended to its series."""
    series = (
        Series(labels=sample.labels, timestamps=array("d", [sample.timestamp]), values=array("d", [sample.value]))
        for sample in instant.samples
    )
    return join_parts(
        [
            result,
            MatrixResult(series=tuple(series), warnings=instant.warnings, infos=instant.infos, partial=instant.partial),
        ]
    )


def _empty(series: Series) -> Series:
    return Series(labels=series.labels, timestamps=array("d"), values=array("d"))


def _distinct(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
