"""TCP traffic of process trees: the sockets of this network namespace, and the bytes that a tree's sockets carried.

The sockets come from the kernel through netlink's sock_diag, in the layout of `inet_diag_req_v2`, `inet_diag_msg` and
`tcp_info` in the kernel's headers. This module talks to it directly, so that a failed dump raises and every wait has a
deadline. It needs no privileges.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs
import psutil

from statcore.errors import UnsupportedError

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_INET_DIAG_INFO: Final = 2
# All states except SYN_RECV, TIME_WAIT, CLOSE and LISTEN, in which a socket has no owner or no traffic.
_STATES: Final = 0xFFF & ~sum(1 << state for state in (3, 6, 7, 10))

_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBxI48x")
_COOKIE_INODE: Final = struct.Struct("=44xQ16xI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_BYTES: Final = struct.Struct("=120xQQ")
_NUMBER: Final = struct.Struct("=i")
_BUFFER: Final = 1 << 16


@attrs.frozen(kw_only=True)
class TcpSocket:
    """A TCP socket.

    Args:
        cookie: identifies the socket as long as it exists.
        inode: its inode, as among the open files of processes; 0 when no process has the socket open any more.
        received: bytes received.
        sent: bytes that the peer has acknowledged.
    """

    cookie: int
    inode: int
    received: int
    sent: int


@attrs.frozen(kw_only=True)
class SocketTable:
    """The TCP sockets of a network namespace at one time.

    Args:
        namespace: the inode of the network namespace.
        by_inode: the open sockets by inode.
        orphans: closed sockets that still carry data, by cookie.
    """

    namespace: int
    by_inode: Mapping[int, TcpSocket]
    orphans: Mapping[int, TcpSocket]

    @cached_property
    def cookies(self) -> frozenset[int]:
        """The cookies of all sockets, open or closed."""
        return frozenset(tcp.cookie for tcp in self.by_inode.values()) | frozenset(self.orphans)


def read_sockets(*, timeout_s: float = 2.0) -> SocketTable:
    """Return all TCP sockets, IPv4 and IPv6.

    Raises:
        OSError: this system does not have sock_diag, denies it, or does not answer within `timeout_s` seconds.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(timeout_s)
        found = [*_dump(netlink, socket.AF_INET), *_dump(netlink, socket.AF_INET6)]
    return SocketTable(
        namespace=Path("/proc/self/ns/net").stat().st_ino,
        by_inode={tcp.inode: tcp for tcp in found if tcp.inode},
        orphans={tcp.cookie: tcp for tcp in found if not tcp.inode},
    )


def _dump(netlink: socket.socket, family: int) -> Iterator[TcpSocket]:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), _STATES)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0)
    netlink.send(header + request)
    while True:
        data = netlink.recv(_BUFFER)
        offset = 0
        while offset < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, offset)
            body = data[offset + _HEADER.size : offset + length]
            if kind in {_ERROR, _DONE}:
                if code := -_NUMBER.unpack_from(body)[0]:
                    raise OSError(code, os.strerror(code))
                return
            if tcp := _parse(body):
                yield tcp
            offset += -(-length // 4) * 4


def _parse(body: bytes) -> TcpSocket | None:
    cookie, inode = _COOKIE_INODE.unpack_from(body)
    offset = _COOKIE_INODE.size
    while offset < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if kind == _INET_DIAG_INFO:
            if length < _ATTRIBUTE.size + _BYTES.size:
                raise OSError(errno.ENOTSUP, "this kernel does not count the bytes of a socket")
            sent, received = _BYTES.unpack_from(body, offset + _ATTRIBUTE.size)
            return TcpSocket(cookie=cookie, inode=inode, received=received, sent=sent)
        offset += -(-length // 4) * 4
    return None  # no counters: a remnant in FIN-WAIT-2, which waits for its peer to close


class TreeTraffic:
    """Counts the bytes received and sent on all sockets that a process tree has or had open.

    A new socket counts from its first byte. A socket that existed before it belonged to the tree counts from now on. Bytes
    that a socket carries between its last round and its end are not seen, and no connection that begins and ends between
    two rounds is seen. Sockets of two rounds are matched by their cookies.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._seen: dict[int, TcpSocket] = {}
        self._existing: Collection[int] = ()
        self._received = 0
        self._sent = 0

    def update(self, sockets: SocketTable, inodes: set[int]) -> tuple[int, int]:
        """Add a round, and return the bytes received and sent since the beginning.

        Args:
            sockets: all sockets of the network namespace.
            inodes: the inodes of the sockets that the tree's processes have open.
        """
        found = [sockets.by_inode[inode] for inode in inodes if inode in sockets.by_inode]
        closed = [sockets.orphans[cookie] for cookie in self._seen if cookie in sockets.orphans]
        # A dump can miss a socket while others come and go, so a socket that is still open is remembered.
        seen = {cookie: tcp for cookie, tcp in self._seen.items() if tcp.inode in inodes}
        for tcp in (*found, *closed):
            before = self._seen.get(tcp.cookie, tcp if tcp.cookie in self._existing else None)
            self._received += tcp.received - (before.received if before else 0)
            self._sent += tcp.sent - (before.sent if before else 0)
            seen[tcp.cookie] = tcp
        self._seen = seen
        self._existing = sockets.cookies
        return self._received, self._sent


def open_inodes(processes: Iterable[psutil.Process], *, namespace: int) -> set[int]:
    """Return the inodes of the sockets that the processes have open.

    Raises:
        OSError: the open files of a process cannot be read.
        UnsupportedError: a process is in another network namespace.
    """
    inodes: set[int] = set()
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            inodes |= _socket_inodes(Path(psutil.PROCFS_PATH, str(process.pid)), namespace)
    return inodes


def _socket_inodes(process: Path, namespace: int) -> set[int]:
    if (process / "ns/net").stat().st_ino != namespace:
        raise UnsupportedError(f"process {process.name} is in another network namespace")
    links = [_target(descriptor) for descriptor in (process / "fd").iterdir()]
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""  # just closed
