"""The TCP sockets of this network namespace and the bytes they carried, asked of the kernel (netlink's sock_diag).

Written against the kernel's interface, because a dump that fails must say so and must not wait for ever; no special
right is needed. The layout is that of `inet_diag_req_v2`, `inet_diag_msg` and `tcp_info` in the kernel's headers.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_INET_DIAG_INFO: Final = 2
# All but those without an owner or without traffic: closed, listening, being accepted, waiting out their time.
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
    """A socket, the bytes that it received and that its peer acknowledged; the inode is 0 once no process has it open."""

    cookie: int
    inode: int
    received: int
    sent: int


@attrs.frozen(kw_only=True)
class SocketTable:
    """The sockets at one time: open ones by inode, closed ones that still carry data by cookie.

    Args:
        namespace: the inode of the network namespace whose sockets these are.
    """

    namespace: int
    by_inode: Mapping[int, TcpSocket]
    orphans: Mapping[int, TcpSocket]

    @cached_property
    def cookies(self) -> frozenset[int]:
        """The cookies of all of them."""
        return frozenset(tcp.cookie for tcp in self.by_inode.values()) | frozenset(self.orphans)


def read_sockets(*, timeout_s: float = 2.0) -> SocketTable:
    """Dump all TCP sockets, IPv4 and IPv6.

    Raises:
        OSError: this system has no such interface, or denies it, or does not answer in time.
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
    return None  # only a remnant that waits for its peer's last word, which the kernel lists as FIN-WAIT-2
