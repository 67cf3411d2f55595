"""Semantics of the memory backend: answers of versions 2 and 3 to samples on the boundaries."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.unit.memory.scrapes import NOW, at

from statcore.errors import InputError, QueryRejectedError
from statcore_memory import MemoryMetrics, plugin


def holding(semantics: int | None, **series: dict[float, float]) -> MemoryMetrics:
    """Return a backend with samples of metrics by seconds since the start, which is a full minute."""
    metrics = MemoryMetrics() if semantics is None else MemoryMetrics(semantics=semantics)
    for name, samples in series.items():
        for second, value in samples.items():
            metrics.append_scrape([(name, {}, value)], target=name, time=START + second)
    return metrics


START = NOW - NOW % 60


async def value(metrics: MemoryMetrics, promql: str, second: float) -> float | None:
    """Return the only sample at a time, or None without one."""
    samples = (await metrics.query(promql, time=at(START + second - NOW))).samples
    assert len(samples) <= 1
    return samples[0].value if samples else None


@pytest.mark.parametrize(
    ("promql", "second", "closed", "left_open"),
    [
        # The lookback of five minutes.
        ("up", 300.0, 1.0, None),
        ("up", 299.999, 1.0, 1.0),
        ("up", 300.001, None, None),
        ("up offset 1m", 360.0, 1.0, None),
        # The window of a range selector.
        ("last_over_time(up[1m])", 60.0, 1.0, None),
        ("last_over_time(up[1m])", 59.999, 1.0, 1.0),
        ("sum_over_time(ticks[1m])", 60.0, 0.0 + 15 + 30 + 45 + 60, 15.0 + 30 + 45 + 60),
        ("min_over_time(ticks[1m] offset 15s)", 75.0, 0.0, 15.0),
        ("rate(ticks[15s])", 60.0, 1.0, None),
        ("rate(ticks[30s])", 60.0, 1.0, 1.0),
        ("irate(ticks[15s])", 60.0, 1.0, None),
        # The steps of a subquery, which are full minutes; `ticks` ends at 120.
        ("sum_over_time(ticks[2m:])", 120.0, 0.0 + 60 + 120, 60.0 + 120),
        ("max_over_time((ticks offset 1m)[1m:])", 120.0, 60.0, 60.0),
        ("min_over_time((ticks offset 1m)[1m:])", 120.0, 0.0, 60.0),
        ("rate((ticks)[1m:])", 120.0, 1.0, None),
    ],
)
async def test_a_sample_one_window_old(promql: str, second: float, closed: float | None, left_open: float | None) -> None:
    """The sample counts in 2, and not in 3, which is the default."""
    series: dict[str, dict[float, float]] = {
        "up": {0: 1.0},
        "ticks": {float(second): float(second) for second in range(0, 121, 15)},
    }
    assert [closed, left_open, left_open] == [
        pytest.approx(await value(holding(semantics, **series), promql, second)) for semantics in (2, 3, None)
    ]


async def test_a_counter_near_zero_is_extrapolated_by_half_an_interval() -> None:
    """Version 3 extrapolates by half an interval, 2 to the time at which the counter was zero."""
    series = {"ticks": {100.0: 7.0, 110.0: 17.0, 120.0: 27.0}}
    assert pytest.approx(20 + 7) == await value(holding(2, **series), "increase(ticks[2m])", 120)
    assert pytest.approx(20 + 5) == await value(holding(3, **series), "increase(ticks[2m])", 120)


@pytest.mark.parametrize(("semantics", "expected"), [(2, 0.0), (3, 2.0)])
async def test_rounding_errors_of_a_sum(semantics: int, expected: float) -> None:
    """Version 3 adds rounding errors to the sum."""
    metrics = MemoryMetrics(semantics=semantics)
    values = {"a": 1.0, "b": 1e100, "c": 1.0, "d": -1e100}
    metrics.append_scrape([("up", {"job": job}, number) for job, number in values.items()], target="t", time=START)
    assert expected == await value(metrics, "sum(up)", 0)
    assert expected / 4 == await value(metrics, "avg(up)", 0)


@pytest.mark.parametrize(("semantics", "expected"), [(2, 0.0), (3, math.nan)])
@pytest.mark.parametrize("number", [math.nan, math.inf])
async def test_the_deviation_of_numbers_that_are_not_finite(semantics: int, number: float, expected: float) -> None:
    """Version 3 gives NaN."""
    metrics = holding(semantics, up={0: number})
    assert pytest.approx(expected, nan_ok=True) == await value(metrics, "stddev(up)", 0)
    assert pytest.approx(expected, nan_ok=True) == await value(metrics, "stdvar(up)", 0)


async def test_two_series_with_the_same_partner() -> None:
    """Version 3 refuses a comparison that keeps one of them."""
    for semantics in (2, 3):
        metrics = MemoryMetrics(semantics=semantics)
        samples = [("up", {"job": "a"}, 1.0), ("up", {"job": "b"}, 2.0), ("limit", {}, 1.0)]
        metrics.append_scrape(samples, target="t", time=START)
        if semantics == 2:
            assert 2.0 == await value(metrics, "up > on () limit", 0)
            continue
        with pytest.raises(QueryRejectedError, match="several series on the left side of > have the same partner"):
            await value(metrics, "up > on () limit", 0)


@pytest.mark.parametrize(("semantics", "expected"), [(2, 0.75), (3, 1.0)])
async def test_buckets_that_differ_by_rounding(semantics: int, expected: float) -> None:
    """They are equal in 3, so that no observation is between 0.5 and 1."""
    metrics = MemoryMetrics(semantics=semantics)
    counts = {"0.5": 4.0, "1": 4 + 8e-14, "2": 8 + 8e-14, "+Inf": 8 + 8e-14}
    metrics.append_scrape([("bucket", {"le": le}, count) for le, count in counts.items()], target="t", time=START)
    assert pytest.approx(expected, rel=0.02) == await value(metrics, "histogram_quantile(0.5, bucket)", 0)


@pytest.mark.parametrize(
    ("url", "options", "semantics"),
    [
        ("memory://", {}, 3),
        ("memory:?semantics=2", {}, 2),
        ("memory://?semantics=2", {}, 2),
        ("memory://name?semantics=3", {}, 3),
        ("memory://name/?semantics=2", {}, 2),
        ("memory://", {"semantics": 2}, 2),
    ],
)
async def test_the_url_may_hold_the_version(url: str, options: dict[str, Any], semantics: int) -> None:
    """The version is part of the URL, or an option."""
    (spec,) = plugin.statcore_metric_backends()
    backend = await spec.open(url, options)
    assert isinstance(backend, MemoryMetrics)
    assert semantics == backend.semantics


@pytest.mark.parametrize("url", ["memory://?semantics=4", "memory://?semantics=1"])
async def test_other_versions_are_refused(url: str) -> None:
    """The error names the versions that can be chosen."""
    (spec,) = plugin.statcore_metric_backends()
    with pytest.raises(InputError, match=r"semantics must be 3 \(Prometheus 3\) or 2 \(Prometheus 2\.42\), not [14]"):
        await spec.open(url, {})
