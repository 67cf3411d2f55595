"""Semantics of the memory backend: answers of versions 2 and 3 to samples on the boundaries."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.unit.memory.scrapes import NOW, at

from statcore.errors import InputError, QueryRejectedError
from statcore.ports import ScrapeSample
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


def by(label: str, metric: str, values: dict[str, float]) -> list[ScrapeSample]:
    """Return samples of a metric by the value of a label."""
    return [(metric, {label: text}, value) for text, value in values.items()]


NAN = pytest.approx(math.nan, nan_ok=True)
SUM = by("job", "up", {"a": 1.0, "b": 1e100, "c": 1.0, "d": -1e100})
BUCKETS = by("le", "bucket", {"0.5": 4.0, "1": 4 + 8e-14, "2": 8 + 8e-14, "+Inf": 8 + 8e-14})
PARTNERS = [*by("job", "up", {"a": 1.0, "b": 2.0}), ("limit", {}, 1.0)]


@pytest.mark.parametrize(
    ("samples", "promql", "expected"),
    [
        pytest.param(SUM, "sum(up)", {2: 0.0, 3: 2.0}, id="3 adds rounding errors to a sum"),
        pytest.param(SUM, "avg(up)", {2: 0.0, 3: 0.5}, id="3 adds rounding errors to a mean"),
        *(
            pytest.param(
                [("up", {}, number)],
                f"{function}(up)",
                {2: 0.0, 3: NAN},
                id=f"{function} of {number}",
            )
            for function in ("stddev", "stdvar")
            for number in (math.nan, math.inf)
        ),
        pytest.param(
            BUCKETS,
            "histogram_quantile(0.5, bucket)",
            {2: pytest.approx(0.75, rel=0.02), 3: pytest.approx(1.0, rel=0.02)},
            id="buckets that differ by rounding are equal in 3, so that no observation is between 0.5 and 1",
        ),
        pytest.param(PARTNERS, "up > on () limit", {2: 2.0}, id="3 refuses a comparison that keeps one of two series"),
    ],
)
@pytest.mark.parametrize("semantics", [2, 3])
async def test_the_versions_differ(
    samples: list[ScrapeSample], promql: str, expected: dict[int, Any], semantics: int
) -> None:
    """The answers to the same samples are those of each version."""
    metrics = MemoryMetrics(semantics=semantics)
    metrics.append_scrape(samples, target="t", time=START)
    if semantics in expected:
        assert expected[semantics] == await value(metrics, promql, 0)
    else:
        with pytest.raises(QueryRejectedError, match="several series on the left side of > have the same partner"):
            await value(metrics, promql, 0)


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
