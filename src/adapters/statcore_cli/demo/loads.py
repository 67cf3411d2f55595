"""The programs that the demo's children run: each a steady, real load until standard input closes.

`python -m statcore_cli.demo.loads busy 0.5` and so on. A child whose parent dies reads end-of-file and ends too.
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
_TICK_S: Final = 0.02
_PARTS_PER_S: Final = 10


def busy(stopped: threading.Event, duty: float) -> None:
    """Use `duty` of one core, steered by the processor time that was really had."""
    started = time.monotonic()
    while not stopped.wait(_TICK_S):
        while time.process_time() < duty * (time.monotonic() - started) and not stopped.is_set():
            sum(range(1_000))


def memory(stopped: threading.Event, mebibytes: float) -> None:
    """Hold memory that is really touched, by turns all of it and half of it."""
    for full in itertools.cycle((True, False)):
        held = bytearray(int(mebibytes * _MIB if full else mebibytes * _MIB / 2))
        held[::4096] = b"x" * len(held[::4096])
        if stopped.wait(1.5):
            return


def traffic(stopped: threading.Event, mebibytes_per_s: float) -> None:
    """Send bytes to itself over loopback TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sender:
        receiver, _ = listener.accept()

        def drain() -> None:
            while receiver.recv(_MIB):
                pass

        reading = threading.Thread(target=drain)
        reading.start()
        part = bytes(int(mebibytes_per_s * _MIB / _PARTS_PER_S))
        while not stopped.wait(1 / _PARTS_PER_S):
            sender.sendall(part)
        sender.shutdown(socket.SHUT_WR)
        reading.join()
        receiver.close()


def writer(stopped: threading.Event, mebibytes_per_s: float) -> None:
    """Write bytes to a temporary file, which never grows beyond one second's worth."""
    part = bytes(int(mebibytes_per_s * _MIB / _PARTS_PER_S))
    with tempfile.TemporaryFile(buffering=0) as file:
        for number in itertools.count():
            if number % _PARTS_PER_S == 0:  # pages that are dirty already would not be counted as written again
                file.seek(0)
                file.truncate()
            file.write(part)
            if stopped.wait(1 / _PARTS_PER_S):
                return


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
