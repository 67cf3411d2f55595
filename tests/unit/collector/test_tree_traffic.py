"""What a tree's sockets carried, round after round."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from statcore import UnsupportedError
from statcore_collector.sock_diag import SocketTable, TcpSocket
from statcore_collector.tree_traffic import TreeTraffic, open_inodes

OURS = Path("/proc/self/ns/net").stat().st_ino


def _table(*sockets: TcpSocket) -> SocketTable:
    return SocketTable(
        namespace=OURS,
        by_inode={tcp.inode: tcp for tcp in sockets if tcp.inode},
        orphans={tcp.cookie: tcp for tcp in sockets if not tcp.inode},
    )


def _tcp(cookie: int, *, inode: int, received: int = 0, sent: int = 0) -> TcpSocket:
    return TcpSocket(cookie=cookie, inode=inode, received=received, sent=sent)


def test_a_closed_connection_does_not_lower_the_counter() -> None:
    """What it carried stays counted; a new one adds to it."""
    traffic = TreeTraffic()
    assert (100, 5) == traffic.update(_table(_tcp(1, inode=71, received=100, sent=5)), {71})
    assert (100, 5) == traffic.update(_table(), set())
    assert (130, 5) == traffic.update(_table(_tcp(2, inode=72, received=30)), {72})


def test_an_inode_that_is_used_again_is_another_socket() -> None:
    """Sockets are told apart by their cookie."""
    traffic = TreeTraffic()
    traffic.update(_table(_tcp(1, inode=71, received=100)), {71})
    assert (140, 0) == traffic.update(_table(_tcp(2, inode=71, received=40)), {71})


def test_what_a_closed_socket_still_delivers_counts() -> None:
    """Its owner is known by the cookie; an orphan that was never ours is not counted."""
    traffic = TreeTraffic()
    traffic.update(_table(_tcp(1, inode=71, sent=100)), {71})
    assert (0, 150) == traffic.update(_table(_tcp(1, inode=0, sent=150), _tcp(9, inode=0, sent=999)), set())
    assert (0, 170) == traffic.update(_table(_tcp(1, inode=0, sent=170)), set())


def test_a_socket_that_a_dump_misses_is_not_counted_twice() -> None:
    """It is still open, so it is not forgotten."""
    traffic = TreeTraffic()
    traffic.update(_table(_tcp(1, inode=71, received=100)), {71})
    assert (100, 0) == traffic.update(_table(), {71})
    assert (110, 0) == traffic.update(_table(_tcp(1, inode=71, received=110)), {71})


def test_sockets_of_others_do_not_count() -> None:
    """Only what the tree has open."""
    assert (0, 0) == TreeTraffic().update(_table(_tcp(1, inode=71, received=100)), {72})


def test_a_socket_that_was_there_before_brings_no_history() -> None:
    """It came from outside of the tree, or its process could not be read in the last round: it counts from now on."""
    traffic = TreeTraffic()
    assert (100, 0) == traffic.update(_table(_tcp(1, inode=71, received=100), _tcp(2, inode=72, received=9000)), {71})
    assert (100, 0) == traffic.update(_table(_tcp(1, inode=71, received=700), _tcp(2, inode=72, received=9000)), {72})
    assert (101, 0) == traffic.update(_table(_tcp(1, inode=71, received=800), _tcp(2, inode=72, received=9001)), {71, 72})
    assert (103, 0) == traffic.update(_table(_tcp(1, inode=71, received=801), _tcp(2, inode=72, received=9002)), {71, 72})


def test_open_sockets_are_found(sleeper: Popen[bytes]) -> None:
    """The inodes are those of the process's own sockets; other descriptors are left out."""
    with socket.socket() as ours:
        inodes = open_inodes([psutil.Process(), psutil.Process(sleeper.pid)], namespace=OURS)
        assert os.fstat(ours.fileno()).st_ino in inodes


def test_another_network_namespace_is_not_seen(sleeper: Popen[bytes]) -> None:
    """The dump does not hold its sockets: an error, rather than no traffic."""
    with pytest.raises(UnsupportedError, match=f"process {sleeper.pid} is in another network namespace"):
        open_inodes([psutil.Process(sleeper.pid)], namespace=OURS + 1)


def test_a_process_that_may_not_be_looked_into_is_not_seen(sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Denied is an error, rather than no traffic."""

    def deny(_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(PermissionError):
        open_inodes([psutil.Process(sleeper.pid)], namespace=OURS)


def test_an_ended_process_has_nothing_open(sleeper: Popen[bytes]) -> None:
    """It may end between the sample of the tree and the look at its descriptors."""
    process = psutil.Process(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert set() == open_inodes([process], namespace=OURS)


def test_a_descriptor_that_is_closed_meanwhile_is_left_out(sleeper: Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """It was listed, and is gone when it is read."""

    def vanish(_: Path) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "readlink", vanish)
    assert set() == open_inodes([psutil.Process(sleeper.pid)], namespace=OURS)
