"""Points in time, durations and time ranges."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import QueryTimeRange, format_duration, parse_duration, parse_time

TEN = datetime(2026, 11, 22, 10, tzinfo=UTC)
SAME_TIME = [
    TEN,
    datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=2))),
    "2026-11-22T10:00:00Z",
    "2026-11-22T10:00:00.000+00:00",
    "2026-11-22 04:30:00-05:30",
    "1795341600",
    "1795341600.000",
    1_795_341_600,
    1_795_341_600.0,
]
NO_TIME: list[Any] = [
    *("", "now", "yesterday", "2026-11-22", "2026-11-22T10:00:00", "10:00Z", "2026-13-01T00:00:00Z", "-5", "+5"),
    *("1e9", "1_000", "1.", ".5", "\u0663", "nan", "NaN", "inf", "1795341600 ", "1795341600\n", "999999999999"),
    datetime(2026, 11, 22, 10),  # noqa: DTZ001 - without a zone on purpose
    *(math.nan, math.inf, -math.inf, 1e18, -1e18, 10**400, True, None, b"1795341600", [1], object()),
    datetime.max.replace(tzinfo=UTC),
]
STEPS: list[tuple[Any, timedelta]] = [
    ("60s", timedelta(minutes=1)),
    ("1h30m", timedelta(minutes=90)),
    ("500ms", timedelta(milliseconds=500)),
    ("60", timedelta(minutes=1)),
    (60, timedelta(minutes=1)),
    (0.25, timedelta(milliseconds=250)),
    (timedelta(seconds=5), timedelta(seconds=5)),
]
NO_STEP: list[Any] = [
    *("", "0", "0s", "-60s", "-60", "1.5s", "60 s", "\u0666\u0660", "nan", "9" * 10, 0, -1, 0.0001, 0.0015, math.nan),
    *(math.inf, 1e300, 10**400, True, None, timedelta(0), timedelta(seconds=-5), timedelta(microseconds=1)),
    *(timedelta(seconds=1, microseconds=1), b"60", [60]),
]


def ranged(**fields: Any) -> QueryTimeRange:
    """Return an hour in steps of a minute, with other fields."""
    return QueryTimeRange(**{"start": TEN, "end": TEN + timedelta(hours=1), "step": "1m", **fields})


@pytest.mark.parametrize("value", SAME_TIME, ids=str)
def test_a_time_is_read_in_every_form(value: Any) -> None:
    """RFC 3339 in any zone, unix seconds as a number or text, and aware datetimes are read, and returned in UTC."""
    assert TEN == parse_time(value)
    assert UTC is parse_time(value).tzinfo


@pytest.mark.parametrize(
    ("value", "microsecond"),
    [
        ("2026-11-22T10:00:00.1236Z", 124_000),
        ("1795341600.0004", 0),
        (1_795_341_600.9996, 1_000_000),
        ("1795341600.123456789", 123_000),
    ],
)
def test_a_time_is_rounded_to_the_millisecond(value: Any, microsecond: int) -> None:
    """Prometheus keeps milliseconds."""
    assert TEN + timedelta(microseconds=microsecond) == parse_time(value)


@pytest.mark.parametrize("value", NO_TIME)
def test_other_values_are_not_times(value: Any) -> None:
    """The error shows two valid times; no other exception is raised."""
    with pytest.raises(InputError, match=r"RFC 3339 with a zone \(2026-11-22T10:00:00Z\) or unix seconds"):
        parse_time(value)


def test_times_before_the_epoch_are_times() -> None:
    """Unix seconds may be negative if they are a number."""
    assert datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC) == parse_time(-1)


@pytest.mark.parametrize(("step", "expected"), STEPS, ids=str)
def test_a_step_is_read_in_every_form(step: Any, expected: timedelta) -> None:
    """It is a duration, whole seconds as text, seconds as a number, or a timedelta."""
    assert expected == ranged(step=step).step


@pytest.mark.parametrize("step", NO_STEP, ids=lambda step: repr(step)[:30])
def test_other_values_are_not_steps(step: Any) -> None:
    """Zero, negative, infinite and finer steps than a millisecond are refused; no other exception is raised."""
    with pytest.raises(InputError, match=r"60s|5m"):
        ranged(step=step)


@pytest.mark.parametrize(
    ("seconds", "points"), [(0, 1), (59.999, 1), (60, 2), (61, 2), (3_600, 61), (3_600 * 24 * 365, 525_601)]
)
def test_points_are_those_of_the_grid(seconds: float, points: int) -> None:
    """The first is at the start, the last at or before the end."""
    assert points == ranged(end=TEN + timedelta(seconds=seconds)).points


def test_a_range_is_a_value() -> None:
    """It cannot be changed, and equal ranges hash alike."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ranged().start = TEN  # type: ignore[misc]
    assert {ranged()} == {ranged(), ranged(step=60)}


REFUSED: list[Any] = [
    *("", " ", "5", "m", "0s", "0", "0h0m", "-5m", "+5m", "1.5m", "1e3s", "5 m", " 5m", "5m ", "5m\n", "30m1h"),
    *("5m5m", "5M", "5µs", "\u0665m", "5m]", '5m"', "inf", "NaN", "101y", "36501d", "9" * 30 + "s"),
    *("1" * 5_000 + "s", "0" * 70 + "5s", None, 300, 1.5, b"5m", ["5m"], object()),
]
WRITTEN = {
    timedelta(milliseconds=1): "1ms",
    timedelta(seconds=90): "1m30s",
    timedelta(minutes=5): "5m",
    timedelta(hours=1, minutes=30): "1h30m",
    timedelta(days=1): "1d",
    timedelta(days=7): "1w",
    timedelta(days=8): "8d",
    timedelta(days=14): "2w",
    timedelta(days=365): "1y",
    timedelta(days=372): "372d",
    timedelta(days=400, milliseconds=5): "400d5ms",
    timedelta(days=36_500): "100y",
}


@pytest.mark.parametrize("thing", REFUSED, ids=lambda thing: repr(thing)[:20])
def test_other_values_are_not_durations(thing: Any) -> None:
    """Writing refuses them, too, and a number, since its unit is not known; the error is short and has a valid duration."""
    for use in (parse_duration, format_duration):
        with pytest.raises(InputError, match="5m, 1h30m or 500ms") as caught:
            use(thing)
        assert 300 > len(str(caught.value))


@pytest.mark.parametrize(("duration", "text"), WRITTEN.items())
def test_a_timedelta_is_written_in_the_shortest_way(duration: timedelta, text: str) -> None:
    """Weeks and years only stand alone, as the server writes them."""
    assert text == format_duration(duration)


@pytest.mark.parametrize(
    "duration",
    [
        *(timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1), timedelta(seconds=1, microseconds=1)),
        *(timedelta.max, timedelta(days=36_501)),
    ],
)
def test_a_timedelta_that_cannot_be_written_is_refused(duration: timedelta) -> None:
    """It is zero, negative, finer than a millisecond, or longer than a century."""
    with pytest.raises(InputError):
        format_duration(duration)
