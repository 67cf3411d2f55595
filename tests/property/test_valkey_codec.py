"""Codec: written bytes are those of plain msgpack, which can be read; garbage is refused."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import MalformedEntryError
from statcore.testing.strategies.statistics import metric_maps, metric_values
from statcore_valkey.codec import decode_count, encode_map
from statcore_valkey.entry import StoredEntry, read_agent, read_metrics

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
FIELDS = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), TEXTS)
METRIC_MAPS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, FIELDS, max_size=20), max_size=20)


def read_everything(entry: StoredEntry) -> None:
    """Read each part of an entry in each way."""
    assert repr(entry)
    for name in entry:
        try:
            entry[name]
        except MalformedEntryError as error:
            assert name == error.metric  # noqa: PT017 - both outcomes are fine
    try:
        assert dict(entry) == dict(entry.items())
    except MalformedEntryError:
        assert "<malformed>" in repr(entry)


@given(METRIC_MAPS)
def test_written_bytes_are_those_of_plain_msgpack(metrics: dict[str, Any]) -> None:
    """The bytes are the same, so that every reader of agents can read ours."""
    assert msgpack.packb(metrics) == encode_map(metrics, key="k")


@given(METRIC_MAPS)
def test_entries_of_plain_msgpack_are_read(metrics: dict[str, Any]) -> None:
    """Entries are read whole, and metric by metric."""
    assert metrics == read_metrics(msgpack.packb(metrics), key="k")
    by_name = read_metrics(msgpack.packb(metrics), key="k")
    assert metrics == {name: by_name[name] for name in metrics}


@given(metric_maps(), st.dictionaries(TEXTS, st.dictionaries(TEXTS, metric_values(), max_size=3), max_size=3))
def test_an_agent_round_trips(node: Any, devices: Any) -> None:
    """The entry is written by the sink and read by plain msgpack, with the flat keys of the wire format."""
    halves = {
        "node": {name: value.to_map() for name, value in node.items()},
        "devices": {name: {device: value.to_map() for device, value in of.items()} for name, of in devices.items()},
    }
    payload = encode_map(halves, key="k")
    assert halves == msgpack.unpackb(payload)
    assert halves == read_agent(payload, key="k")


@given(st.dictionaries(st.uuids(), st.dictionaries(TEXTS, st.decimals() | st.uuids(), max_size=5), max_size=5))
def test_extensions_become_text(metrics: dict[UUID, dict[str, Decimal | UUID]]) -> None:
    """UUIDs as keys and values, and pickled Decimals, become text."""

    def pack(value: object) -> msgpack.ExtType:
        if isinstance(value, UUID):
            return msgpack.ExtType(1, value.bytes)
        return msgpack.ExtType(3, pickle.dumps(value))

    stored = {pack(id_): fields for id_, fields in metrics.items()}
    expected = {str(id_): {name: str(value) for name, value in of.items()} for id_, of in metrics.items()}
    assert expected == read_metrics(msgpack.packb(stored, default=pack), key="k")


@given(METRIC_MAPS.filter(bool), st.data())
def test_every_truncation_is_refused(metrics: dict[str, Any], data: st.DataObject) -> None:
    """A payload without its last bytes is malformed."""
    payload = msgpack.packb(metrics)
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    with pytest.raises(MalformedEntryError, match="'k'"):
        read_metrics(cut, key="k")


@given(METRIC_MAPS, st.binary(min_size=1))
def test_every_trailing_byte_is_refused(metrics: dict[str, Any], more: bytes) -> None:
    """Two payloads in one value are malformed."""
    with pytest.raises(MalformedEntryError, match="'k'"):
        read_metrics(msgpack.packb(metrics) + more, key="k")


@given(
    st.one_of(st.binary(), st.binary().map(lambda data: b"\x81\xa1a" + data), st.binary().map(lambda data: b"\x82" + data))
)
def test_garbage_is_read_or_refused_but_nothing_else(payload: bytes) -> None:
    """No bytes raise another error than `MalformedEntryError`, when they arrive or are read."""
    for read in (read_metrics, read_agent):
        try:
            entry = read(payload, key="k")
        except MalformedEntryError as error:
            assert "k" == error.key  # noqa: PT017 - both outcomes are fine
        else:
            read_everything(entry)


@given(METRIC_MAPS.filter(bool), st.data())
def test_a_flipped_byte_is_read_or_refused_but_nothing_else(metrics: dict[str, Any], data: st.DataObject) -> None:
    """A nearly right payload raises no other error than `MalformedEntryError`."""
    payload = bytearray(msgpack.packb(metrics))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        entry = read_metrics(bytes(payload), key="k")
    except MalformedEntryError as error:
        assert "k" == error.key  # noqa: PT017 - both outcomes are fine
    else:
        read_everything(entry)


@given(st.integers(-(10**19) + 1, 10**19 - 1))
def test_counts_round_trip(count: int) -> None:
    """Any integer in the text of Python is read."""
    assert count == decode_count(str(count).encode())
