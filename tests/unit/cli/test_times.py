"""Times and ranges as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import format_duration, parse_time
from statcore_cli.times import PointsInTime, format_time, read_expiry, read_range

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
DURATIONS = st.integers(1, 10 * 365 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))


def points(shown: PointsInTime) -> list[datetime]:
    """Return all points of a range, and the last point."""
    time_range = shown.time_range
    times = [time_range.start + number * time_range.step for number in range(time_range.points)]
    return times if shown.last is None else [*times, shown.last]


def options(**given: str) -> dict[str, str | None]:
    """Return the values of all options; None is an option that is not given."""
    return {"start": None, "end": None, "last": None, "step": None, **given}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("1h30m", NOW + timedelta(minutes=90)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00:00.9+01:00", datetime(2027, 1, 31, 11, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_duration_a_date_or_a_time(text: str, expected: datetime) -> None:
    """It has whole seconds."""
    assert expected == read_expiry(text, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "now", "-1d", "0d", "500ms", "2026-11-22", "2026-02-30", "2027-01-31T12:00:00", "2027-1-31", "9999y", "s"],
)
def test_an_expiry_that_is_not_in_the_future_is_refused(text: str) -> None:
    """A text that is not a time is refused, too."""
    with pytest.raises(InputError):
        read_expiry(text, NOW)


@given(DURATIONS, DURATIONS)
def test_relative_times_count_back_from_now(near: timedelta, far: timedelta) -> None:
    """A range with a start is not aligned to its step."""
    near, far = sorted((near, far))
    given = read_range(options(start=f"-{format_duration(far)}", end=f"-{format_duration(near)}"), NOW)

    assert (NOW - far, NOW - near, None) == (given.time_range.start, given.time_range.end, given.last)


@given(DURATIONS)
def test_the_default_step_gives_a_readable_number_of_points(span: timedelta) -> None:
    """There are at most 121 points, and the step is whole seconds."""
    shown = read_range(options(last=format_duration(span)), NOW)

    assert 1 <= len(points(shown)) <= 121
    assert timedelta(0) == shown.time_range.step % timedelta(seconds=1)


@example(span=MILLISECOND, step=MILLISECOND, now=datetime(2000, 1, 1, microsecond=2500, tzinfo=UTC))
@given(DURATIONS, DURATIONS, st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_points_of_last_lie_on_multiples_of_the_step_and_on_the_end(
    span: timedelta, step: timedelta, now: datetime
) -> None:
    """All multiples within the range are points; the last point is the present."""
    step = max(step, span / 500 // MILLISECOND * MILLISECOND + MILLISECOND)
    shown = read_range(options(last=format_duration(span), step=format_duration(step)), now)
    now = parse_time(now)

    multiples = [EPOCH + number * step for number in range(-((EPOCH + span - now) // step), (now - EPOCH) // step + 1)]
    assert multiples == [time for time in multiples if now - span <= time <= now]
    assert [*multiples, now] == [*points(shown), *([now] if now in multiples else [])]
    assert (points(shown)[0], now) == (shown.whole.start, shown.whole.end)


def test_last_may_end_at_another_time_than_now() -> None:
    """The end is then the last point."""
    shown = read_range(options(last="5m", step="1m", end="2026-11-22T10:02:00Z"), NOW)
    assert [NOW + timedelta(minutes=minute) for minute in range(-3, 3)] == points(shown)


def test_the_default_range_is_the_last_15_minutes() -> None:
    """No option is needed."""
    time_range = read_range(options(), NOW).time_range

    assert (NOW - timedelta(minutes=15), NOW, timedelta(seconds=10)) == (time_range.start, time_range.end, time_range.step)


def test_absolute_times_and_steps_are_read() -> None:
    """RFC 3339, unix seconds, and Prometheus durations."""
    given = options(start="2026-11-22T08:00:00+01:00", end="1795341600", step="1m30s")
    time_range = read_range(given, NOW).time_range

    assert datetime(2026, 11, 22, 7, 0, tzinfo=UTC) == time_range.start
    assert datetime.fromtimestamp(1795341600, UTC) == time_range.end
    assert timedelta(seconds=90) == time_range.step


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"start": "2026-11-22T08:00:00"}, "--start: a time without a zone"),
        ({"start": "yesterday"}, "--start: not a time: 'yesterday'"),
        ({"end": "-15"}, "--end: not a duration: '15'"),
        ({"last": "-15m"}, "--last: not a duration: '-15m'"),
        ({"step": "0s"}, "--step: "),
        ({"start": "-1h", "last": "1h"}, "--start and --last exclude each other"),
        ({"start": "now", "end": "-1h"}, "the range ends before it starts"),
        ({"end": "0001-01-02T00:00:00Z", "last": "1y"}, "--last: 1y before .* is before the year 1"),
    ],
)
def test_a_bad_value_names_its_option(given_options: dict[str, str], message: str) -> None:
    """No value is guessed."""
    with pytest.raises(InputError, match=message):
        read_range(options(**given_options), NOW)


@given(st.integers(0, 4_000_000_000_000))
def test_printed_times_read_back(unix_ms: int) -> None:
    """Printed times are RFC 3339 in UTC, exact to the millisecond."""
    text = format_time(unix_ms / 1000)

    assert text.endswith("Z")
    assert timedelta(milliseconds=unix_ms) == parse_time(text) - datetime(1970, 1, 1, tzinfo=UTC)
    assert (unix_ms % 1000 != 0) == ("." in text)
