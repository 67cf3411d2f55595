"""Scrapes of the memory backend: what they begin and end, retention, bounds, and refusals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from tests.unit.memory.scrapes import NOW, at, points, scrape, values

from statcore.errors import InputError
from statcore.promql import Selector
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics


async def test_a_series_ends_with_the_scrape_that_lacks_it() -> None:
    """It ends at once, series of other targets stay, and it may come back."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 1, "other", target="u")
    scrape(metrics, 2, "b")
    assert {"a", "b", "other"} == set(await values(metrics, 1.999))
    assert {"b", "other"} == set(await values(metrics, 2))
    scrape(metrics, 3, "a", "b")
    assert {"a", "b", "other"} == set(await values(metrics, 3))
    assert {0.0, 1.0, 3.0} == set(await points(metrics, FixedQuerier("up", {"job": "a"}), end=3))


async def test_a_scrape_without_samples_ends_all_series_of_its_target() -> None:
    """This is the scrape of a target that is down."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 0, "other", target="u")
    scrape(metrics, 1)
    assert {"other": 1.0} == await values(metrics, 1)


async def test_a_series_moves_between_targets() -> None:
    """A series with a sample of another target at that time or later does not end."""
    metrics = MemoryMetrics()
    scrape(metrics, 0, "a")
    scrape(metrics, 5, "a", target="u")
    scrape(metrics, 3, target="t")
    assert {"a": 1.0} == await values(metrics, 4)
    with pytest.raises(InputError, match="not before"):
        scrape(metrics, 4, "a", target="v")


async def test_an_empty_label_is_no_label() -> None:
    """Labels with an empty value are left out, as by a server."""
    metrics = MemoryMetrics()
    metrics.append_scrape([("up", {"job": "", "a": "1"}, 1)], target="t", time=at(0))
    assert [{"__name__": "up", "a": "1"}] == await metrics.series(Selector("up"))


@pytest.mark.parametrize(
    ("samples", "time"),
    [
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "new"}, 2.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "new", "x": ""}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ('u"p', {}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("", {}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"a}": "x"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"a": "\ud800"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"__name__": "down"}, 1.0)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, 1.0)], 0.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "other"}, 1.0)], 5.0),
        ([("up", {"job": str(number)}, 1.0) for number in range(10)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, None)], 1.0),
        ([("up", {"job": "new"}, 1.0), ("up", {"job": "b"}, 10**400)], 1.0),
        ([], 0.0),
        ([], -1.0),
        ([], float("nan")),
        ([], datetime(2026, 11, 22)),  # noqa: DTZ001 - a time without a zone is what is refused
    ],
)
async def test_a_bad_scrape_is_refused_as_a_whole(samples: list[tuple[str, dict[str, str], Any]], time: Any) -> None:
    """A refused scrape adds nothing and ends nothing."""
    metrics = MemoryMetrics(max_series=10)
    scrape(metrics, 0, "a", "b")
    scrape(metrics, 5, "other", target="u")
    with pytest.raises(InputError):
        metrics.append_scrape(samples, target="t", time=time if isinstance(time, datetime) else NOW + time)
    assert {"a", "b", "other"} == set(await values(metrics, 5))
    scrape(metrics, 6, "a")
    assert {"a", "other"} == set(await values(metrics, 6))


async def test_samples_are_kept_for_the_retention() -> None:
    """Older samples are removed, from series that continue and from series that ended."""
    metrics = MemoryMetrics(retention="10s")
    for second in range(21):
        scrape(metrics, second, *("a",) if second < 15 else ("b",))
    assert list(range(10, 21)) == sorted(await points(metrics, FixedQuerier("up"), end=20))
    assert [{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}] == await metrics.series(Selector("up"))
    scrape(metrics, 25, "b")
    assert [] == await metrics.series(Selector.equal("up", job="a"))
    assert ["b"] == await metrics.label_values("job")
    assert list(range(15, 26)) == sorted(await points(metrics, end=25))


async def test_series_that_are_not_scraped_any_more_are_removed() -> None:
    """Series, names and targets beyond the retention are removed by the next scrape of any target."""
    metrics = MemoryMetrics(retention="1m")
    for number in range(100):
        metrics.append_scrape([(f"metric_{number}", {"a": str(number)}, 1.0)], target=str(number), time=NOW + number)
    tsdb = metrics._tsdb
    assert [61, 61, 61] == [len(tsdb._series), len(tsdb._by_name), len(tsdb._targets)]


@pytest.mark.parametrize("still_there", [("a",), ()])
async def test_newer_series_keep_no_older_ones(still_there: tuple[str, ...]) -> None:
    """Series with newer samples do not keep older ones in memory, in any order of their first scrapes."""
    metrics = MemoryMetrics(retention="1m")
    scrape(metrics, 0, "a")
    scrape(metrics, 1, "b", target="u")
    scrape(metrics, 50, *still_there)
    scrape(metrics, 100, *still_there)
    assert ["t"] == list(metrics._tsdb._targets)
    assert ["a"] == [series.labels["job"] for series in metrics._tsdb._series.values()]


async def test_ended_series_make_room() -> None:
    """New series beyond the bound replace those that ended first; without any, the scrape is refused."""
    metrics = MemoryMetrics(max_series=3)
    scrape(metrics, 0, "a", "b", "c")
    scrape(metrics, 1, "b", "c")
    scrape(metrics, 2, "c")
    scrape(metrics, 3, "c", "d")
    assert ["b", "c", "d"] == await metrics.label_values("job")
    scrape(metrics, 4, "b", "c")
    scrape(metrics, 5, "c", "e", "f")  # in place of d, which ended, and of b, which ends now
    assert ["c", "e", "f"] == await metrics.label_values("job")
    with pytest.raises(InputError, match="1 more than max_series=3"):
        scrape(metrics, 6, "x", target="u")
    scrape(metrics, 6, "c", "e")
    with pytest.raises(InputError, match="1 more than max_series=3"):
        scrape(metrics, 7, "c", "e", "f", "x")  # f ended, but is about to come back
    assert {"c", "e"} == set(await values(metrics, 7))


async def test_a_series_has_a_bounded_number_of_samples() -> None:
    """A series keeps a sample per second of the retention, and at least 3,600, however often it is scraped."""
    metrics = MemoryMetrics(retention="1h")
    for number in range(4_000):
        scrape(metrics, number / 10, "a", value=float(number))
    assert 3_600 == len(next(iter(metrics._tsdb._series.values())).times)
    assert [40.0, 41.0] == sorted(await points(metrics, end=41))
    assert 400.0 == (await points(metrics, end=41))[40.0]
