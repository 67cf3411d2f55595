"""Numbers as decimal text, by example; the properties are in tests/property."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import pytest

from statcore.errors import InputError
from statcore.model import decimal_text, finite_number, format_sample_value, percent_text


def test_percentages_have_two_places() -> None:
    """`places` says how many digits are kept."""
    assert "66.67" == decimal_text(200 / 3, places=2)
    assert ["100", "0", "0"] == [decimal_text(number, places=0) for number in (100, 0, -0.4)]


@pytest.mark.parametrize(
    ("expected", "current", "capacity"),
    [("12.5", 125, "1000"), ("66.67", 2.0, "3"), ("125", Decimal(1250), "1000"), ("0", 0.0, "5"), ("-50", -1, "2")],
)
def test_a_percentage_is_of_the_capacity(expected: str, current: float, capacity: str) -> None:
    """It has two places at most, and is above 100 if the value is above the capacity."""
    assert expected == percent_text(current, capacity)


@pytest.mark.parametrize("capacity", [None, "0", "-0", "0.00"])
def test_without_a_capacity_the_percentage_is_zero(capacity: str | None) -> None:
    """It is `0.00`, as on the wire."""
    assert "0.00" == percent_text(5, capacity)


@pytest.mark.parametrize(
    ("write", "arguments"),
    [
        *((decimal_text, (value,)) for value in (math.nan, math.inf, -math.inf)),
        *((percent_text, arguments) for arguments in ((math.nan, "5"), (1e308, "0.001"))),
    ],
)
def test_a_number_that_is_not_finite_is_refused(write: Callable[..., str], arguments: tuple[object, ...]) -> None:
    """NaN and infinities are never written, neither as numbers nor as percentages."""
    with pytest.raises(InputError, match="not a finite number"):
        write(*arguments)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0", 0),
        ("512.5", Decimal("512.5")),
        ("+3", 3),
        ("1E+30", 10**30),
        ("1e-7", Decimal("1e-7")),
        (".5", Decimal("0.5")),
        ("5.", 5),
        ("9" * 40, int("9" * 40)),
        ("1.7e308", Decimal("1.7e308")),
    ],
)
def test_a_finite_number_is_read_exactly(text: str, number: Decimal | int) -> None:
    """Its spelling does not matter."""
    assert number == finite_number(text)


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "-NaN", "sNaN", "nan", "Infinity", "-Infinity", "inf", "", " ", " 1", "1 ", "1\n", "1_000"),
        *("\u0663", "\uff11", "1,5", "0x10", "1e", "--1", "1E+400", "-1e999999999", "1e9999999999999999999", None, 5),
        *(1.5, True, b"1", Decimal(1)),
    ],
    ids=repr,
)
def test_text_that_is_not_a_finite_number_is_none(text: Any) -> None:
    """A number that a float cannot hold is None, too: it would be infinite in the first calculation."""
    assert finite_number(text) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-6, "0.000001"),
        (-9.5e-7, "-9.5e-07"),
        (123456789012345680.0, "123456789012345680"),
        (-1e21, "-1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_value_is_written_as_prometheus_writes_it(value: float, text: str) -> None:
    """Digits are the shortest, an exponent is only for the smallest and largest, and NaN and infinities are words."""
    assert text == format_sample_value(value)


def test_writing_does_not_depend_on_the_callers_decimal_context() -> None:
    """A host may calculate with few digits; all digits are written."""
    with localcontext(prec=3):
        assert "0.30000000000000004" == format_sample_value(0.1 + 0.2)
