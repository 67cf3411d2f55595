"""The samples of a series: JSON text of `[time, "value"]` pairs to flat arrays of floats, exactly.

Pairs of Python objects take five times the memory of the answer, and more time than everything else. So the text is changed
into one flat list of numbers, which msgspec reads at the speed of C. Without the characters of numbers, a list of pairs is
`[[,""],[,""]]`. If one text does not have this form, or a value that is not a number of JSON (NaN, infinite, `-0`), all
texts of the call are read pair by pair, which is slower.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from statcore.errors import ProtocolError

_T = TypeVar("_T")

_NUMBER_CHARACTERS: Final = b"0123456789.+-eE"
_NO_BRACKETS: Final = bytes.maketrans(b"[]", b"  ")
_NEGATIVE_ZERO: Final = b'"-0"'  # read as a JSON number it would lose its sign
_FLOATS: Final = msgspec.json.Decoder(list[float])
_PAIRS: Final = msgspec.json.Decoder(list[tuple[float, str]])

_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE: Final = {"NaN": math.nan, "+Inf": math.inf, "Inf": math.inf, "-Inf": -math.inf}


def decode(decoder: msgspec.json.Decoder[_T], text: bytes | msgspec.Raw) -> _T:
    """Return decoded JSON.

    Raises:
        ProtocolError: the text is not valid JSON, has another type than the decoder expects, or is nested too deeply.
    """
    try:
        return decoder.decode(text)
    except RecursionError as error:
        raise ProtocolError("not an answer: JSON nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"not an answer: {error}") from error


def read_value(text: str) -> float:
    """Return the number in the text of a sample's value.

    Raises:
        ProtocolError: the text is not a number.
    """
    if (value := _NOT_FINITE.get(text)) is not None:
        return value
    if not _DECIMAL.fullmatch(text):
        raise ProtocolError(f"not an answer: the value of a sample is {text!r:.80}")
    return float(text)


def read_samples(texts: Sequence[bytes]) -> list[tuple[array[float], array[float]]]:
    """Return the times and the values of each list of `[time, "value"]` pairs; each text must be valid JSON.

    Raises:
        ProtocolError: a text is not such a list.
    """
    counts = [_count_plain_pairs(text) for text in texts]
    if None not in counts:
        joined = b",".join([text for text in texts if text != b"[]"])
        try:
            numbers = _FLOATS.decode(b"[%b]" % joined.translate(_NO_BRACKETS, b'"'))
        except msgspec.MsgspecError:
            pass  # a value consists of characters of numbers, but is not a number
        else:
            return _parts(_flat_array(numbers), counts)
    return [_read_slowly(text) for text in texts]


def _flat_array(numbers: list[float]) -> array[float]:
    flat = array("d")
    flat.frombytes(struct.pack(f"{len(numbers)}d", *numbers))  # half the time of `array("d", numbers)`
    return flat


def _count_plain_pairs(text: bytes) -> int | None:
    """Return the number of pairs, or None where `text`, which is valid JSON, must be read pair by pair."""
    rest = text.translate(None, _NUMBER_CHARACTERS)
    count = len(rest) // len(b'[,""],')
    if not count:
        return 0 if text == b"[]" else None  # `[5]` without its number looks like `[]`
    plain = rest == b"[%b]" % (b'[,""],' * count)[:-1] and not (b"-" in text and _NEGATIVE_ZERO in text)
    return count if plain else None


def _parts(flat: array[float], counts: Sequence[int | None]) -> list[tuple[array[float], array[float]]]:
    parts: list[tuple[array[float], array[float]]] = []
    start = 0
    for count in counts:
        end = start + 2 * (count or 0)
        parts.append((flat[start:end:2], flat[start + 1 : end : 2]))
        start = end
    return parts


def _read_slowly(text: bytes) -> tuple[array[float], array[float]]:
    pairs = decode(_PAIRS, text)
    return array("d", [time for time, _ in pairs]), array("d", [read_value(value) for _, value in pairs])
