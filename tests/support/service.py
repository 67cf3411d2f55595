"""`statcore serve` as a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import psutil
from aiohttp import ClientSession
from tests.e2e.program import environment

NO_STORES: Final = {"statistics_url": "valkey://127.0.0.1:9", "metrics_url": "http://127.0.0.1:9"}
"""The settings of a store and a metric backend that do not answer, for tests that need neither."""
PATIENCE_S: Final = 60.0
"""Many times what a start or an end takes, so that a slow machine fails no test."""


@attrs.frozen
class Service:
    """A running service: its process, the URL that it has printed, and the file of its log."""

    process: subprocess.Popen[str]
    url: str
    log_file: Path

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text()

    def workers(self) -> list[psutil.Process]:
        """Return the running processes that serve the socket, and not the one that cleans up shared memory after them."""
        return [child for child in psutil.Process(self.process.pid).children() if _is_worker(child)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until the process has ended, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def _is_worker(child: psutil.Process) -> bool:
    try:
        return any("spawn_main" in word for word in child.cmdline())
    except psutil.NoSuchProcess:  # it has ended
        return False


async def metric(client: ClientSession, name: str, **labels: str) -> float:
    """Return the sum of the samples of a metric that have these labels."""
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    having = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name) and all(map(line.__contains__, having))
    )


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Generator[Service]:
    """Run `statcore serve` on a free port, and yield it once it accepts connections; end it with the block.

    Args:
        folder: where its log is written.
        arguments: more of the command line.
        settings: the settings that it gets as environment variables.
    """
    with serving_in(folder, environment(**settings), *arguments) as service:
        yield service


@contextmanager
def serving_in(
    folder: Path, variables: Mapping[str, str], *arguments: str, stderr: int | None = None, within: Sequence[str] = ()
) -> Generator[Service]:
    """Run `statcore serve` as `serving` does, in an environment.

    Args:
        folder: where its log is written.
        variables: its environment.
        arguments: more of the command line.
        stderr: the descriptor of its log; by default the log is a file in the folder.
        within: a command line that runs it, such as one that limits what it may use.
    """
    log_file = folder / "service.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "statcore_cli", "serve", "--port", "0", *arguments],
            env={**variables, "TMPDIR": str(folder)},  # what a killed service leaves is removed with the folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log if stderr is None else stderr,
            text=True,
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, f"the service has ended: {log_file.read_text()}"
        yield Service(process, url, log_file)
    finally:
        children = psutil.Process(process.pid).children() if process.poll() is None else []
        process.kill()
        for child in children:
            child.kill()
        process.wait(PATIENCE_S)
        process.stdout.close()
