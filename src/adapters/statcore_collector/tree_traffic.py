"""The TCP traffic of one process tree."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from statcore.errors import UnsupportedError
from statcore_collector.sock_diag import SocketTable, TcpSocket


class TreeTraffic:
    """Bytes received and sent on all sockets that a tree has or had open, matched between two rounds by their cookie.

    A socket that is new counts from its first byte; one that was there before, but was not known to be the tree's, from
    now on. What a socket carries between the last round before its end and its end is not seen, nor is a connection that
    lives between two rounds only.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._seen: dict[int, TcpSocket] = {}
        self._existing: Collection[int] = ()
        self._received = 0
        self._sent = 0

    def update(self, sockets: SocketTable, inodes: set[int]) -> tuple[int, int]:
        """Count what the sockets carried until now, and return the bytes received and sent since the beginning.

        Args:
            sockets: all of the network namespace.
            inodes: those that the tree's processes have open.
        """
        found = [sockets.by_inode[inode] for inode in inodes if inode in sockets.by_inode]
        closed = [sockets.orphans[cookie] for cookie in self._seen if cookie in sockets.orphans]
        # A dump can miss a socket while others come and go: what is still open is not forgotten.
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
        OSError: one of them may not be looked into.
        UnsupportedError: one of them lives in another network namespace than the given one.
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
