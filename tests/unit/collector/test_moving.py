"""Moving statistics and decimal text, by example; the properties are in tests/property."""

from __future__ import annotations

from decimal import Decimal

import pytest

from statcore import InputError
from statcore_collector.moving import MovingStatistics, decimal_text


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("0", 0),
        ("0", -0.0),
        ("0", -0.0004),
        ("12.5", 12.5),
        ("0.001", 0.0006),
        ("1000", 1000.0),
        ("10000000000000000000000", 1e22),
        ("9007199254740993", 2**53 + 1),
        ("0.333", Decimal(1) / 3),
    ],
)
def test_numbers_are_plain_decimal_text(expected: str, value: float | Decimal) -> None:
    """Rounded to a thousandth, no trailing zeros, no exponent, no negative zero, whole numbers exact."""
    assert expected == decimal_text(value)


def test_percentages_have_two_places() -> None:
    """`places` says how many digits are kept."""
    assert "66.67" == decimal_text(200 / 3, places=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    """The collector never writes NaN or Infinity."""
    with pytest.raises(InputError, match="not a finite number"):
        decimal_text(value)


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
