"""What the Valkey store promises for any bytes of a server: payloads, entries, and the texts of errors."""

from __future__ import annotations

import json
import pickle
import pickletools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgpack
from msgspec import Raw
from tests.fuzz.promises import SECRET, assert_one_line, outcome

from statcore.errors import MalformedEntryError, StatcoreError
from statcore_valkey.codec import (
    UnusualPayloadError,
    decode_count,
    decode_eagerly,
    decode_metrics,
    decode_outline,
    decode_values,
    encode_map,
    encode_values,
    has_extension,
    has_sound_keys,
    refusing,
)
from statcore_valkey.entry import StoredEntry, read_agent, read_metrics, row_reader
from statcore_valkey.error_mapping import error_from_reply
from statcore_valkey.extensions import ExtensionError, decode_extension

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEVELS: Final = 32
_FIELDS: Final = (("mem.current",), ("mem.current", "cpu_util.pct", "mem.nothing"), ("cpu_util.stats",))


def check_codec(data: bytes) -> None:
    """Each way to decode a payload gives what plain msgpack gives, or refuses; what was decoded can be written again."""
    expected = outcome(lambda: _plain_metrics(data), ValueError, TypeError, OverflowError)
    found = outcome(lambda: _eager_metrics(data), MalformedEntryError)
    assert repr(expected) == repr(found)  # NaN equals itself in this form, and True differs from 1
    if found is not None:
        assert repr(found) == repr(_eager_metrics(encode_map(found, key="k")))
    for at_once in (decode_metrics(data), outcome(lambda: _as_json(data), UnusualPayloadError)):
        assert at_once is None or repr(expected) == repr(at_once)
    if decode_outline(data) is None and not has_extension(data):
        assert not has_sound_keys(data)
    count = decode_count(data)
    assert count is None or int(data) == count
    number = int.from_bytes(data[:7], signed=True)
    assert number == decode_count(str(number).encode())


def check_extension(data: bytes) -> None:
    """An extension becomes the text of its value, or is refused; pickle is not executed."""
    code, content = (data[0], data[1:]) if data else (0, b"")
    text = outcome(lambda: decode_extension(code, memoryview(content)), ExtensionError)
    if code == 1:
        assert text == (str(UUID(bytes=content)) if len(content) == 16 else None)
    elif code in {4, 5, 17}:
        assert text == outcome(content.decode, UnicodeDecodeError)
    elif code == 2:
        assert text is None or datetime.fromisoformat(text)
    elif code == 3:
        assert text is None or text == str(Decimal(_last_text(content)))
    else:
        assert text is None


def check_entry(data: bytes) -> None:
    """The ways to read an entry agree, with each other and with plain msgpack where that reads all of it."""
    expected = outcome(lambda: _plain_metrics(data), ValueError, TypeError, OverflowError)
    entry = outcome(partial(read_metrics, data, key="k"), MalformedEntryError)
    whole = None if entry is None else _check_read(entry, levels=_LEVELS + 1)
    assert expected is None or repr(expected) == repr(whole)
    agent = outcome(partial(read_agent, data, key="k"), MalformedEntryError)
    halves = None if agent is None else _check_read(agent, levels=_LEVELS + 2)
    if expected is not None and (expected.keys() & {"node", "devices"}):
        both = {half: expected.get(half, {}) for half in ("node", "devices")}
        are_maps = all(isinstance(metric, dict) for half in both.values() for metric in half.values())
        assert repr(both if are_maps else None) == repr(halves)
    for fields in _FIELDS:
        row = outcome(partial(row_reader(fields), data, key="k"), MalformedEntryError)
        assert row is not None or entry is None
        if isinstance(row, tuple) and whole is not None:
            assert [_field(whole, field) for field in fields] == list(row)


def check_reply_error(data: bytes) -> None:
    """Any text of an error becomes an error of ours, whose message is one line without the secret."""
    error = error_from_reply(data.decode(errors="replace"), service="Valkey at 127.0.0.1:6379", user="'me'")
    assert isinstance(error, StatcoreError)
    assert_one_line(str(error))


def _eager_metrics(data: bytes) -> dict[str, Any] | None:
    """Return all metrics, decoded; None if one is malformed."""
    with refusing(data, key="k"):
        metrics = decode_eagerly(data)
    return None if any(isinstance(metric, Raw) for metric in metrics.values()) else metrics


def _check_read(entry: StoredEntry, *, levels: int) -> dict[str, Any] | None:
    """Check that the ways to read an entry agree, and return all that is in it; None if a metric is malformed.

    It is nested at most as deeply as `levels`: a metric of an agent is in a half.
    """
    assert repr(entry)
    assert len(entry) == len(list(entry))
    by_name = {metric: outcome(partial(entry.__getitem__, metric), MalformedEntryError) for metric in entry}
    for metric in by_name:
        assert metric in entry
    whole: dict[str, Any] | None = outcome(lambda: _whole(entry), MalformedEntryError)
    if whole is None:
        return None
    assert repr(by_name) == repr(dict(entry.items()))
    _check_nesting(whole, levels=levels)
    encoded = StoredEntry.encode_json([entry], shown=False)
    assert encoded is None or [whole] == json.loads(encoded)
    return whole


def _whole(entry: StoredEntry) -> dict[str, Any]:
    """Return all that is in an entry, also in the halves of an agent."""
    return {name: _whole(value) if isinstance(value, StoredEntry) else value for name, value in entry.items()}


def _check_nesting(value: object, *, levels: int) -> None:
    """Check that a value is nested at most so deeply, and that each key in it is text."""
    assert levels
    if isinstance(value, list):
        for item in value:
            _check_nesting(item, levels=levels - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            assert isinstance(key, str)
            _check_nesting(item, levels=levels - 1)


def _last_text(pickled: bytes) -> str:
    """Return the last text in a pickle, which is not executed."""
    return [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)][-1]


def _field(metrics: dict[str, Any], field: str) -> Any:
    metric, _, name = field.partition(".")
    return metrics.get(metric, {}).get(name)


def _as_json(data: bytes) -> Any:
    return json.loads(encode_values([decode_values(data)]))[0]


def _plain_metrics(data: bytes) -> dict[str, dict[str, Any]]:
    """Return what plain msgpack reads, metric by metric; raise an error for a payload that the codec has to refuse.

    A metric that a later one of the same name replaces is not read.
    """
    options: dict[str, Any] = {
        "strict_map_key": False,
        "use_list": False,  # a list cannot be a key, also if a later value under the same name replaces what it is in
        "ext_hook": lambda code, inner: decode_extension(code, memoryview(inner)),
    }
    unpacker = msgpack.Unpacker(**options)
    unpacker.feed(data)
    parts: dict[Any, bytes] = {}
    try:
        for _ in range(unpacker.read_map_header()):
            name, start = unpacker.unpack(), unpacker.tell()
            unpacker.skip()
            parts[name] = data[start : unpacker.tell()]
    except msgpack.OutOfData:
        raise ValueError("cut short") from None
    if unpacker.tell() != len(data):
        raise ValueError("bytes behind the end")
    metrics = _named({name: msgpack.unpackb(part, **options) for name, part in parts.items()}, levels=_LEVELS + 1)
    if not all(isinstance(metric, dict) for metric in metrics.values()):
        raise ValueError("not a map of maps")
    return dict(metrics)


def _named(value: Any, *, levels: int) -> Any:
    if not levels:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        if not all(isinstance(key, str | int | float) for key in value):
            raise ValueError("a key that is neither text nor a number")
        return {str(key): _named(item, levels=levels - 1) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_named(item, levels=levels - 1) for item in value]
    if isinstance(value, msgpack.Timestamp):  # msgspec rounds nanoseconds, and msgpack would cut them
        rounded_us = (value.nanoseconds + 500) // 1000
        return (_EPOCH + timedelta(seconds=value.seconds, microseconds=rounded_us)).isoformat()
    return value


def _map(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    listed = list(items)
    return bytes([0x80 + len(listed)]) + b"".join(name + value for name, value in listed)


_pack: Final[Callable[[Any], bytes]] = msgpack.packb
_USUAL: Final[dict[str, dict[str, Any]]] = {
    "mem": {
        "current": "1024",
        "capacity": None,
        "pct": "0.00",
        "unit_hint": "bytes",
        "stats.max": "2E+3",
        "stats.version": 2,
    },
    "cpu_util": {"current": "NaN", "pct": "Infinity", "stats.sum": "-0"},
}
_MEM: Final = _pack("mem")
_ONE: Final = _map([(_pack("current"), _pack("1"))])
_KEYS: Final = (b"\x91\x01", b"\x81\xa1a\x01", b"\xc0", b"\xc2", b"\xc4\x01a", b"\x07", b"\xcb" + bytes(8), b"\xa2\xff\xfe")

EXTENSIONS: Final = (
    b"\x01" + bytes(16),
    *(bytes([2]) + data for data in (b"\x1f\x6b\x35\x53\x27\x82", b"\xdf\x6b\x35\x53\x27\x82\x40", bytes(9), b"\xff" * 10)),
    *(b"\x03" + pickle.dumps(Decimal("1.50"), protocol) for protocol in range(6)),
    b"\x03" + pickle.dumps(Decimal("1.50")).replace(b"\x041.50", b"1.50"),
    b"\x03" + pickle.dumps(print),
    b"\x04/tmp/\xc3\xa9",
    b"\x11\xff",
    b"\x06",
)
PAYLOADS: Final = (
    b"",
    b"\x80",
    _pack(_USUAL),
    _pack({"node": _USUAL, "devices": {"cuda_mem": {"GPU-0": _USUAL["mem"]}}}),
    _pack({"mem": {**_USUAL["mem"], "list": [1, 2.5, True, None, "\xe9"], "map": {"a": {"b": []}}}, "io_read": 5}),
    _pack({7: {1.5: -(2**63), True: 2**64 - 1}}),
    *(_map([(_MEM, _map([(key, b"\xa1x")]))]) for key in _KEYS),
    *(_map([(_MEM, _map([(b"\xa1z", b"\x91" + _map([(key, b"\xa1x")]))]))]) for key in _KEYS),
    *(_map([(_MEM, _map([(_pack("x"), _pack(msgpack.ExtType(data[0], data[1:])))]))]) for data in EXTENSIONS),
    _map([(_MEM, _map([(_pack("x"), b"\xd7\xff\x3b\x9a\xc9\xfc\x65\x4a\x5b\x00")]))]),
    _map([(_MEM, _ONE), (_MEM, _map([(_pack("current"), b"\xca\x7f\xc0\x00\x00")]))]),
    _map([(_MEM, _map([(_pack("x"), b"\x91" * 30 + b"\xc0")]))]),
    _map([(_MEM, _map([(_pack("x"), b"\x81\xa1a" * 40 + b"\xc0")]))]),
    _map([(_pack("node"), _map([(_MEM, _map([(_pack("x"), b"\x91" * 30 + b"\xc0")]))]))]),
    b"\x91" * 100_000,
    b"\x81\xa3mem\xc6\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"1795341600",
    _map([(_pack(7), _map([(b"\xff", _map([(b"\x91\x90", b"\x00")])), (b"\xff", b"\x2a")]))]),
    _map([(_MEM, _map([(_pack("x"), b"\xa1\xff")])), (_MEM, _ONE)]),
)
REPLY_ERRORS: Final = (
    b"ERR unknown command 'GET', with args beginning with: 'hunter2-s3cret'",
    b"WRONGPASS invalid username-password pair or user is disabled.",
    b"NOPERM User me has no permissions to run the 'mget' command",
    b"NOAUTH Authentication required. " + SECRET.encode(),
    b"MOVED 3999 127.0.0.1:6381",
    b"ASK 3999 :6381",
    b"MOVED 3999 [::1]:6381",
    b"MOVED",
    b"ASK x y z",
    b"LOADING Redis is loading the dataset in memory",
    b"WRONGTYPE Operation against a key holding the wrong kind of value",
    b"CLUSTERDOWN The cluster is down",
    b"READONLY You can't write against a read only replica.",
    b"-ERR max number of clients reached\r\n",
)
