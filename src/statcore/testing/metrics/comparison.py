"""Queriers of the planted series, and comparing answers with known numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.promql.syntax import Selector
from statcore.queriers.interface import QueryStrategy
from statcore.queriers.matcher import LabelMatcher
from statcore.testing.expectations import expect
from statcore.testing.metrics.dataset import METRIC, MetricDataset
from statcore.testing.queriers import FixedQuerier

Point: TypeAlias = tuple[float, float]
_RELATIVE: Final = 1e-9


def querier_of(
    case: str,
    /,
    *,
    group_by: Sequence[str] = (),
    strategy: QueryStrategy = QueryStrategy.GAUGE,
    **labels: str | LabelMatcher,
) -> FixedQuerier:
    """Return a querier of the series planted for a case, narrowed by more labels."""
    return FixedQuerier(METRIC, {"case": case, **labels}, group_by=group_by, strategy=strategy)


def selecting(**labels: str | LabelMatcher) -> Selector:
    """Return a selector of planted series."""
    return Selector(METRIC, labels)


def between(dataset: MetricDataset, first_s: float, last_s: float, *, step_s: float) -> QueryTimeRange:
    """Return the range between two moments, in seconds after the first sample."""
    step = timedelta(milliseconds=round(step_s * 1000))
    return QueryTimeRange(start=dataset.at(first_s), end=dataset.at(last_s), step=step)


def values_by(label: str, result: VectorResult | MatrixResult) -> dict[str, float]:
    """Return each series' value (the last, where it has more) by one of its labels, '' where it has none.

    Raises:
        AssertionError: two series share it.
    """
    if isinstance(result, VectorResult):
        found = [(sample.labels.get(label, ""), sample.value) for sample in result.samples]
    else:
        found = [(series.labels.get(label, ""), series.values[-1]) for series in result.series]
    expect(len(found), len(dict(found)), f"the number of series with distinct {label!r} in {found!r:.500}")
    return dict(found)


def expect_points(expected: Sequence[Point], result: MatrixResult, *, labels: Mapping[str, str] | None = None) -> None:
    """Fail unless the answer is one series with these labels (default: none) and these points."""
    expect([dict(labels or {})], [dict(series.labels) for series in result.series], "the labels of the series")
    (series,) = result.series
    expect([in_ms(time) for time, _ in expected], [in_ms(time) for time in series.timestamps], "the times in milliseconds")
    expect_numbers([value for _, value in expected], list(series.values), "the values")
    if result.partial:
        raise AssertionError(f"the answer is whole, but says that it is partial: {result.warnings}")


def expect_numbers(expected: Sequence[float], actual: Sequence[float], about: str) -> None:
    """Fail unless the numbers agree to 1e-9 relative; NaN agrees with NaN."""
    expect(len(expected), len(actual), f"how many numbers are {about}")
    for position, (number, got) in enumerate(zip(expected, actual, strict=True)):
        both_nan = math.isnan(number) and math.isnan(got)
        if not both_nan and not math.isclose(number, got, rel_tol=_RELATIVE):
            raise AssertionError(f"{about}: expected {number!r} at position {position}, got {got!r}")


def in_ms(time: float) -> int:
    """Return a time in unix seconds as whole milliseconds."""
    return round(time * 1000)
