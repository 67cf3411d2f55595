"""Responses as JSON text."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore_graphql.schema import encode_response
from statcore_graphql.schema.encoding import encode_entry, encode_value
from statcore_valkey.entry import read_metrics

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Ll"]), max_size=3)
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


def as_json(value: Any) -> Any:
    """Return a value as JSON holds it: None for a number that is not finite, and two halves of a pair as one character."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def no_constant(name: str) -> Any:
    """Refuse NaN and infinities, which JSON does not have."""
    raise AssertionError(name)


def read(text: bytes) -> Any:
    """Read strict JSON."""
    return json.loads(text.decode(), parse_constant=no_constant)


@given(VALUES)
async def test_a_response_is_strict_json(value: Any) -> None:
    """Integers of any size and halves of surrogate pairs are kept; a number that is not finite is null."""
    assert as_json(value) == read(encode_response({"data": value}))["data"]


@given(VALUES, VALUES)
async def test_encoded_values_are_copied_into_a_response(first: Any, second: Any) -> None:
    """At any depth, also beside values that msgspec does not encode."""
    response = {"data": {"a": [encode_value(first), {"b": encode_value([encode_value(second)])}], "c": second}}
    expected = {"a": [as_json(first), {"b": [as_json(second)]}], "c": as_json(second)}
    assert expected == read(encode_response(response))["data"]


@pytest.mark.parametrize("odd", [2**64, "\ud800"])
async def test_nan_beside_an_odd_value_is_null(odd: object) -> None:
    """The way for such values knows NaN as the usual way does."""
    assert [odd, None, None] == read(encode_response([odd, math.nan, math.inf]))


@pytest.mark.parametrize("beside", [1, 2**64, "\ud800"])
async def test_a_value_that_is_not_json_is_refused(beside: object) -> None:
    """It is a mistake of the host, whatever else the response holds."""
    with pytest.raises(TypeError, match="object"):
        encode_response({"data": [beside, object()]})


async def test_only_entries_that_write_themselves_are_encoded_without_being_decoded() -> None:
    """An entry of the Valkey adapter is; a mapping is not, and neither is a payload with other fields."""
    payload = msgspec.msgpack.encode({"net_rx": {"current": "1", "capacity": "9", "pct": "2"}})
    entry = read_metrics(payload, key="k")
    stored = {"net_rx": {"current": "1", "capacity": "9", "pct": "2"}}
    for shown, expected in ((False, stored), (True, {"net_rx": {"current": "1", "capacity": None, "pct": None}})):
        encoded = encode_entry(entry, shown=shown)
        assert encoded is not None
        assert expected == read(encode_response(encoded))
    assert None is encode_entry({"mem": {"current": "1"}}, shown=True)
    assert None is encode_entry(read_metrics(msgspec.msgpack.encode({"mem": {"odd": "1"}}), key="k"), shown=True)
