"""Extension types of the MessagePack dialect: what they become, and which are never decoded."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgpack
import pytest

from statcore.errors import MalformedEntryError
from statcore_valkey.entry import read_metrics

KEY = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
ID = UUID("0d1f9a52-6f35-4d0e-9a44-0f6f7a1c2b3d")
DECIMAL = pickle.dumps(Decimal("1.5"))


def stored(value: object) -> bytes:
    """Return what plain msgpack writes for one field of one metric."""
    return bytes(msgpack.packb({"mem": {"current": value}}))


def read(value: object) -> object:
    """Return what is read back for that field."""
    return read_metrics(stored(value), key=KEY)["mem"]["current"]


@pytest.mark.parametrize(
    ("expected", "extension"),
    [
        (str(ID), msgpack.ExtType(1, ID.bytes)),
        *(("/tmp/ä b", msgpack.ExtType(code, "/tmp/ä b".encode())) for code in (4, 5, 17)),  # noqa: S108 - no file
        ("1970-01-01T00:00:05+00:00", msgpack.Timestamp(5)),
    ],
)
def test_an_extension_becomes_its_text(expected: str, extension: object) -> None:
    """Code 1 is the 16 bytes of a UUID, three codes are paths, and MessagePack itself defines a time stamp."""
    assert expected == read(extension)


def test_a_uuid_may_be_a_key_at_every_depth() -> None:
    """A UUID becomes its text, as a key, too."""
    key = msgpack.ExtType(1, ID.bytes)
    payload = msgpack.packb({key: {key: {key: "1"}}})
    assert {str(ID): {str(ID): {str(ID): "1"}}} == read_metrics(payload, key=KEY)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("number", ["0", "-0", "1.5", "1E+30", "NaN", "-Infinity", "9" * 300])
def test_a_decimal_becomes_its_text(number: str, protocol: int) -> None:
    """Code 3 is what pickle writes for a Decimal."""
    assert number == read(msgpack.ExtType(3, pickle.dumps(Decimal(number), protocol=protocol)))


# Date-times packed by hand, from the public description of temporenc: type tag, date, time, fraction, zone.
DATE = f"{2026:012b}{11 - 1:04b}{22 - 1:05b}"
TIME = f"{15:05b}{4:06b}{59:06b}"


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (f"00{DATE}{TIME}", datetime(2026, 11, 22, 15, 4, 59)),  # noqa: DTZ001 - it has no zone
        (f"0100{DATE}{TIME}{250:010b}0000", datetime(2026, 11, 22, 15, 4, 59, 250_000)),  # noqa: DTZ001
        (f"0101{DATE}{TIME}{123456:020b}00", datetime(2026, 11, 22, 15, 4, 59, 123_456)),  # noqa: DTZ001
        (f"0110{DATE}{TIME}{123456789:030b}", datetime(2026, 11, 22, 15, 4, 59, 123_456)),  # noqa: DTZ001
        (f"0111{DATE}{TIME}000000", datetime(2026, 11, 22, 15, 4, 59)),  # noqa: DTZ001
        (f"110{DATE}{TIME}{64 + 36:07b}", datetime(2026, 11, 22, 15, 4, 59, tzinfo=UTC)),
        (f"11101{DATE}{TIME}{1:020b}{64:07b}00", datetime(2026, 11, 22, 15, 4, 59, 1, tzinfo=UTC)),
    ],
)
def test_a_date_time_becomes_iso_8601(bits: str, expected: datetime) -> None:
    """Code 2 is a date-time, with or without a fraction and a zone; with a zone, the time is in UTC."""
    data = int(bits, 2).to_bytes(len(bits) // 8)
    assert expected.isoformat() == read(msgpack.ExtType(2, data))


class Bomb:
    """A value that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        """Remember which."""
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        """Tell pickle to open it for writing."""
        return (open, (str(self.file), "w"))


@pytest.mark.parametrize("code", [3, 6, 7, 8, 9, 16])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_is_never_executed(code: int, protocol: int, tmp_path: Path) -> None:
    """A payload with pickle is malformed, and its pickle is not executed."""
    bomb = pickle.dumps(Bomb(tmp_path / "made"), protocol=protocol)
    pickle.loads(bomb).close()  # noqa: S301 - it does work
    (tmp_path / "made").unlink()
    with pytest.raises(MalformedEntryError, match=f"extension {code}") as error:
        read_metrics(stored(msgpack.ExtType(code, bomb)), key=KEY)
    assert KEY == error.value.key
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "data"),
    [
        (1, b""),
        (1, bytes(15)),
        (2, b""),
        (2, b"\x80\x00\x00"),
        (2, b"\xa0\x00\x00"),
        (2, b"\x3f\xff\xff\xff\xff"),
        (2, b"\xb7\xea\x9a\xa8\x00\x00"),  # a date alone, as long as a date with a time
        (2, b"2026-11-22"),
        *((3, data) for data in (b"", b"\x80\x05.", b"\x80\x05\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x02ls\x85R.")),
        *((3, pickle.dumps(other)) for other in (1.5, Decimal, [Decimal(1)])),
        (3, DECIMAL + b"."),
        (3, DECIMAL.replace(b"\x031.5", b"1.5")),  # without the length, the first digit stands in its place
        (3, pickle.dumps(Decimal("1.5"), protocol=2).replace(b"X\x03", b"X\x04")),
        (3, DECIMAL.replace(b"1.5", b"1x5")),
        (3, DECIMAL.replace(b"Decimal", b"Context")),
        (4, b"\xff\xfe"),
        (0, b""),
        (42, b"\x00"),
        (127, b"\x00" * 300),
        (-1 & 0x7F, b"x"),
    ],
)
def test_a_broken_or_unknown_extension_is_malformed(code: int, data: bytes) -> None:
    """Its code is unknown, or it is not what its code promises; code 3 is the pickle of a Decimal and no other pickle."""
    with pytest.raises(MalformedEntryError, match=f"extension {code}") as error:
        read(msgpack.ExtType(code, data))
    assert "0xff" not in str(error.value)


@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 3, 300, 70_000])
def test_an_extension_of_any_size_is_found_when_the_entry_arrives(size: int) -> None:
    """Each of its eight encodings is found, before the metric is read."""
    with pytest.raises(MalformedEntryError, match="extension 6") as error:
        read_metrics(stored(msgpack.ExtType(6, b"a" * size)), key=KEY)
    assert error.value.metric is None
