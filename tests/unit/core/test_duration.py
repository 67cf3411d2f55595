"""Durations in Prometheus syntax."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model import format_duration, parse_duration

DAY_MS = 86_400_000
READ = {
    "1ms": 1,
    "500ms": 500,
    "1s": 1_000,
    "90s": 90_000,
    "5m": 300_000,
    "1h30m": 5_400_000,
    "1d": DAY_MS,
    "1w": 7 * DAY_MS,
    "1y": 365 * DAY_MS,
    "100y": 36_500 * DAY_MS,
    "1y2w3d4h5m6s7ms": 382 * DAY_MS + 4 * 3_600_000 + 5 * 60_000 + 6_007,
    "0h5m": 300_000,
    "007s": 7_000,
}
REFUSED = [
    "",
    " ",
    "5",
    "m",
    "0s",
    "0",
    "0h0m",
    "-5m",
    "+5m",
    "1.5m",
    "1e3s",
    "5 m",
    " 5m",
    "5m ",
    "5m\n",
    "30m1h",
    "5m5m",
    "5M",
    "5µs",
    "\u0665m",
    "5m]",
    '5m"',
    "inf",
    "NaN",
    "101y",
    "36501d",
    "9" * 30 + "s",
    "1" * 5_000 + "s",
    "0" * 70 + "5s",
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


@pytest.mark.parametrize(("text", "milliseconds"), READ.items())
def test_a_duration_is_read_as_prometheus_reads_it(text: str, milliseconds: int) -> None:
    """Units are those of the server: a week has 7 days, a year 365."""
    assert timedelta(milliseconds=milliseconds) == parse_duration(text)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text)[:20])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """The message shows what was given, in a bounded length, and a valid one; writing refuses the same text."""
    for use in (parse_duration, format_duration):
        with pytest.raises(InputError, match="5m, 1h30m or 500ms") as caught:
            use(text)
        assert 300 > len(str(caught.value))


@pytest.mark.parametrize(("duration", "text"), WRITTEN.items())
def test_a_timedelta_is_written_in_the_shortest_way(duration: timedelta, text: str) -> None:
    """Weeks and years appear only where they are the whole of it, as the server writes them."""
    assert text == format_duration(duration)


def test_text_is_written_as_it_is() -> None:
    """Nobody's spelling is changed."""
    assert "0h90m" == format_duration("0h90m")


@pytest.mark.parametrize(
    "duration",
    [
        timedelta(0),
        timedelta(seconds=-1),
        timedelta(microseconds=1),
        timedelta(seconds=1, microseconds=1),
        timedelta.max,
        timedelta(days=36_501),
    ],
)
def test_a_timedelta_that_cannot_be_written_is_refused(duration: timedelta) -> None:
    """Zero, negative, finer than a millisecond, or longer than a century."""
    with pytest.raises(InputError):
        format_duration(duration)


@pytest.mark.parametrize("thing", [None, 300, 1.5, b"5m", ["5m"], object()])
def test_another_type_is_refused_like_any_bad_input(thing: Any) -> None:
    """A number of seconds is not guessed at."""
    for use in (parse_duration, format_duration):
        with pytest.raises(InputError, match="5m, 1h30m or 500ms"):
            use(thing)
