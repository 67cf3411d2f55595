"""The extension types of the MessagePack dialect and the text that each becomes; pickle is never executed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

_UUID: Final = 1
_DATE_TIME: Final = 2
_DECIMAL: Final = 3
_PATHS: Final = (4, 5, 17)

# The bytes that pickle, protocols 2 to 5, writes for a Decimal: the name of the class, the text behind its length, a call,
# the end. Payloads are only compared with this, never executed. `\x94`, `q.` and `r.{4}` are entries of pickle's memo.
_PICKLED_DECIMAL: Final = re.compile(
    rb"""\x80[\x02-\x05] (?:\x95.{8})?
    (?:cdecimal\nDecimal\n | \x8c\x07decimal\x94 \x8c\x07Decimal\x94 \x93) (?:\x94|q.|r.{4})?
    (?:\x8c(.) | X(.{4})) ([-+.0-9A-Za-z]+) (?:\x94|q.|r.{4})?
    \x85 (?:\x94|q.|r.{4})? R (?:\x94|q.|r.{4})? \.""",
    re.DOTALL | re.VERBOSE,
)

# The packing of a date-time (temporenc): two or three bits for its parts, two for the precision of its seconds.
_SUBSECOND_BITS: Final = (10, 20, 30, 0)
_MICROSECONDS: Final = (1_000, 1, 0.001, 0)


class ExtensionError(ValueError):
    """An extension that is not decoded: it is forbidden, unknown, or broken."""


def decode_extension(code: int, data: memoryview) -> str:
    """Return an extension value as text.

    Raises:
        ExtensionError: the value is forbidden, unknown, or broken.
    """
    try:
        if code == _UUID:
            return str(UUID(bytes=bytes(data)))
        if code == _DATE_TIME:
            return _date_time(bytes(data)).isoformat()
        if code == _DECIMAL and (pickled := _PICKLED_DECIMAL.fullmatch(data)):
            length, text = pickled[1] or pickled[2], pickled[3]
            if int.from_bytes(length, "little") == len(text):
                return str(Decimal(text.decode()))
        if code in _PATHS:
            return str(data, "utf-8")
    except UnicodeDecodeError:
        raise ExtensionError(f"extension {code}: not UTF-8") from None  # the error would quote a byte
    except (ValueError, ArithmeticError) as error:
        raise ExtensionError(f"extension {code}: {error}") from error
    raise ExtensionError(f"extension {code} is never decoded")


def _date_time(data: bytes) -> datetime:
    """Read a date with a time, in UTC where it has a zone."""
    packed, remaining = int.from_bytes(data), 8 * len(data)

    def take(bits: int) -> int:
        nonlocal remaining
        remaining -= bits
        if remaining < 0:
            raise ValueError("too short for a date-time")
        return packed >> remaining & (1 << bits) - 1

    kind = take(2)
    if kind == 0b10:  # noqa: PLR2004 - bits
        raise ValueError("a date without a time, or a time without a date")
    has_zone = kind == 0b11  # noqa: PLR2004 - bits
    precision = take(2) if (take(1) if has_zone else kind) else -1
    year, month, day = take(12), take(4) + 1, take(5) + 1
    hour, minute, second = take(5), take(6), take(6)
    microsecond = int(take(_SUBSECOND_BITS[precision]) * _MICROSECONDS[precision])
    if has_zone:
        take(7)  # the writer's own; the time is in UTC
    if remaining >= 8:  # noqa: PLR2004 - more than the rest of a byte
        raise ValueError("too long for a date-time")
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC if has_zone else None)
