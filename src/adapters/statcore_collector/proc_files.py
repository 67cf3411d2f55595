"""Counters of cores, network interfaces and disks by name, and memory, read line by line from the files of /proc.

psutil is not used for these: it numbers cores by position, so that switching a core off renames the cores after it, and one
line that it cannot parse makes it raise for the whole file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil

from statcore.errors import InputError
from statcore_collector.failures import Unreadable

_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_SECTOR: Final = 512
_GET_FLAGS: Final = 0x8913
_REQUEST: Final = struct.Struct("16sH22x")
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MOST_DIGITS: Final = 20
"""The most digits of a counter of 64 bits."""
_CORE: Final = re.compile(r"cpu([0-9]+)")


def read_cores(unreadable: Unreadable) -> Mapping[str, float | None]:
    """Return the busy milliseconds of each core that is on, by core id.

    A core that is listed but cannot be read is None, and goes to `unreadable`.

    Raises:
        OSError: the file does not exist, or reading it is denied.
    """
    cores: dict[str, float | None] = {}
    for line in _lines("stat"):
        if core := _CORE.match(line):
            cores[core[1]] = unreadable.read(f"core {core[1]}", _busy_ms, line)
    return cores


def _busy_ms(line: str) -> float:
    user, nice, system, _idle, _iowait, irq, softirq = _numbers(line.split()[1:8], line, count=7)
    return (user + nice + system + irq + softirq) * _TICK_MS


def read_interfaces(unreadable: Unreadable) -> Mapping[str, tuple[int, int] | None]:
    """Return the bytes received and sent by each network interface that is up, except the loopback, by name.

    An interface that is listed but cannot be read is None, and goes to `unreadable`.

    Raises:
        OSError: the file does not exist, or reading it is denied.
    """
    interfaces: dict[str, tuple[int, int] | None] = {}
    for line in list(_lines("net/dev"))[2:]:
        name = line.rpartition(":")[0].strip()
        item = f"interface {name!r}"
        counters = unreadable.read(item, _interface_bytes, name, line)
        if counters is not None or item in unreadable.reasons:
            interfaces[name] = counters
    return interfaces


def _interface_bytes(name: str, line: str) -> tuple[int, int] | None:
    if not name:
        raise InputError(f"expected the name of an interface in {line!r:.100}")
    numbers = _numbers(line.rpartition(":")[2].split(), line, count=16)
    flags = interface_flags(name)
    return (numbers[0], numbers[8]) if flags & _UP and not flags & _LOOPBACK else None


def interface_flags(name: str) -> int:
    """Return the flags of a network interface, or 0 when it does not exist any more.

    Raises:
        OSError: the flags cannot be read.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _GET_FLAGS, _REQUEST.pack(name.encode(), 0))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return 0
            raise
    flags: int = _REQUEST.unpack(answer)[1]
    return flags


def read_disks(unreadable: Unreadable) -> Mapping[str, tuple[int, int] | None]:
    """Return the bytes read from and written to each disk and partition, by name, without loop and memory devices.

    A disk that is listed but cannot be read is None, and goes to `unreadable`.

    Raises:
        OSError: the file does not exist, or reading it is denied.
    """
    disks: dict[str, tuple[int, int] | None] = {}
    for number, line in enumerate(_lines("diskstats"), 1):
        fields = line.split()
        name = fields[2] if len(fields) > 2 else ""  # noqa: PLR2004 - the third field
        if not fields or name.startswith(("loop", "ram")):
            continue
        item = f"disk {name!r}" if name else f"line {number} of diskstats"
        disks[name] = unreadable.read(item, _disk_bytes, fields, line)
    return disks


def _disk_bytes(fields: list[str], line: str) -> tuple[int, int]:
    if len(fields) != 14 and len(fields) < 18:  # noqa: PLR2004 - before Linux 4.18, and since
        raise InputError(f"expected 14 fields or at least 18, not {len(fields)}: {line!r:.100}")
    numbers = _numbers(fields[3:14], line, count=11)
    return numbers[2] * _SECTOR, numbers[6] * _SECTOR


def is_whole_disk(name: str) -> bool:
    """Return whether a device of diskstats is a whole disk; its counters include its partitions."""
    return Path("/sys/block", name.replace("/", "!")).exists()


def read_memory() -> tuple[int, int]:
    """Return the used and the total memory of the node, in bytes.

    Raises:
        OSError: the file does not exist, or reading it is denied.
        InputError: a line that is needed is missing, or does not hold a number.
    """
    lines = {name: text.split() for name, _, text in (line.partition(":") for line in _lines("meminfo"))}
    total, available = (
        _numbers(lines.get(name, [])[:1], f"{name}: {' '.join(lines.get(name, []))}", count=1)[0] * 1024
        for name in ("MemTotal", "MemAvailable")
    )
    return max(0, total - available), total


def _lines(file: str) -> Iterator[str]:
    # A device name may be any bytes; escapes keep a name that is not UTF-8 readable, and storable.
    text = Path(psutil.PROCFS_PATH, file).read_text(encoding="utf-8", errors="backslashreplace")
    return (line for line in text.split("\n") if line.strip())


def _numbers(fields: list[str], line: str, *, count: int) -> list[int]:
    if len(fields) != count or not all(
        field.isascii() and field.isdecimal() and len(field) <= _MOST_DIGITS for field in fields
    ):
        raise InputError(f"expected {count} counters of 64 bits in {line!r:.100}")
    return [int(field) for field in fields]
