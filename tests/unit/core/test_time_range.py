"""Points in time and time ranges."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from statcore.errors import InputError
from statcore.model import QueryTimeRange, parse_time
from statcore.model.time import from_unix_ms, unix_ms

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
    "",
    "now",
    "yesterday",
    "2026-11-22",
    "2026-11-22T10:00:00",
    "10:00Z",
    "2026-13-01T00:00:00Z",
    "-5",
    "+5",
    "1e9",
    "1_000",
    "1.",
    ".5",
    "\u0663",
    "nan",
    "NaN",
    "inf",
    "1795341600 ",
    "1795341600\n",
    "999999999999",
    datetime(2026, 11, 22, 10),  # noqa: DTZ001 - without a zone on purpose
    math.nan,
    math.inf,
    -math.inf,
    1e18,
    -1e18,
    10**400,
    True,
    None,
    b"1795341600",
    [1],
    object(),
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
    "",
    "0",
    "0s",
    "-60s",
    "-60",
    "1.5s",
    "60 s",
    "\u0666\u0660",
    "nan",
    "9" * 10,
    0,
    -1,
    0.0001,
    0.0015,
    math.nan,
    math.inf,
    1e300,
    10**400,
    True,
    None,
    timedelta(0),
    timedelta(seconds=-5),
    timedelta(microseconds=1),
    timedelta(seconds=1, microseconds=1),
    b"60",
    [60],
]


def ranged(**fields: Any) -> QueryTimeRange:
    """Return an hour in steps of a minute, with other fields."""
    return QueryTimeRange(**{"start": TEN, "end": TEN + timedelta(hours=1), "step": "1m", **fields})


@pytest.mark.parametrize("value", SAME_TIME, ids=str)
def test_a_time_is_read_in_every_form(value: Any) -> None:
    """RFC 3339 in any zone, unix seconds as number and text, and aware datetimes are one time, given in UTC."""
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
    """Prometheus keeps no more."""
    assert TEN + timedelta(microseconds=microsecond) == parse_time(value)


@pytest.mark.parametrize("value", NO_TIME)
def test_what_is_no_time_is_refused_with_an_example(value: Any) -> None:
    """Above all a time without a zone; no other exception escapes, and the message shows two valid ones."""
    with pytest.raises(InputError, match=r"RFC 3339 with a zone \(2026-11-22T10:00:00Z\) or unix seconds"):
        parse_time(value)


@pytest.mark.parametrize("value", ["2026-11-22T10:00:00", datetime(2026, 11, 22, 10)])  # noqa: DTZ001 - that is the point
def test_a_time_without_a_zone_is_told_so(value: Any) -> None:
    """The most frequent mistake has a message of its own."""
    with pytest.raises(InputError, match="a time without a zone: 2026-11-22T10:00:00; expected RFC 3339 with a zone"):
        parse_time(value)


def test_times_before_the_epoch_are_times() -> None:
    """Unix seconds as a number may be negative."""
    assert datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC) == parse_time(-1)


def test_unix_milliseconds_go_both_ways() -> None:
    """The two functions undo each other."""
    assert 1_795_341_600_123 == unix_ms(TEN + timedelta(milliseconds=123))
    assert TEN + timedelta(milliseconds=123) == from_unix_ms(1_795_341_600_123)


@pytest.mark.parametrize(("step", "expected"), STEPS, ids=str)
def test_a_step_is_read_in_every_form(step: Any, expected: timedelta) -> None:
    """A duration, whole seconds as text, seconds as a number, a timedelta."""
    assert expected == ranged(step=step).step


@pytest.mark.parametrize("step", NO_STEP, ids=lambda step: repr(step)[:30])
def test_what_is_no_step_is_refused(step: Any) -> None:
    """Zero, negative, finer than a millisecond, infinite, or something else; no other exception escapes."""
    with pytest.raises(InputError, match=r"60s|5m"):
        ranged(step=step)


def test_the_proposals_strings_make_a_range() -> None:
    """Start, end and step as text, the way earlier clients passed them."""
    found = QueryTimeRange(start="2026-11-22T10:00:00Z", end="1795345200", step="60s")  # type: ignore[arg-type]
    assert ranged() == found
    assert (TEN, TEN + timedelta(hours=1), timedelta(minutes=1)) == (found.start, found.end, found.step)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    """The message shows both."""
    expected = "start 2026-11-22T10:00:00+00:00, end 2026-11-22T09:59:59.999000+00:00"
    with pytest.raises(InputError, match=re.escape(expected)):
        ranged(end=TEN - timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("seconds", "points"), [(0, 1), (59.999, 1), (60, 2), (61, 2), (3_600, 61), (3_600 * 24 * 365, 525_601)]
)
def test_points_are_those_of_the_grid(seconds: float, points: int) -> None:
    """The first lies at the start, the last not after the end."""
    assert points == ranged(end=TEN + timedelta(seconds=seconds)).points


def test_a_range_is_a_value() -> None:
    """It cannot be changed, and equal ranges hash alike."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ranged().start = TEN  # type: ignore[misc]
    assert {ranged()} == {ranged(), ranged(step=60)}
