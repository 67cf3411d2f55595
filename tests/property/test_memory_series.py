"""A series in memory against a plain walk over all of its samples."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from statcore_memory.functions import Window, range_functions
from statcore_memory.semantics import Semantics
from statcore_memory.series import LOOKBACK_MS, StoredSeries

KEY = (("__name__", "up"),)
GAPS = st.integers(1, 400_000) | st.sampled_from([1_000, 15_000, 300_000, 300_001])
NUMBERS = st.floats() | st.integers(0, 5).map(float)
# None is a staleness mark.
EVENTS = st.lists(st.tuples(GAPS, st.none() | NUMBERS | NUMBERS), max_size=40)
Event = tuple[int, float | None]


def _history(events: list[Event]) -> list[Event]:
    time, history = 0, list[Event]()
    for gap, value in events:
        time += gap
        # A series that is gone already does not go again.
        if value is not None or (history and history[-1][1] is not None):
            history.append((time, value))
    return history


def _stored(history: list[Event]) -> StoredSeries:
    series = StoredSeries(KEY)
    for time, value in history:
        if value is None:
            series.mark_stale(time)
        else:
            series.append(time, value)
    return series


def _value_at(history: list[Event], time: int, semantics: Semantics) -> float | None:
    seen = [event for event in history if event[0] <= time]
    return seen[-1][1] if seen and _is_within(seen[-1][0], time, LOOKBACK_MS, semantics) else None


def _is_within(at: int, time: int, window: int, semantics: Semantics) -> bool:
    return time - window < at <= time or (semantics is Semantics.PROMETHEUS_2 and at == time - window)


def _rate_at(history: list[Event], time: int, window: int, semantics: Semantics) -> float | None:
    samples = [(at, value) for at, value in history if value is not None and _is_within(at, time, window, semantics)]
    if len(samples) < 2:
        return None
    (first_time, first), (last_time, last) = samples[0], samples[-1]
    increase = last - first
    for (_, before), (_, after) in pairwise(samples):
        increase += before if after < before else 0.0
    sampled_s = (last_time - first_time) / 1000
    interval_s = sampled_s / (len(samples) - 1)
    to_start_s = (first_time - (time - window)) / 1000
    to_end_s = (time - last_time) / 1000
    to_zero_s = sampled_s * (first / increase) if increase > 0 and first >= 0 else to_start_s
    if semantics is Semantics.PROMETHEUS_2:
        to_start_s = min(to_start_s, to_zero_s)
    if to_start_s >= 1.1 * interval_s:
        to_start_s = interval_s / 2
    if to_end_s >= 1.1 * interval_s:
        to_end_s = interval_s / 2
    covered_s = sampled_s + min(to_start_s, to_zero_s) + to_end_s
    return increase * (covered_s / sampled_s / (window / 1000))


def _found_value(series: StoredSeries, time: int, semantics: Semantics) -> float | None:
    return series.value_at(time, not_before=time - semantics.reach_ms(LOOKBACK_MS))


def _found_rate(series: StoredSeries, time: int, window: int, semantics: Semantics) -> float | None:
    found = Window.of(series, end=time, length=window, reach=semantics.reach_ms(window))
    return None if found is None else range_functions(semantics)["rate"](found)


def _same(expected: float | None, actual: float | None) -> bool:
    if expected is None or actual is None:
        return expected is actual
    both_nan = math.isnan(expected) and math.isnan(actual)
    return both_nan or math.isclose(expected, actual, rel_tol=1e-9)


@given(EVENTS, st.sampled_from(Semantics), st.data())
def test_values_and_rates(events: list[Event], semantics: Semantics, data: st.DataObject) -> None:
    """Bisection and separate resets and marks give the results of a walk over all samples, for any window."""
    history = _history(events)
    series = _stored(history)
    about = [0, *(time + delta for time, _ in history for delta in (-1, 0, 1, LOOKBACK_MS, LOOKBACK_MS + 1))]
    time = data.draw(st.sampled_from(about) | st.integers(0, about[-1]))
    window = data.draw(
        st.sampled_from([*(time - at for at, _ in history if at < time), 300_000]) | st.integers(1, 1_000_000)
    )
    assert _same(_value_at(history, time, semantics), _found_value(series, time, semantics))
    assert _same(_rate_at(history, time, window, semantics), _found_rate(series, time, window, semantics))


@given(EVENTS, st.data())
def test_trimming(events: list[Event], data: st.DataObject) -> None:
    """A trimmed series has no older samples, no more than allowed, and no reset or mark beyond them."""
    history = _history(events)
    series = _stored(history)
    before = data.draw(st.sampled_from([0, *(time for time, _ in history)]) | st.integers(0, 10_000_000))
    most = data.draw(st.integers(1, 50))
    series.trim(before=before, max_samples=most)
    kept = [time for time, value in history if value is not None and time >= before][-most:]
    assert kept == list(series.times)

    left = [event for event in history if kept and event[0] >= kept[0]]
    for time in {at + delta for at, _ in history for delta in (0, 1, LOOKBACK_MS)}:
        for semantics in Semantics:
            assert _same(_value_at(left, time, semantics), _found_value(series, time, semantics))
            assert _same(_rate_at(left, time, 900_000, semantics), _found_rate(series, time, 900_000, semantics))
    for name in ("values", "_marks", "reset_times", "values_before_reset"):
        assert not kept or len(getattr(_stored(left), name)) == len(getattr(series, name))
