"""Entries: metrics are decoded when they are read, and an entry behaves as a dict."""

from __future__ import annotations

import copy
import hashlib
import inspect
import pickle
import sys
import tracemalloc
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgpack
import msgspec
import pytest

from statcore.errors import InputError, MalformedEntryError
from statcore_valkey import entry as entry_module
from statcore_valkey.codec import decode_metric, encode_map
from statcore_valkey.entry import StoredEntry, read_agent, read_metrics, row_reader

KEY = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
MEM = {"current": "1024", "capacity": None, "pct": "0.00", "unit_hint": "bytes", "stats.max": "2048", "stats.version": 2}
CPU = {
    "current": "NaN",
    "capacity": "1000",
    "pct": "Infinity",
    "unit_hint": "percent",
    "stats.sum": "1E+30",
    "stats.min": "-0",
}
METRICS = {"mem": MEM, "cpu_util": CPU}


def entry(metrics: Mapping[Any, Any] = METRICS) -> StoredEntry:
    """Return an entry that has not been read yet."""
    return read_metrics(msgpack.packb(metrics), key=KEY)


def bad_metric() -> StoredEntry:
    """Return an entry with a metric that is not UTF-8, which only reading that metric reveals."""
    return read_metrics(msgpack.packb({**METRICS, "io_read": {"current": "??"}}).replace(b"??", b"\xff\xfe"), key=KEY)


def test_it_equals_the_dict_that_was_stored() -> None:
    """Both comparisons hold, before and after metrics are read; odd numbers stay text."""
    assert entry() == METRICS
    assert METRICS == entry()
    assert [False, False] == [entry() != METRICS, METRICS != entry()]
    read = entry()
    assert MEM == read["mem"]
    assert METRICS == read
    assert METRICS == dict(read)


def test_it_differs_from_other_dicts() -> None:
    """A dict with one metric more, fewer or different is not equal."""
    assert entry() != {**METRICS, "io_read": MEM}
    assert entry() != {"mem": MEM}
    assert entry() != {"mem": CPU, "cpu_util": CPU}
    assert entry() != None  # noqa: E711 - the comparison is what is tested


def test_it_is_a_mapping() -> None:
    """Length, names, membership, get, items and values agree with the dict."""
    read = entry()
    assert isinstance(read, Mapping)
    assert 2 == len(read)
    assert ["mem", "cpu_util"] == list(read)
    assert "mem" in read
    assert "io_read" not in read
    assert read.get("io_read") is None
    assert list(METRICS.items()) == list(read.items())
    assert list(METRICS.values()) == list(entry().values())
    assert METRICS.keys() == entry().keys()
    with pytest.raises(KeyError, match="io_read"):
        read["io_read"]


def test_an_empty_map_is_an_entry() -> None:
    """A kernel without metrics differs from no kernel."""
    assert {} == entry({})
    assert "{}" == repr(entry({}))


def test_a_metric_is_decoded_once_and_only_when_read() -> None:
    """A second read returns the same dict; other metrics stay undecoded. A reader that comes back makes it kept."""
    read, other = entry(), entry()
    assert read["mem"] is read["mem"]
    assert isinstance(read.content, bytes)
    assert other["mem"] == read["mem"]
    assert isinstance(read.content, dict)
    assert not isinstance(read.content["cpu_util"], dict)


def test_entries_that_are_read_once_keep_only_their_bytes() -> None:
    """Reading thousands of entries, each in several ways before the next, takes no memory that stays."""
    entries = [entry() for _ in range(2_000)]
    assert METRICS == entry()
    tracemalloc.start()
    try:
        for read in entries:
            assert MEM == read["mem"]
            assert METRICS == dict(read.items())
            assert [MEM, CPU] == list(read.values())
            assert ("1024",) == read.row(("mem.current",))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 20 * len(entries) > kept


def test_a_reading_may_be_interrupted_by_a_reading_of_another_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may read another entry while the metrics of this entry are decoded one after the other."""
    odd = {**METRICS, "io_read": {"lists": [["1"]]}, "net_rx": MEM}

    def interrupted(raw: msgspec.Raw, key: str, metric: str) -> dict[str, Any]:
        assert 2 == len(entry())
        return decode_metric(raw, key, metric)

    monkeypatch.setattr(entry_module, "decode_metric", interrupted)
    for _ in range(2):
        read = entry(odd)
        assert odd == dict(read.items())
        assert list(odd.values()) == list(read.values())
        assert odd == {name: read[name] for name in odd}


@pytest.mark.parametrize(
    "read", [bad_metric(), *(entry({**METRICS, "io_read": value}) for value in (None, 5, "text", [1, 2], b"bytes", True))]
)
def test_a_malformed_metric_raises_when_it_is_read(read: StoredEntry) -> None:
    """It is not a map; the error names the key and the metric; the other metrics can be read."""
    with pytest.raises(MalformedEntryError, match="'io_read'") as error:
        read["io_read"]
    assert (KEY, "io_read") == (error.value.key, error.value.metric)
    assert MEM == read["mem"]
    assert CPU == read["cpu_util"]


@pytest.mark.parametrize("key", [b"\x90", b"\x91\x01", b"\xdc\x00\x00", b"\x80", b"\x81\xa1a\x01"], ids=bytes.hex)
def test_no_array_and_no_map_is_a_key(key: bytes) -> None:
    """An entry with such a name of a metric or a field is malformed; with one further inside, its metric is malformed."""
    odd = b"\x81" + key + b"\xa1x"
    mem, cpu = msgpack.packb("mem"), msgpack.packb("cpu_util")
    for payload in (odd, b"\x82" + cpu + msgpack.packb(CPU) + mem + odd, b"\x82" + cpu + b"\x05" + mem + odd):
        for read in (read_metrics, row_reader(("mem.current",))):
            with pytest.raises(MalformedEntryError, match=KEY):
                read(payload, key=KEY)
    for inner in (odd, b"\x91" + odd, b"\x81\xa1y" + odd):
        deep = read_metrics(b"\x82" + cpu + msgpack.packb(CPU) + mem + b"\x81\xa1z" + inner, key=KEY)
        assert CPU == deep["cpu_util"]
        with pytest.raises(MalformedEntryError, match="'mem'"):
            deep["mem"]


def test_a_malformed_metric_raises_where_all_are_read() -> None:
    """Listing and comparing all metrics raise."""
    for use in (lambda read: read.items(), lambda read: read.values(), lambda read: read == METRICS, dict):
        with pytest.raises(MalformedEntryError, match="'io_read'"):
            use(bad_metric())


def test_counting_naming_and_showing_never_raise() -> None:
    """`len`, `in`, iteration and `repr` work with a malformed metric."""
    read = bad_metric()
    assert 3 == len(read)
    assert "io_read" in read
    assert ["mem", "cpu_util", "io_read"] == list(read)
    assert f"{{'mem': {MEM!r}, 'cpu_util': {CPU!r}, 'io_read': <malformed>}}" == repr(read)


def test_other_keys_than_text_become_text() -> None:
    """Numbers as names of metrics, fields and thresholds become text."""
    assert {"7": {"current": "1"}} == entry({7: {"current": "1"}})
    assert {"mem": {"5": "x", "1.5": "y"}} == entry({"mem": {5: "x", 1.5: "y"}})
    assert {"h": {"current": {"0": "1"}, "l": [{"1": None}]}} == entry({"h": {"current": {0: "1"}, "l": [{1: None}]}})


def test_fields_of_any_plain_type_are_kept() -> None:
    """Agents do not write integers, floats, booleans, bytes and lists, but they are read."""
    odd = {"current": 5, "pct": 1.5, "flag": True, "raw": b"\x00", "list": ["a"], "nil": None}
    assert {"mem": odd} == entry({"mem": odd})


def test_it_can_be_copied_and_pickled() -> None:
    """Caches and process pools can hold entries."""
    assert METRICS == copy.deepcopy(entry())
    read = entry()
    assert MEM == read["mem"]
    assert METRICS == pickle.loads(pickle.dumps(read))  # noqa: S301 - our own


def test_an_entry_can_be_stored_again() -> None:
    """An entry copied from one store to another is unchanged; other mappings than dicts are encoded as maps, too."""
    assert METRICS == msgpack.unpackb(encode_map(entry(), key=KEY))
    assert {"h": METRICS} == msgpack.unpackb(encode_map({"h": MappingProxyType(METRICS)}, key=KEY))


def test_msgspec_refuses_it_instead_of_encoding_its_inside() -> None:
    """Entries are encoded as dicts; so can each metric be."""
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins):
        with pytest.raises(TypeError, match="EncodeAsDictInstead"):
            encode(entry())
    assert METRICS == msgspec.json.decode(msgspec.json.encode(dict(entry())))
    with pytest.raises(InputError, match="EncodeAsDictInstead"):
        encode_map({"h": entry()}, key=KEY)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="C code has a stack limit of its own since Python 3.12")
def test_a_reader_with_little_stack_left_gets_our_error() -> None:
    """Deep in a recursion, a nested entry that was checked before cannot be read."""
    read = read_metrics(b"\x81\xa1m\x81\xa1a" + b"\x91" * 300 + b"\xc0", key=KEY)

    def count(depth: int) -> int:
        return count(depth - 1) if depth else len(read)

    left = sys.getrecursionlimit() - len(inspect.stack(0))
    with pytest.raises(MalformedEntryError, match="nested too deeply"):
        count(left - 150)
    assert 1 == len(read)


DEVICES = {"cuda_mem": {"GPU-0": MEM, "GPU-1": CPU}, "cuda_util": {"0": CPU}}


def agent(halves: object) -> StoredEntry:
    """Return the entry that is read from the payload of an agent."""
    return read_agent(msgpack.packb(halves), key="i-1")


def test_an_agent_with_extensions_is_the_same() -> None:
    """A device id may be a UUID."""
    device = msgpack.ExtType(1, bytes(16))
    read = agent({"node": METRICS, "devices": {"cuda_mem": {device: MEM}}})
    assert {"node": METRICS, "devices": {"cuda_mem": {"00000000-0000-0000-0000-000000000000": MEM}}} == read


UUID_FIELD = {msgpack.ExtType(1, bytes(16)): "1"}
SEEMS_EXTENDED = {"current": "1", "unit_hint": "\u0500"}
"""A text with the first byte of an extension in UTF-8."""


@pytest.mark.parametrize("neighbour", [MEM, SEEMS_EXTENDED, UUID_FIELD], ids=["plain", "text", "extension"])
@pytest.mark.parametrize("faulty", [5, None, {"current": "??"}, {"??": "1"}, {"a": {b"x": 1}}], ids=repr)
def test_a_malformed_metric_costs_no_neighbour(faulty: object, neighbour: dict[Any, str | None]) -> None:
    """It is malformed when it is read, alone or in an agent; the others can be read, whatever bytes they have."""
    metrics = {7: neighbour, "mem": faulty, "cpu_util": CPU, "net_rx": {7: "1"}}
    of_agent = msgpack.packb({"node": metrics, "devices": metrics, "version": 3}).replace(b"??", b"\xff\xfe")
    halves = read_agent(of_agent, key="i-1")
    kernel = read_metrics(msgpack.packb(metrics).replace(b"??", b"\xff\xfe"), key="i-1")
    for read in (kernel, halves["node"], halves["devices"]):
        with pytest.raises(MalformedEntryError, match="'mem' of key 'i-1'"):
            read["mem"]
        assert CPU == read["cpu_util"]
        assert list(neighbour.values()) == list(read["7"].values())


@pytest.mark.parametrize("half", ["node", "devices"])
def test_a_metric_of_an_agent_that_is_no_map_is_malformed(half: str) -> None:
    """It is refused when it is read."""
    read = agent({half: {"mem": 5}})
    with pytest.raises(MalformedEntryError, match="expected a map, found int"):
        read[half]["mem"]


@pytest.mark.parametrize("half", ["node", "devices"])
@pytest.mark.parametrize(
    ("of", "reason"),
    [
        ({b"mem": MEM}, "a map has a key of type bytes"),
        ({None: MEM}, "a map has a key of type NoneType"),
        (5, "got `int`"),
        ({"mem": {"id": msgpack.ExtType(6, b"x")}}, "extension 6 is never decoded"),
    ],
)
def test_an_agent_is_refused_with_its_fault(half: str, of: object, reason: str) -> None:
    """The message tells what is wrong in a half, and the length and digest of the whole payload."""
    payload = bytes(msgpack.packb({half: of}))
    whole = f"{len(payload)} bytes, SHA-256 {hashlib.sha256(payload).hexdigest()[:16]}"
    with pytest.raises(MalformedEntryError, match=rf"'i-1' is malformed: .*{reason} \({whole}\)"):
        read_agent(payload, key="i-1")


def test_other_keys_of_an_agent_than_text_become_text() -> None:
    """Numbers as names of metrics and devices become text, as in the entry of a kernel."""
    expected = {"node": {"7": MEM}, "devices": {"1.5": {"0": CPU}}}
    assert expected == agent({"node": {7: MEM}, "devices": {1.5: {0: CPU}}})


@pytest.mark.parametrize("half", ["node", "devices"])
def test_a_missing_half_of_an_agent_is_empty(half: str) -> None:
    """A missing half is empty; other members are left out."""
    stored = {"node": METRICS, "devices": DEVICES, "version": 3}
    del stored[half]
    assert {"node": METRICS, "devices": DEVICES, half: {}} == agent(stored)


@pytest.mark.parametrize(
    "halves",
    [{}, {"mem": MEM}, [], 7, {"node": 5, "devices": {}}, {"node": {}, "devices": []}, {"node": METRICS, "devices": 0}],
)
def test_another_shape_is_no_agent(halves: object) -> None:
    """The whole entry is malformed; the error names the key."""
    with pytest.raises(MalformedEntryError, match="'i-1'"):
        agent(halves)
