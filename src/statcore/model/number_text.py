"""Numbers as the decimal text that statistics are made of."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import Final

from statcore.errors import InputError

_EXACT: Final = Context(prec=400)
"""Digits enough for every finite float, so that quantizing never overflows."""


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
    """Return how much of its capacity a value is, as decimal text of at most two places; `0.00` where there is none.

    Raises:
        InputError: the percentage is not finite.
    """
    limit = Decimal(capacity or 0)
    return decimal_text(Decimal(current) / limit * 100, places=2) if limit else "0.00"
