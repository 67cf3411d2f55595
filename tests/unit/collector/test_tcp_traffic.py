"""The kernel's dump of TCP sockets, and the bytes that the sockets of a process tree carried."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
from tests.unit.collector.conftest import raising

from statcore import UnsupportedError
from statcore_collector import tcp_traffic
from statcore_collector.tcp_traffic import SocketTable, TcpSocket, TreeTraffic, open_inodes, read_sockets


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
    """The bytes sent by one end equal those received by the other; the opening handshake may count as a byte."""
    client, peer = connection
    client.sendall(b"x" * 12345)
    assert 12345 == len(peer.recv(12345, socket.MSG_WAITALL))
    table = read_sockets()
    received, sent = table.by_inode[_inode(peer)].received, table.by_inode[_inode(client)].sent
    assert 12345 == received
    assert sent - received in {0, 1}
    assert 0 == table.by_inode[_inode(client)].received


def test_a_closed_end_that_still_has_data_is_an_orphan(connection: tuple[socket.socket, socket.socket]) -> None:
    """It keeps its cookie, and no process has it open."""
    client, _ = connection
    client.settimeout(0)
    with suppress(BlockingIOError):
        while True:  # until the buffers of both ends are full
            client.send(bytes(1 << 20))
    before = read_sockets().by_inode[_inode(client)]
    client.close()
    table = read_sockets()
    assert before.inode not in table.by_inode
    assert before.cookie in table.orphans


def test_a_remnant_of_a_connection_is_left_out(connection: tuple[socket.socket, socket.socket]) -> None:
    """The end that closed first has no counters any more; the other end is found."""
    client, peer = connection
    client.close()
    assert not peer.recv(1)
    assert _inode(peer) in read_sockets().by_inode
    answers: Any = _Answers((20, bytes(72)), (3, bytes(4)))
    assert [] == list(tcp_traffic._dump(answers, socket.AF_INET))


def test_the_namespace_is_that_of_this_process() -> None:
    """The table names the network namespace of its sockets."""
    assert Path("/proc/self/ns/net").stat().st_ino == read_sockets().namespace


class _Answers:
    """A stand-in for the netlink socket: `recv` returns one datagram with planned messages."""

    def __init__(self, *messages: tuple[int, bytes]) -> None:
        """Keep messages of the given kinds and bodies."""
        self._datagram = b"".join(struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body for kind, body in messages)

    def send(self, request: bytes) -> int:
        return len(request)

    def recv(self, _size: int) -> bytes:
        return self._datagram


@pytest.mark.parametrize("kind", [2, 3], ids=["error", "done"])
def test_a_refusal_is_an_error(kind: int) -> None:
    """A dump that the kernel refuses or aborts is not an empty dump."""
    answers: Any = _Answers((kind, struct.pack("=i", -13)))
    with pytest.raises(PermissionError):
        list(tcp_traffic._dump(answers, socket.AF_INET))


def test_a_kernel_that_does_not_count_bytes_is_an_error() -> None:
    """A socket without counters would look idle."""
    with pytest.raises(OSError, match="does not count"):
        tcp_traffic._parse(bytes(72) + struct.pack("=HH4x", 8, 2))


def test_a_system_without_netlink_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Linux has it."""
    monkeypatch.delattr(socket, "AF_NETLINK")
    with pytest.raises(OSError, match="not supported"):
        read_sockets()


OURS = Path("/proc/self/ns/net").stat().st_ino


def _tcp(cookie: int, *, inode: int, received: int = 0, sent: int = 0) -> TcpSocket:
    return TcpSocket(cookie=cookie, inode=inode, received=received, sent=sent)


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param([((0, 0), [_tcp(1, inode=71, received=100)], {72})], id="sockets of others"),
        pytest.param(
            [((100, 0), [_tcp(1, inode=71, received=100)], {71}), ((140, 0), [_tcp(2, inode=71, received=40)], {71})],
            id="an inode that is used again is another socket",
        ),
        pytest.param(
            [
                ((0, 100), [_tcp(1, inode=71, sent=100)], {71}),
                ((0, 150), [_tcp(1, inode=0, sent=150), _tcp(9, inode=0, sent=999)], set()),
                ((0, 170), [_tcp(1, inode=0, sent=170)], set()),
            ],
            id="a closed socket counts, an orphan of others does not",
        ),
        pytest.param(
            [
                ((100, 0), [_tcp(1, inode=71, received=100), _tcp(2, inode=72, received=9000)], {71}),
                ((100, 0), [_tcp(1, inode=71, received=700), _tcp(2, inode=72, received=9000)], {72}),
                ((101, 0), [_tcp(1, inode=71, received=800), _tcp(2, inode=72, received=9001)], {71, 72}),
                ((103, 0), [_tcp(1, inode=71, received=801), _tcp(2, inode=72, received=9002)], {71, 72}),
            ],
            id="a socket that was there before brings no history",
        ),
    ],
)
def test_sockets_are_known_by_their_cookies(rounds: list[tuple[tuple[int, int], list[TcpSocket], set[int]]]) -> None:
    """Sockets count that a process of the tree has open, or had open. tests/property has sockets that a dump misses."""
    traffic = TreeTraffic()
    for expected, sockets, inodes in rounds:
        table = SocketTable(
            namespace=OURS,
            by_inode={tcp.inode: tcp for tcp in sockets if tcp.inode},
            orphans={tcp.cookie: tcp for tcp in sockets if not tcp.inode},
        )
        assert expected == traffic.update(table, inodes)


def test_open_sockets_are_found(sleeper: Popen[bytes]) -> None:
    """The inodes are those of the process's own sockets; other descriptors are left out."""
    with socket.socket() as ours:
        inodes = open_inodes([psutil.Process(), psutil.Process(sleeper.pid)], namespace=OURS)
        assert os.fstat(ours.fileno()).st_ino in inodes


def test_another_network_namespace_is_an_error(sleeper: Popen[bytes]) -> None:
    """The dump lacks its sockets, which must not look like no traffic."""
    with pytest.raises(UnsupportedError, match=f"process {sleeper.pid} is in another network namespace"):
        open_inodes([psutil.Process(sleeper.pid)], namespace=OURS + 1)


def test_a_process_whose_files_are_denied_is_an_error(sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not look like no traffic."""
    monkeypatch.setattr(Path, "iterdir", raising(PermissionError()))
    with pytest.raises(PermissionError):
        open_inodes([psutil.Process(sleeper.pid)], namespace=OURS)


def test_an_ended_process_has_nothing_open(sleeper: Popen[bytes]) -> None:
    """It may end after the tree was sampled."""
    process = psutil.Process(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert set() == open_inodes([process], namespace=OURS)


def test_a_descriptor_that_is_closed_meanwhile_is_left_out(sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """It was listed, and does not exist any more when it is read."""
    monkeypatch.setattr(Path, "readlink", raising(FileNotFoundError()))
    assert set() == open_inodes([psutil.Process(sleeper.pid)], namespace=OURS)
