"""Payloads as Valkey may hold them: what agents write, and payloads that are odd or broken on every level."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgpack
from hypothesis import strategies as st

from statcore.model import MetricValue
from statcore.model.statistics import STATS, UNBOUNDED
from statcore.testing.strategies.statistics import metric_maps, number_texts

METRIC_NAMES = ["cpu_util", "cpu_used", "mem", "net_rx", "cuda_mem", "a.b", ""]
FIELD_NAMES = [
    "current",
    "capacity",
    "pct",
    "unit_hint",
    *(f"stats.{name}" for name in (*STATS, "version")),
    "x.y.z",
    "stats",
]
FIELDS = [
    *(f"{metric}.{field}" for metric in METRIC_NAMES[:5] for field in FIELD_NAMES),
    *(
        "mem",
        "mem.",
        ".current",
        "mem.current.0.5",
        "mem.stats.max.0",
        'mem."',
        "mem.\\",
        "mem.\x00",
        "mem.\ud800",
        "\ud800.x",
    ),
]


def shown(current: str, capacity: str, pct: str, unit: str, **stats: str) -> dict[str, str | None]:
    """Return the map of a metric with all keys that agents write; moving statistics are "0" unless given."""
    zeros = dict.fromkeys(("min", "max", "sum", "avg", "diff", "rate"), "0")
    flat = {f"stats.{name}": text for name, text in (zeros | stats).items()}
    return {"current": current, "capacity": capacity, "pct": pct, "unit_hint": unit, **flat, "stats.version": None}


def packed_map(items: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a map of packed names and values, which may be wrong and may recur."""
    listed = list(items)
    return b"\xde" + len(listed).to_bytes(2) + b"".join(name + value for name, value in listed)


def packed(value: object) -> bytes:
    """Return a value as plain msgpack writes it."""
    return bytes(msgpack.packb(value))


def _extension(value: object) -> bytes:
    code, data = (1, value.bytes) if isinstance(value, UUID) else (3, pickle.dumps(value))
    return packed(msgpack.ExtType(code, data))


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_NOT_UTF_8 = st.sampled_from([b"\xa2\xff\xfe", b"\xa1\x80", b"\xa3\xed\xa0\x80", b"\xd9\x01\xc3"])
_EXTENSIONS = st.one_of(
    st.uuids().map(_extension),
    st.decimals().map(_extension),
    st.builds(msgpack.ExtType, st.integers(0, 20), st.binary(max_size=17)).map(packed),
    st.just(b"\xd6\xff\x00\x00\x00\x01"),  # a time stamp
)
_LOOKS_LIKE_AN_EXTENSION = st.sampled_from([0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8]).flatmap(
    lambda byte: st.sampled_from([packed(bytes([byte])), packed(byte), b"\xcd\x00" + bytes([byte])])
)
_DEPTHS = st.sampled_from([3, 31, 32, 33, 300, 5_000])
_DEEP = _DEPTHS.map(lambda depth: b"\x91" * depth + b"\xc0") | _DEPTHS.map(lambda depth: b"\x81\xa1a" * depth + b"\xc0")
_PLAIN = st.one_of(
    number_texts(), _TEXTS, st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.binary(max_size=5)
)
_INNER = st.lists(_PLAIN, max_size=3) | st.dictionaries(
    st.sampled_from(["0.5", "max", "", "z"]) | _TEXTS, _PLAIN, max_size=3
)
_ODD = st.one_of(_PLAIN.map(packed), _INNER.map(packed), _NOT_UTF_8, _EXTENSIONS, _LOOKS_LIKE_AN_EXTENSION, _DEEP)
_ODD_NAMES = st.one_of(_TEXTS.map(packed), _NOT_UTF_8, st.integers(-5, 300).map(packed), st.uuids().map(_extension))

_USUAL_FIELDS = st.tuples(
    st.sampled_from(FIELD_NAMES[:10]).map(packed), st.one_of(number_texts(), st.none(), st.just(UNBOUNDED)).map(packed)
)
_ODD_FIELDS = st.tuples(st.sampled_from(FIELD_NAMES).map(packed) | _ODD_NAMES, _ODD)


def _metrics_of(fields: st.SearchStrategy[tuple[bytes, bytes]]) -> st.SearchStrategy[tuple[bytes, bytes]]:
    return st.tuples(st.sampled_from(METRIC_NAMES).map(packed), st.lists(fields, max_size=5).map(packed_map))


def _as_written(metrics: dict[str, MetricValue], more: dict[str, Any]) -> bytes:
    return packed({name: {**value.to_map(), **more} for name, value in metrics.items()})


def usual_payloads() -> st.SearchStrategy[bytes]:
    """Return payloads as agents write them, with and without a version of the moving statistics and a capacity."""
    more = st.fixed_dictionaries({}, optional={"stats.version": st.just(2), "capacity": st.just(UNBOUNDED)})
    return st.builds(_as_written, metric_maps(max_size=5), more)


@st.composite
def broken(draw: st.DrawFn, payloads: st.SearchStrategy[bytes]) -> bytes:
    """Return a payload that is cut, continued, or has other bytes in some places."""
    payload = bytearray(draw(payloads))
    change = draw(st.sampled_from(["cut", "more", "other"]))
    if change == "cut":
        return bytes(payload[: draw(st.integers(0, len(payload)))])
    if change == "more":
        return bytes(payload) + draw(st.binary(min_size=1, max_size=3))
    for _ in range(draw(st.integers(1, 3)) if payload else 0):
        payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
    return bytes(payload)


def payloads() -> st.SearchStrategy[bytes]:
    """Return payloads of any kind: usual and odd fields, names that are not text, extensions, deep values, broken bytes."""
    odd_metrics = st.tuples(st.sampled_from(METRIC_NAMES).map(packed) | _ODD_NAMES, _ODD)
    nearly_usual = st.lists(_metrics_of(_USUAL_FIELDS | _USUAL_FIELDS | _ODD_FIELDS), max_size=4).map(packed_map)
    odd = st.lists(_metrics_of(_USUAL_FIELDS) | _metrics_of(_ODD_FIELDS) | odd_metrics, max_size=4).map(packed_map)
    good = usual_payloads() | nearly_usual
    return st.one_of(good, nearly_usual, odd, broken(good), st.binary(max_size=10))


def agent_payloads() -> st.SearchStrategy[bytes]:
    """Return payloads of agents: a node and devices, each of any kind."""
    half = payloads() | st.dictionaries(st.sampled_from(METRIC_NAMES), st.dictionaries(_TEXTS, _PLAIN)).map(packed)
    device = st.dictionaries(st.sampled_from(["GPU-0", "0"]), st.dictionaries(st.sampled_from(FIELD_NAMES), _PLAIN))
    devices = payloads() | st.dictionaries(st.sampled_from(METRIC_NAMES), device).map(packed)
    whole = st.builds(lambda node, of: packed_map([(packed("node"), node), (packed("devices"), of)]), half, devices)
    return whole | broken(whole)


def field_lists() -> st.SearchStrategy[list[str]]:
    """Return names of different fields, also names that no agent writes."""
    return st.lists(st.sampled_from(FIELDS) | st.text(min_size=1, max_size=5), min_size=1, max_size=4, unique=True)


def stored_value(payload: bytes, field: str) -> Any:
    """Return a field of a metric as plain msgpack reads it, also if another field is not UTF-8; None if it is not there."""
    entry = msgpack.unpackb(payload, strict_map_key=False, unicode_errors="surrogateescape")
    metric, _, name = field.partition(".")
    return entry.get(metric, {}).get(name)
