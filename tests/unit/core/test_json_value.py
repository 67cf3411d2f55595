"""Whatever a store may hold, as strict JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import MalformedEntryError
from statcore.model.batch import MAX_LEVELS, json_value

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.binary().map(bytearray)
    | st.uuids()
    | st.decimals()
    | st.datetimes()
    | st.just(frozenset([1]))
)
KEYS = st.text() | st.integers() | st.binary() | st.uuids() | st.none() | st.booleans() | st.floats()
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner), max_leaves=20
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(ANYTHING)
def test_anything_is_strict_json(value: object) -> None:
    """No encoder needs help with it, and reading it back gives the same."""
    converted = json_value(value)
    assert converted == json.loads(json.dumps(converted, allow_nan=False))


@given(PLAIN)
def test_what_is_json_stays_as_it_is(value: object) -> None:
    """Numbers are numbers, whole or not, and nothing turns into zero."""
    assert value == json_value(value)
    assert json.dumps(value) == json.dumps(json_value(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (b"\xff\x00", "ff00"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1E+30"), "1E+30"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22 00:00:00+00:00"),
        ({b"\xff": (1, b"\x01")}, {"ff": [1, "01"]}),
        ({1: {None: True}}, {"1": {"None": True}}),
    ],
)
def test_what_json_has_no_word_for_is_text(value: object, expected: object) -> None:
    """In the words of Prometheus, in hex, or as it prints."""
    assert expected == json_value(value)


def test_nesting_has_an_end() -> None:
    """One level more than is allowed is malformed."""
    value: object = 1
    for _ in range(MAX_LEVELS):
        value = [value]
    assert value == json_value(value)
    for deeper in ([value], {"x": value}):
        with pytest.raises(MalformedEntryError, match=f"nested more than {MAX_LEVELS} levels deep"):
            json_value(deeper)
