"""Joining answers over times that follow each other into one answer."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import lt
from typing import TypeVar

from statcore.errors import ProtocolError
from statcore.model.matrix import MatrixResult, Series
from statcore.model.vector import VectorResult

_T = TypeVar("_T")


def check_part(part: MatrixResult) -> MatrixResult:
    """Return the answer to a part of a range, which can be joined with others.

    Raises:
        ProtocolError: it has one series twice, or samples that are not in order of time.
    """
    seen: set[frozenset[tuple[str, str]]] = set()
    in_order: set[bytes] = set()  # most series of an answer have the same times, which are looked at once
    for series in part.series:
        key, times = frozenset(series.labels.items()), series.timestamps.tobytes()
        if key in seen:
            raise ProtocolError(f"not an answer: it has the series {dict(series.labels)} twice")
        if times not in in_order and not all(map(lt, series.timestamps, series.timestamps[1:])):
            raise ProtocolError(f"not an answer: the samples of {dict(series.labels)} are not in order of time")
        seen.add(key)
        in_order.add(times)
    return part


def join_parts(parts: Sequence[MatrixResult]) -> MatrixResult:
    """Return one answer with the samples of all parts, in order of time and none twice.

    The parts come in order of time, each as `check_part` returns it; series are in the order in which the parts name them
    first.
    """
    joined: dict[frozenset[tuple[str, str]], Series] = {}
    for part in parts:
        for series in part.series:
            known = joined.setdefault(frozenset(series.labels.items()), _empty(series))
            # Some servers move a part's ends onto a grid of their own, so that it laps over the one before.
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
    """Return the answer over a range with the samples of a later instant as the last ones of its series."""
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
