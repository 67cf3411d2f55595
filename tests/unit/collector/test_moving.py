"""Moving statistics, by example; the properties are in tests/property."""

from __future__ import annotations

from statcore_collector.moving import MovingStatistics


def test_one_sample_has_no_difference_and_no_rate() -> None:
    """What does not exist yet is left out, not zero."""
    moving = MovingStatistics()
    assert {} == moving.values()
    moving.observe(10, 5)
    assert {"min": 5, "max": 5, "sum": 5, "avg": 5} == moving.values()


def test_a_second_sample_has_both() -> None:
    """The rate is per second of the time between the two."""
    moving = MovingStatistics()
    moving.observe(10, 5)
    moving.observe(14, 13)
    assert {"min": 5, "max": 13, "sum": 18, "avg": 9, "diff": 8, "rate": 2} == moving.values()


def test_two_samples_at_one_time_have_no_rate() -> None:
    """No division by zero: the difference is there, the rate is not."""
    moving = MovingStatistics()
    moving.observe(10, 5)
    moving.observe(10, 13)
    assert 8 == moving.values()["diff"]
    assert "rate" not in moving.values()
