"""Numbers as text: decimal text as statistics hold it, and sample values as Prometheus writes them."""

from __future__ import annotations

import math
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from statcore.errors import InputError

_EXACT: Final = Context(prec=400)
"""Enough digits for every finite float, so that quantizing never overflows."""
_LEAST_PLAIN: Final = 1e-6
"""The smallest number that is written without an exponent."""
_LEAST_WITH_EXPONENT: Final = 1e21
"""The smallest number above 1 that is written with an exponent."""


def decimal_text(value: float | Decimal, *, places: int = 3) -> str:
    """Return a number as decimal text, rounded to `places`, without trailing zeros, exponent or negative zero.

    Raises:
        InputError: the number is not finite.
    """
    if not math.isfinite(value):
        raise InputError(f"not a finite number: {value}")
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-places), context=_EXACT)
    text = format(rounded, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent_text(current: float | Decimal, capacity: str | None) -> str:
    """Return a value in percent of its capacity, as decimal text of at most two places; `0.00` without a capacity.

    Raises:
        InputError: the percentage is not finite.
    """
    limit = Decimal(capacity or 0)
    return decimal_text(Decimal(current) / limit * 100, places=2) if limit else "0.00"


def format_sample_value(value: float) -> str:
    """Write a sample value as Prometheus does in its answers: with the fewest digits that read back as the same number.

    As in JSON, there is an exponent only below 1e-6 and from 1e21 on.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value and not _LEAST_PLAIN <= abs(value) < _LEAST_WITH_EXPONENT:
        return repr(value)
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def finite_number(text: object) -> Decimal | None:
    """Return the number that stored decimal text stands for, or None if a decision must not use it.

    The result is None for `NaN`, `Infinity`, None and other types, for anything but plain ASCII decimal text, and for
    numbers so large that they are infinite as a float.
    """
    if not isinstance(text, str) or not text.isascii() or "_" in text or text != text.strip():
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and math.isfinite(float(number)) else None
