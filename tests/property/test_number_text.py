"""Numbers as decimal text, for any number."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from statcore.model import decimal_text

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    value=FINITE | st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=6), places=st.integers(1, 6)
)
def test_text_is_plain_and_the_nearest(value: float | Decimal, places: int) -> None:
    """No exponent, no trailing zero, no negative zero; at most half a unit of the last place off."""
    text = decimal_text(value, places=places)
    assert re.fullmatch(rf"-?(0|[1-9][0-9]*)(\.[0-9]{{0,{places - 1}}}[1-9])?", text)
    assert text != "-0"
    assert abs(Fraction(text) - Fraction(value)) <= Fraction(1, 2 * 10**places)


@given(value=FINITE)
def test_text_reads_back_as_itself(value: float) -> None:
    """Writing what was read changes nothing."""
    text = decimal_text(value)
    assert text == decimal_text(Decimal(text))
