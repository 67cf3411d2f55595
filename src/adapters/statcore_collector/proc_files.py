"""Counters of cores, network interfaces and disks by name, read line by line from the files of /proc.

psutil gives cores by position, so that a core that is switched off renames all after it, and raises for the whole file
when it does not know one line.
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
from statcore_collector.readable import Unreadable

_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_SECTOR: Final = 512
_GET_FLAGS: Final = 0x8913
_REQUEST: Final = struct.Struct("16sH22x")
_UP: Final = 0x1
_LOOPBACK: Final = 0x8
_MOST_DIGITS: Final = 20
"""Those of a counter of 64 bits."""
_CORE: Final = re.compile(r"cpu([0-9]+)")


def read_cores(unreadable: Unreadable) -> Mapping[str, float]:
    """Return the busy time in milliseconds of each core that is on, by its id.

    Raises:
        OSError: there is no such file, or it is denied.
    """
    cores: dict[str, float] = {}
    for line in _lines("stat"):
        if core := _CORE.match(line):
            busy = unreadable.read(f"core {core[1]}", _busy_ms, line)
            if busy is not None:
                cores[core[1]] = busy
    return cores


def _busy_ms(line: str) -> float:
    user, nice, system, _idle, _iowait, irq, softirq = _numbers(line.split()[1:8], line, count=7)
    return (user + nice + system + irq + softirq) * _TICK_MS


def read_interfaces(unreadable: Unreadable) -> Mapping[str, tuple[int, int]]:
    """Return the bytes received and sent of each network interface that is up and is not the loopback, by its name.

    Raises:
        OSError: there is no such file, or it is denied.
    """
    interfaces: dict[str, tuple[int, int]] = {}
    for line in list(_lines("net/dev"))[2:]:
        name = line.rpartition(":")[0].strip()
        counters = unreadable.read(f"interface {name!r}", _carried, name, line)
        if counters is not None:
            interfaces[name] = counters
    return interfaces


def _carried(name: str, line: str) -> tuple[int, int] | None:
    if not name:
        raise InputError(f"no interface is named in {line!r:.100}")
    numbers = _numbers(line.rpartition(":")[2].split(), line, count=16)
    flags = interface_flags(name)
    return (numbers[0], numbers[8]) if flags & _UP and not flags & _LOOPBACK else None


def interface_flags(name: str) -> int:
    """Return the flags of a network interface; 0 when it has just gone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _GET_FLAGS, _REQUEST.pack(name.encode(), 0))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return 0
            raise
    flags: int = _REQUEST.unpack(answer)[1]
    return flags


def read_disks(unreadable: Unreadable) -> Mapping[str, tuple[int, int]]:
    """Return the bytes read and written of each disk and partition, by its name; loop and memory devices are left out.

    Raises:
        OSError: there is no such file, or it is denied.
    """
    disks: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(_lines("diskstats"), 1):
        fields = line.split()
        name = fields[2] if len(fields) > 2 else ""  # noqa: PLR2004 - the third field
        if not fields or name.startswith(("loop", "ram")):
            continue
        item = f"disk {name!r}" if name else f"line {number} of diskstats"
        counters = unreadable.read(item, _transferred, fields, line)
        if counters is not None:
            disks[name] = counters
    return disks


def _transferred(fields: list[str], line: str) -> tuple[int, int]:
    if len(fields) != 14 and len(fields) < 18:  # noqa: PLR2004 - before Linux 4.18, and since
        raise InputError(f"14 fields or at least 18 were expected, not {len(fields)}: {line!r:.100}")
    numbers = _numbers(fields[3:14], line, count=11)
    return numbers[2] * _SECTOR, numbers[6] * _SECTOR


def is_whole_disk(name: str) -> bool:
    """Return whether a name of diskstats is a whole disk, whose counters include those of its partitions."""
    return Path("/sys/block", name.replace("/", "!")).exists()


def read_memory() -> tuple[int, int]:
    """Return the memory in use and all memory, in bytes.

    Raises:
        OSError: there is no such file, or it is denied.
        InputError: one of the two lines is missing, or holds no number.
    """
    lines = {name: text.split() for name, _, text in (line.partition(":") for line in _lines("meminfo"))}
    total, available = (
        _numbers(lines.get(name, [])[:1], f"{name}: {' '.join(lines.get(name, []))}", count=1)[0] * 1024
        for name in ("MemTotal", "MemAvailable")
    )
    return max(0, total - available), total


def _lines(file: str) -> Iterator[str]:
    # A name may be any bytes; one that is not UTF-8 stays readable, and can be sent to a store.
    text = Path(psutil.PROCFS_PATH, file).read_text(encoding="utf-8", errors="backslashreplace")
    return (line for line in text.split("\n") if line.strip())


def _numbers(fields: list[str], line: str, *, count: int) -> list[int]:
    if len(fields) != count or not all(
        field.isascii() and field.isdecimal() and len(field) <= _MOST_DIGITS for field in fields
    ):
        raise InputError(f"{count} counters of 64 bits were expected in {line!r:.100}")
    return [int(field) for field in fields]
