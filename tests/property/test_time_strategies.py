"""Durations, times and time ranges, for any input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import promql_parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statcore.errors import InputError
from statcore.model import QueryTimeRange, format_duration, parse_duration, parse_time
from statcore.model.time import from_unix_ms, unix_ms
from statcore.testing.strategies import durations, time_ranges, times

CENTURY = timedelta(days=36_500)
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.timedeltas(),
    st.datetimes(),
    st.text("0123456789.ywdhms-+TZ: ", max_size=30),
    st.from_regex(r"[0-9]{1,30}[ywdhms]{0,2}"),
    st.lists(st.integers()),
)


@given(durations())
def test_a_written_duration_reads_back_the_same(duration: timedelta | str) -> None:
    """Text is unchanged; a timedelta is the same after writing and reading."""
    text = format_duration(duration)
    assert (duration if isinstance(duration, timedelta) else parse_duration(duration)) == parse_duration(text)
    assert text == format_duration(text)
    assert isinstance(duration, timedelta) or text == duration


@given(durations())
def test_a_duration_means_what_a_promql_parser_takes_it_for(duration: timedelta | str) -> None:
    """An independent parser reads the same length."""
    parsed: Any = promql_parser.parse(f"up[{format_duration(duration)}]")
    assert parse_duration(format_duration(duration)) == parsed.range


@given(ANYTHING)
@example("0h")
@example("100y1ms")
def test_anything_is_a_duration_or_bad_input(thing: Any) -> None:
    """A duration is positive and at most a century; no other error than `InputError` is raised."""
    for read in (parse_duration, lambda value: parse_duration(format_duration(value))):
        try:
            duration = read(thing)
        except InputError:
            continue
        assert timedelta(0) < duration <= CENTURY


@given(times(), st.integers(-14 * 60, 14 * 60))
def test_a_time_is_the_same_in_every_form_and_zone(time: datetime, offset_min: int) -> None:
    """Forms are RFC 3339 in any zone, unix seconds as text and as a number, and milliseconds."""
    abroad = time.astimezone(timezone(timedelta(minutes=offset_min)))
    ms = unix_ms(time)
    spelled: list[datetime | str | float] = [
        abroad,
        abroad.isoformat(),
        time.isoformat().replace("+00:00", "Z"),
        f"{ms // 1000}.{ms % 1000:03}",
        ms / 1000,
    ]
    assert [time] * len(spelled) == [parse_time(form) for form in spelled]
    assert time == from_unix_ms(ms)


@given(ANYTHING)
@example("999999999999")
@example(float("nan"))
@example(10**400)
def test_anything_is_a_time_or_bad_input(thing: Any) -> None:
    """A time is in UTC and whole milliseconds; no other error than `InputError` is raised."""
    try:
        time = parse_time(thing)
    except InputError:
        return
    assert UTC is time.tzinfo
    assert 0 == time.microsecond % 1000


@given(time_ranges())
def test_the_last_point_is_at_or_before_the_end(time_range: QueryTimeRange) -> None:
    """The next point would be after it. The strategy keeps its bound."""
    last = time_range.start + (time_range.points - 1) * time_range.step
    assert last <= time_range.end < last + time_range.step
    assert 1 <= time_range.points <= 1_000


@given(ANYTHING, ANYTHING, ANYTHING)
def test_anything_is_a_range_or_bad_input(start: Any, end: Any, step: Any) -> None:
    """A range has points; no other error than `InputError` is raised."""
    try:
        found = QueryTimeRange(start=start, end=end, step=step)
    except InputError:
        return
    assert found.points >= 1


@given(time_ranges(), times())
def test_a_range_is_refused_exactly_when_it_ends_before_it_starts(time_range: QueryTimeRange, end: datetime) -> None:
    """The step does not matter."""
    if end < time_range.start:
        with pytest.raises(InputError, match="ends before it starts"):
            QueryTimeRange(start=time_range.start, end=end, step=time_range.step)
    else:
        assert end == QueryTimeRange(start=time_range.start, end=end, step=time_range.step).end
