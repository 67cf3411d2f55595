"""Malformed payloads are refused when they arrive, in bounded time and memory."""

from __future__ import annotations

import hashlib
import tracemalloc

import msgpack
import pytest

from statcore.errors import MalformedEntryError
from statcore_valkey.codec import decode_count
from statcore_valkey.entry import read_agent, read_metrics

KEY = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
GOOD = bytes(msgpack.packb({"mem": {"current": "1", "unit_hint": "bytes"}}))
FOUR_GIB = b"\xff\xff\xff\xff"
MALFORMED = {
    "empty": b"",
    "truncated": GOOD[:-1],
    "trailing": GOOD + b"\x00",
    "text": b"not MessagePack at all",
    "JSON": b'{"mem": {"current": "1"}}',
    "not UTF-8": b"\xff\xfe\xfd",
    "integer": b"\x05",
    "list": b"\x91\x01",
    "nil": b"\xc0",
    "extension that is not UTF-8": b"\x81\xa1a\x81\xa1b\xc7\x02\x04\xff\xfe",
    "reserved byte": b"\x81\xa1a\xc1",
    "map as key": b"\x81\x81\xa1a\x01\x80",
    "list as key": b"\x81\x91\x01\x80",
    "nil as key": b"\x81\xc0\x80",
    "a name that is not UTF-8": b"\x81\xa2\xff\xfe\x80",
    "deep lists": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0",
    "deep maps": b"\x81\xa1a" * 100_000 + b"\xc0",
    "deep extension": b"\x81\xa1a" + b"\x91" * 100_000 + b"\xd4\x01\x00",
    "list of 4 GiB": b"\x81\xa1a\xdd" + FOUR_GIB,
    "map of 4 GiB": b"\xdf" + FOUR_GIB + b"\xa1a\x80",
    "map of 4 GiB inside": b"\x81\xa1a\xdf" + FOUR_GIB + b"\xa1a\xc0",
    "text of 4 GiB": b"\x81\xa1a\xdb" + FOUR_GIB + b"abc",
    "bytes of 4 GiB": b"\x81\xa1a\xc6" + FOUR_GIB,
    "extension of 4 GiB": b"\x81\xa1a\xc9" + FOUR_GIB + b"\x03",
}


@pytest.mark.parametrize("read", [read_metrics, read_agent])
@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_it_is_refused_as_key_length_and_digest(payload: bytes, read: object) -> None:
    """The message names the key on one short line, and holds no piece of the payload."""
    assert callable(read)
    with pytest.raises(MalformedEntryError) as error:
        read(payload, key=KEY)
    message = str(error.value)
    assert KEY == error.value.key
    assert error.value.metric is None
    assert f"{len(payload)} bytes, SHA-256 {hashlib.sha256(payload).hexdigest()[:16]}" in message
    assert 300 > len(message)
    assert message.isascii()
    assert message.isprintable()
    assert not [start for start in range(len(payload) - 7) if payload[start : start + 8].decode("latin-1") in message]


@pytest.mark.parametrize("name", ["list of 4 GiB", "map of 4 GiB", "map of 4 GiB inside", "deep lists", "deep maps"])
def test_a_length_that_is_only_declared_costs_nothing(name: str) -> None:
    """Refusing the payload takes less than a mebibyte."""
    tracemalloc.start()
    try:
        with pytest.raises(MalformedEntryError):
            read_metrics(MALFORMED[name], key=KEY)
        assert 2**20 > tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("inmost", [{}, msgpack.ExtType(1, bytes(16))], ids=["plain", "with a UUID"])
def test_a_metric_has_at_most_32_levels(inmost: object) -> None:
    """One level more makes the metric malformed."""
    value = inmost
    for _ in range(31):
        value = {"a": value}
    assert "a" in (read_metrics(msgpack.packb({"m": value}), key=KEY)["m"])
    deeper = read_metrics(msgpack.packb({"m": {"a": value}}), key=KEY)
    with pytest.raises(MalformedEntryError):
        deeper["m"]


def test_a_key_is_shown_escaped() -> None:
    """The name of an agent may be any text, which cannot add a line to a message."""
    with pytest.raises(MalformedEntryError) as error:
        read_agent(b"", key="i-\n1")
    assert "'i-\\n1'" in str(error.value)


@pytest.mark.parametrize(("stored", "count"), [(b"0", 0), (b"17", 17), (b"-3", -3), (b"9" * 19, 10**19 - 1)])
def test_a_count_is_an_integer_as_text(stored: bytes, count: int) -> None:
    """A count is digits with an optional minus."""
    assert count == decode_count(stored)


@pytest.mark.parametrize(
    "stored", [None, b"", b"-", b"1.5", b"1e3", b" 1", b"1\n", b"1_0", b"+1", b"nan", b"\xd9\xa3", b"9" * 20, b"\xff"]
)
def test_anything_else_is_no_count(stored: bytes | None) -> None:
    """Empty text, fractions, spaces, underscores, digits of other scripts and very long numbers are none."""
    assert decode_count(stored) is None
