"""Bytes to values and back: MessagePack as the agents write it. This module does no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeAlias, cast

import msgspec

from statcore.errors import InputError, MalformedEntryError
from statcore.model.statistics import STATS, UNBOUNDED, hidden_fields
from statcore_valkey.extensions import ExtensionError, decode_extension

Scalar: TypeAlias = bool | int | float | str | None
Row: TypeAlias = tuple[str | None, ...]
"""A text, or None, for each of some fields."""
Field: TypeAlias = Scalar | list[Scalar] | dict[str, Scalar]


class _TextKeys(msgspec.Struct, frozen=True, gc=False):
    """A map with text keys, whose values are skipped."""


_decode_shape: Final = msgspec.msgpack.Decoder(
    dict[str, _TextKeys | str | int | float | bool | list[msgspec.Raw] | None]
).decode
_MAPS: Final = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
"""The first bytes of maps."""
_decode_keys: Final = msgspec.msgpack.Decoder(dict[Any, msgspec.Raw], ext_hook=decode_extension).decode
_decode_outline: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_METRIC: Final = msgspec.msgpack.Decoder(dict[str, Field])
_decode_scalars: Final = msgspec.msgpack.Decoder(dict[str, Scalar]).decode
_METRICS: Final = msgspec.msgpack.Decoder(dict[str, dict[str, Field]])
_ANYTHING: Final = msgspec.msgpack.Decoder(ext_hook=decode_extension)
_EXT_8, _EXT_16, _EXT_32 = 0xC7, 0xC8, 0xC9
_FIXEXT_1, _FIXEXT_2, _FIXEXT_4, _FIXEXT_8, _FIXEXT_16 = 0xD4, 0xD5, 0xD6, 0xD7, 0xD8
_FAULTS: Final = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)  # TypeError: a map as a key, in 0.20
_MAX_LEVELS: Final = 32
"""How deeply a metric may be nested."""
_INTEGER: Final = re.compile(rb"-?[0-9]{1,19}")


def has_extension(payload: bytes) -> bool:
    """Return whether a payload may hold an extension. Each starts with one of eight bytes, which occur elsewhere as well.

    Eight searches in C take a thirtieth of the time of one regular expression.
    """
    return (
        _EXT_8 in payload
        or _EXT_16 in payload
        or _EXT_32 in payload
        or _FIXEXT_1 in payload
        or _FIXEXT_2 in payload
        or _FIXEXT_4 in payload
        or _FIXEXT_8 in payload
        or _FIXEXT_16 in payload
    )


def decode_outline(payload: bytes | msgspec.Raw, /) -> dict[str, msgspec.Raw] | None:
    """Return the undecoded values of a map after a walk over the whole payload; None if it is not a map with text keys."""
    try:
        return _decode_outline(payload)
    except _FAULTS:
        return None


def has_sound_keys(payload: bytes, /) -> bool:
    """Return whether a payload is a map with text keys, and the maps in it have keys that are text or numbers.

    It walks over the whole payload. Keys further inside are checked when their metric is read, because checking them here
    would take four times as long.
    """
    try:
        _decode_shape(payload)
    except _FAULTS:
        outline = decode_outline(payload)
        return outline is not None and all(map(has_sound_names, outline.values()))
    return True


def has_sound_names(metric: msgspec.Raw, /) -> bool:
    """Return whether the keys of a metric are text or numbers.

    True as well if it is not a map, or a key is not UTF-8: this is found when the metric is read.
    """
    if bytes(metric)[0] in _MAPS:
        try:
            decode_names(metric)
        except UnicodeDecodeError:
            return True
        except _FAULTS:
            return False
    return True


def decode_metrics(payload: bytes, /) -> dict[str, dict[str, Field]] | None:
    """Return a payload without extensions, decoded in one step; None if it is not a map of maps of plain fields."""
    try:
        return _METRICS.decode(payload)
    except _FAULTS:
        return None


def decode_metric(raw: msgspec.Raw, key: str, metric: str, /) -> dict[str, Any]:
    """Return the map of one metric.

    Raises:
        MalformedEntryError: the metric is not a map that can be decoded.
    """
    try:
        return _decode_scalars(raw)  # nearly every metric; faster than with lists and maps
    except _FAULTS:
        pass
    try:
        return _METRIC.decode(raw)
    except _FAULTS:
        pass
    try:
        return _decode_anything(raw)
    except _FAULTS as error:
        raise MalformedEntryError(
            f"metric {metric!r} of key {key!r} is malformed: {error}", key=key, metric=metric
        ) from error


@lru_cache(maxsize=128)
def row_decoder(fields: tuple[str, ...], /) -> Callable[[bytes], Row | None]:
    """Return a function that decodes only some fields, such as "mem.current", of a payload without extensions.

    The function skips the other fields and metrics. It returns None if one of the fields is not text, or its metric is not
    a map; always if a field is a whole metric, or if msgspec allows no field of its name, such as a name with a quote.
    """
    names_of: dict[str, dict[str, None]] = {}
    paths: list[str] = []
    for field in fields:
        metric, _, name = field.partition(".")
        if not name:
            return lambda _: None
        names = names_of.setdefault(metric, {})
        # "current.0.5" may be the field 0.5 of a map: where current is a map, the payload is not decoded as fields of text.
        names |= dict.fromkeys((name, name.partition(".")[0]))
        paths.append(f"metric_{list(names_of).index(metric)}.field_{list(names).index(name)}")
    try:
        metrics = [_skipping_struct("field", dict.fromkeys(names, (str | None, None))) for names in names_of.values()]
        by_name = {metric: (struct, struct()) for metric, struct in zip(names_of, metrics, strict=True)}
        decode = msgspec.msgpack.Decoder(_skipping_struct("metric", by_name)).decode
    except ValueError:
        return lambda _: None
    texts = [attrgetter(path) for path in paths]
    # attrgetter returns a tuple only for several attributes.
    as_row: Callable[[Any], Row] = (
        attrgetter(*paths) if len(paths) > 1 else lambda found: tuple([get(found) for get in texts])
    )

    def row(payload: bytes) -> Row | None:
        try:
            return as_row(decode(payload))
        except _FAULTS:
            return None

    return row


def _skipping_struct(prefix: str, fields: Mapping[str, tuple[Any, Any]]) -> Any:  # noqa: ANN401 - a class of its own
    """Return a struct that skips other names; its attributes are `PREFIX_0`, … for types and defaults by name."""
    return msgspec.defstruct(
        "Fields",
        [(f"{prefix}_{number}", kind, default) for number, (kind, default) in enumerate(fields.values())],
        rename={f"{prefix}_{number}": name for number, name in enumerate(fields)},
        frozen=True,  # so that it may be a default
        gc=False,
    )


class MetricFields(
    msgspec.Struct,
    gc=False,
    forbid_unknown_fields=True,
    rename={f"stats_{name}": f"stats.{name}" for name in (*STATS, "version")},
):
    """The fields that agents write for a metric; it is written as JSON faster than a dict."""

    current: str | msgspec.UnsetType = msgspec.UNSET
    capacity: str | msgspec.UnsetType | None = msgspec.UNSET
    pct: str | msgspec.UnsetType | None = msgspec.UNSET
    unit_hint: str | msgspec.UnsetType = msgspec.UNSET
    stats_min: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_max: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_sum: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_avg: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_diff: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_rate: str | msgspec.UnsetType | None = msgspec.UNSET
    stats_version: int | msgspec.UnsetType | None = msgspec.UNSET


class UnusualPayloadError(Exception):
    """A payload has other fields than agents write, or is decoded already."""


_decode_values: Final = msgspec.msgpack.Decoder(dict[str, MetricFields]).decode
_JSON: Final = msgspec.json.Encoder()
_USUAL_JSON_BYTES: Final = 4_000
"""More than the JSON of a usual entry, so that the buffer need not grow."""


def decode_values(payload: bytes | dict[str, Any], /) -> dict[str, MetricFields]:
    """Return the metrics of a payload without extensions.

    Raises:
        UnusualPayloadError: the payload is not such a map of metrics, or a field is not one that agents write.
    """
    if isinstance(payload, bytes):
        try:
            return _decode_values(payload)
        except _FAULTS as error:
            raise UnusualPayloadError from error
    raise UnusualPayloadError


def hide_fields(metrics: Mapping[str, MetricFields], /) -> None:
    """Replace the fields that mean nothing by None."""
    for metric, fields in metrics.items():
        for attribute in _hidden_attributes(metric, unbounded=fields.capacity == UNBOUNDED):
            if getattr(fields, attribute) is not msgspec.UNSET:
                setattr(fields, attribute, None)


@lru_cache(maxsize=256)
def _hidden_attributes(metric: str, *, unbounded: bool) -> tuple[str, ...]:
    return tuple(name.replace(".", "_") for name in hidden_fields(metric, UNBOUNDED if unbounded else None))


def encode_values(values: Sequence[Mapping[str, MetricFields] | None], /) -> bytes:
    """Return a JSON list of entries."""
    buffer = bytearray(_USUAL_JSON_BYTES * len(values))
    _JSON.encode_into(values, buffer)
    return bytes(buffer)


def decode_names(payload: bytes | msgspec.Raw, /) -> dict[str, msgspec.Raw]:
    """Return the undecoded values of a map by name; numbers and extensions among its keys become text.

    To be called within `refusing`, as the payload may not be such a map.
    """
    outline = decode_outline(payload)
    return {_name(key): value for key, value in _decode_keys(payload).items()} if outline is None else outline


def decode_eagerly(payload: bytes | msgspec.Raw, /) -> dict[str, dict[str, Any] | msgspec.Raw]:
    """Return metrics decoded with extensions and with keys that are not text; a metric that is malformed stays Raw.

    To be called within `refusing`, as the payload may not be a map, or hold an extension that is never decoded.
    """
    return {name: _decoded_or_raw(raw) for name, raw in decode_names(payload).items()}


def _decoded_or_raw(raw: msgspec.Raw) -> dict[str, Any] | msgspec.Raw:
    try:
        return _decode_scalars(raw)
    except _FAULTS:
        pass
    try:
        return _decode_anything(raw)
    except ExtensionError:
        raise
    except _FAULTS:
        return raw


def _decode_anything(raw: msgspec.Raw) -> dict[str, Any]:
    return _as_map(_with_names(_ANYTHING.decode(raw), levels=_MAX_LEVELS))


@contextmanager
def refusing(payload: bytes, /, *, key: str) -> Generator[None]:
    """Refuse a payload for any fault that is found in the context."""
    try:
        yield
    except _FAULTS as error:
        refuse(payload, key=key, reason=str(error), cause=error)


def refuse(payload: bytes, /, *, key: str, reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise `MalformedEntryError` with the key, length and digest of a payload, but without its bytes."""
    digest = hashlib.sha256(payload).hexdigest()[:16]
    raise MalformedEntryError(
        f"key {key!r} is malformed: {reason} ({len(payload)} bytes, SHA-256 {digest})", key=key
    ) from cause


def decode_count(payload: object, /) -> int | None:
    """Return the integer in ASCII text, or None if the payload is not bytes or not an integer."""
    return int(payload) if isinstance(payload, bytes) and _INTEGER.fullmatch(payload) else None


def encode_map(entry: Mapping[str, Any], /, *, key: str) -> bytes:
    """Return a map in the encoding of the agents.

    Raises:
        InputError: a value in it cannot be stored.
    """
    try:
        return msgspec.msgpack.encode(dict(entry), enc_hook=_as_dict)  # `StoredEntry` is a struct; it is stored as a map
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"the entry for key {key!r} cannot be stored: {error}") from error


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(cast("Any", value))
    raise TypeError(f"{type(value).__name__} is not a type of the wire format")


def _as_map(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected a map, found {type(value).__name__}")  # noqa: TRY004 - a fault of the data, not of a type
    return cast("dict[str, Any]", value)


def _with_names(value: object, *, levels: int) -> object:
    """Return a decoded value with text for the keys of every map, and for MessagePack's own time stamps.

    Values nested more deeply are refused: they could be read, but not printed, compared or written as JSON.
    """
    if not levels:
        raise ValueError(f"nested more than {_MAX_LEVELS} levels deep")
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {_name(key): _with_names(inner, levels=levels - 1) for key, inner in items}
    if isinstance(value, list):
        return [_with_names(inner, levels=levels - 1) for inner in cast("list[object]", value)]
    return value.isoformat() if isinstance(value, datetime) else value


def _name(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int | float):
        return str(key)
    raise ValueError(f"a map has a key of type {type(key).__name__}")
