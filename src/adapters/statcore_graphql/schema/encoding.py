"""JSON of values and responses, by msgspec: values that are JSON text already are copied into the response."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def encode_entry(entry: Mapping[str, Any], *, shown: bool) -> msgspec.Raw | None:
    """Return a `JsonEntry` as JSON text; None for any other entry, and for one that has to be decoded first.

    Args:
        entry: the entry.
        shown: whether numbers that mean nothing become null.
    """
    # Not isinstance(entry, JsonEntry), which takes as long as the rest.
    encode: Callable[..., bytes | None] | None = getattr(entry, "encode_json", None)
    text = None if encode is None else encode([entry], shown=shown)
    return None if text is None else msgspec.Raw(text[1:-1])


def encode_value(value: object) -> msgspec.Raw:
    """Return a value that JSON can hold as JSON text."""
    return msgspec.Raw(encode_response(value))


def encode_response(response: object) -> bytes:
    """Return a response as JSON text in UTF-8; it may hold values of `encode_entry`.

    A host's view calls this in its `encode_json` if the contexts of its requests are `encoded`.
    """
    try:
        return _encode(response)
    except (OverflowError, UnicodeEncodeError):  # a number of more than 64 bits, or half a surrogate pair
        text = json.dumps(response, default=_decoded)
        without_nan = json.loads(text, parse_constant=lambda _: None)  # null, as msgspec writes it
        return json.dumps(without_nan, separators=(",", ":")).encode()


def _decoded(value: object) -> object:
    if isinstance(value, msgspec.Raw):
        return json.loads(bytes(value))
    raise TypeError(f"{type(value).__name__} is no JSON")
