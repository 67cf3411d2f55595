"""The kernel's dump of TCP sockets."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from statcore_collector import sock_diag
from statcore_collector.sock_diag import read_sockets


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection over loopback."""
    host, family = request.param
    with socket.create_server((host, 0), family=family) as server:
        client = socket.create_connection(server.getsockname()[:2])
        peer, _ = server.accept()
    with client, peer:
        yield client, peer


def _inode(end: socket.socket) -> int:
    return os.fstat(end.fileno()).st_ino


def test_both_ends_of_a_connection_are_counted(connection: tuple[socket.socket, socket.socket]) -> None:
    """One end has sent what the other has received; the opening handshake may count as a byte."""
    client, peer = connection
    client.sendall(b"x" * 12345)
    assert 12345 == len(peer.recv(12345, socket.MSG_WAITALL))
    table = read_sockets()
    received, sent = table.by_inode[_inode(peer)].received, table.by_inode[_inode(client)].sent
    assert 12345 == received
    assert sent - received in {0, 1}
    assert 0 == table.by_inode[_inode(client)].received


def test_a_closed_end_that_still_has_data_is_an_orphan(connection: tuple[socket.socket, socket.socket]) -> None:
    """It keeps its cookie, no process has it open any more."""
    client, _ = connection
    client.settimeout(0)
    with suppress(BlockingIOError):
        while True:  # until neither end takes any more
            client.send(bytes(1 << 20))
    before = read_sockets().by_inode[_inode(client)]
    client.close()
    table = read_sockets()
    assert before.inode not in table.by_inode
    assert before.cookie in table.orphans


def test_a_remnant_of_a_connection_is_passed_over(connection: tuple[socket.socket, socket.socket]) -> None:
    """The end that closed first has no counters any more; the dump goes on, and the other end is found."""
    client, peer = connection
    client.close()
    assert not peer.recv(1)
    assert _inode(peer) in read_sockets().by_inode
    answers: Any = _Answers((20, bytes(72)), (3, bytes(4)))
    assert [] == list(sock_diag._dump(answers, socket.AF_INET))


def test_the_namespace_is_ours() -> None:
    """It tells whose sockets these are."""
    assert Path("/proc/self/ns/net").stat().st_ino == read_sockets().namespace


class _Answers:
    """Stands in for the netlink socket: `recv` gives one datagram of planned messages."""

    def __init__(self, *messages: tuple[int, bytes]) -> None:
        """Take the messages' kinds and bodies."""
        self._datagram = b"".join(struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body for kind, body in messages)

    def send(self, request: bytes) -> int:
        return len(request)

    def recv(self, _size: int) -> bytes:
        return self._datagram


@pytest.mark.parametrize("kind", [2, 3], ids=["error", "done"])
def test_a_refusal_is_an_error(kind: int) -> None:
    """A dump that the kernel refuses or breaks off is not an empty one."""
    answers: Any = _Answers((kind, struct.pack("=i", -13)))
    with pytest.raises(PermissionError):
        list(sock_diag._dump(answers, socket.AF_INET))


def test_a_kernel_that_does_not_count_bytes_is_an_error() -> None:
    """A socket without the counters would otherwise look idle."""
    with pytest.raises(OSError, match="does not count"):
        sock_diag._parse(bytes(72) + struct.pack("=HH4x", 8, 2))


def test_a_system_without_netlink_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on any other system than Linux."""
    monkeypatch.delattr(socket, "AF_NETLINK")
    with pytest.raises(OSError, match="not supported"):
        read_sockets()
