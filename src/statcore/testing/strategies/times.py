"""Points in time, durations, and time ranges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from statcore.model.time import QueryTimeRange, from_unix_ms

_FIRST: Final = datetime(2001, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2099, 12, 31, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_UNITS: Final = ("y", "w", "d", "h", "m", "s", "ms")


def times() -> st.SearchStrategy[datetime]:
    """Return aware datetimes of this century, in UTC, to the millisecond."""
    return st.integers(_unix_ms(_FIRST), _unix_ms(_LAST)).map(from_unix_ms)


def durations() -> st.SearchStrategy[timedelta | str]:
    """Return durations from a millisecond to a few years, as text in Prometheus syntax and as timedelta."""
    counts = st.tuples(*(st.none() | st.integers(0, 20) for _ in _UNITS)).filter(any)
    # A year and more of weeks stay below the 100 years that a server accepts.
    texts = counts.map(lambda found: "".join(f"{n}{unit}" for n, unit in zip(found, _UNITS, strict=True) if n is not None))
    return st.one_of(texts, st.integers(1, 10**11).map(lambda ms: ms * _MILLISECOND))


@st.composite
def time_ranges(draw: st.DrawFn, *, max_points: int = 1_000) -> QueryTimeRange:
    """Return ranges of one to `max_points` points, whose end may be on the grid or between two points."""
    step_ms = draw(st.integers(1, 3_600_000))
    start = draw(times())
    whole = draw(st.integers(0, max_points - 1)) * step_ms
    beyond = draw(st.one_of(st.just(0), st.integers(0, step_ms - 1)))
    return QueryTimeRange(start=start, end=start + (whole + beyond) * _MILLISECOND, step=step_ms * _MILLISECOND)


def _unix_ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
