"""The program, run as a user or a script runs it, and the data in the servers that it reads."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import Final

ID_1, ID_2, ID_3 = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 4))
END_S = 1_795_341_600
"""The time of the newest sample in the servers, in unix seconds."""
MEM = {"current": "1048576", "capacity": "2097152", "pct": "50.00", "unit_hint": "bytes", "stats.max": "1048576"}

_PATIENCE_S: Final = 60.0
"""Many times what any of it takes, so that a slow machine fails no test."""


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings of statcore only, and buffered output."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("STATCORE_", "PYTHONUNBUFFERED"))}
    return others | {f"STATCORE_{name.upper()}": value for name, value in settings.items()}


def statcore(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "statcore_cli", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start the program with its output in pipes; SIGINT interrupts it, even where this runner ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program inherits an ignored signal
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "statcore_cli", *arguments],
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def read_until(terminal: int, *texts: str) -> str:
    """Read what a program writes to its terminal until all texts are there.

    Raises:
        TimeoutError: they do not come in time.
    """
    deadline = time.monotonic() + _PATIENCE_S
    shown = ""
    while not all(text in shown for text in texts):
        if not select.select([terminal], [], [], max(deadline - time.monotonic(), 0.0))[0]:
            raise TimeoutError(f"waited {_PATIENCE_S:g} s for {texts}; there is {shown!r}")
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


def read_all(terminal: int) -> str:
    """Read what a program writes to its terminal until it ends."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # a terminal raises this when its other end is closed
            part = b""
        if not part:
            os.close(terminal)
            return b"".join(parts).decode(errors="replace")  # the first byte may be in the middle of a character
        parts.append(part)
