"""The programs that the demo's child processes run, for example `python -m statcore_cli.demo.loads busy 0.5`.

Each program is a real load of known size that runs until standard input closes. If the parent dies, the child reads
end-of-file, and ends.

This module imports the standard library only, so that a child starts quickly and uses little memory.
"""

from __future__ import annotations

import itertools
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Final

_MIB: Final = 1 << 20
_PERIOD_S: Final = 0.1


def busy(stopped: threading.Event, duty: float) -> None:
    """Use a part of one core.

    Args:
        stopped: ends the load.
        duty: the part, from 0 to 1, measured in processor time. Time lost to other processes is not made up for.
    """
    rest_s = 0.0
    while not stopped.wait(rest_s):
        started, used = time.monotonic(), time.process_time()
        while time.process_time() - used < duty * _PERIOD_S:
            sum(range(1_000))
        rest_s = max(0.0, started + _PERIOD_S - time.monotonic())


def memory(stopped: threading.Event, mebibytes: float) -> None:
    """Hold memory and write all of its pages: the full amount and half of it in turns."""
    for full in itertools.cycle((True, False)):
        held = bytearray(int(mebibytes * _MIB if full else mebibytes * _MIB / 2))
        held[::4096] = b"x" * len(held[::4096])
        if stopped.wait(1.5):
            return


def traffic(stopped: threading.Event, mebibytes_per_s: float) -> None:
    """Send bytes over loopback TCP, and receive them in this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sender:
        receiver, _ = listener.accept()

        def drain() -> None:
            while receiver.recv(_MIB):
                pass

        reader = threading.Thread(target=drain)
        reader.start()
        part = bytes(int(mebibytes_per_s * _MIB * _PERIOD_S))
        while not stopped.wait(_PERIOD_S):
            sender.sendall(part)
        sender.shutdown(socket.SHUT_WR)
        reader.join()
        receiver.close()


def writer(stopped: threading.Event, mebibytes_per_s: float) -> None:
    """Write bytes to a temporary file, which is emptied whenever it holds the bytes of one second."""
    part = bytes(int(mebibytes_per_s * _MIB * _PERIOD_S))
    with tempfile.TemporaryFile(buffering=0) as file:
        while not stopped.wait(_PERIOD_S):
            if file.tell() >= mebibytes_per_s * _MIB:  # the kernel counts only the first write to a page
                file.seek(0)
                file.truncate()
            file.write(part)


LOADS: Final[dict[str, Callable[[threading.Event, float], None]]] = {
    "busy": busy,
    "memory": memory,
    "traffic": traffic,
    "writer": writer,
}


def main(name: str, amount: str) -> None:
    """Run a load until standard input closes."""
    stopped = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        stopped.set()

    threading.Thread(target=watch, daemon=True).start()
    LOADS[name](stopped, float(amount))


if __name__ == "__main__":
    main(*sys.argv[1:])
