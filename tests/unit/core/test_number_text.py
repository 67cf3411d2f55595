"""Numbers as decimal text, by example; the properties are in tests/property."""

from __future__ import annotations

from decimal import Decimal

import pytest

from statcore.errors import InputError
from statcore.model import decimal_text, percent_text


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
    assert ["100", "0", "0"] == [decimal_text(number, places=0) for number in (100, 0, -0.4)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    """Nobody writes NaN or Infinity."""
    with pytest.raises(InputError, match="not a finite number"):
        decimal_text(value)


@pytest.mark.parametrize(
    ("expected", "current", "capacity"),
    [("12.5", 125, "1000"), ("66.67", 2.0, "3"), ("125", Decimal(1250), "1000"), ("0", 0.0, "5"), ("-50", -1, "2")],
)
def test_a_percentage_is_of_the_capacity(expected: str, current: float, capacity: str) -> None:
    """To two places at most, and above 100 where there is more than the capacity."""
    assert expected == percent_text(current, capacity)


@pytest.mark.parametrize("capacity", [None, "0", "-0", "0.00"])
def test_without_a_capacity_the_percentage_is_the_documented_one(capacity: str | None) -> None:
    """`0.00`, as it is on the wire."""
    assert "0.00" == percent_text(5, capacity)


@pytest.mark.parametrize(("current", "capacity"), [(float("nan"), "5"), (1e308, "0.001")])
def test_a_percentage_that_is_not_finite_is_refused(current: float, capacity: str) -> None:
    """As any other number is."""
    with pytest.raises(InputError, match="not a finite number"):
        percent_text(current, capacity)
