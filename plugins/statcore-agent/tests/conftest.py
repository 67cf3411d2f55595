"""Two real agents with a busy process each, and a real Prometheus that scrapes them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from uuid import UUID

import attrs
import pytest

from statcore.testing.servers import Server, running_prometheus
from statcore_prometheus import PrometheusClient

pytest_plugins = ["statcore.testing.fixtures"]
# Half of a core and 40 MiB, until standard input ends.
_WORK = """
import os, sys, threading, time
threading.Thread(target=lambda: (sys.stdin.buffer.read(1), os._exit(0)), daemon=True).start()
kept = bytearray(40 << 20)
while True:
    end = time.process_time() + 0.02
    while time.process_time() < end: pass
    time.sleep(0.02)
"""


@attrs.frozen
class Agent:
    """A running `statcore collect`, and the process that it samples."""

    agent_id: str
    kernel_id: UUID
    pid: int
    address: str


@pytest.fixture(scope="session")
def agents() -> Iterator[list[Agent]]:
    """Two agents of this machine, which share its devices."""
    with ExitStack() as stack:

        def start(*words: str, error: int | None = None) -> subprocess.Popen[bytes]:
            command = [sys.executable, *words]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=error))
            stack.callback(process.kill)
            return process

        def agent(number: int) -> Agent:
            worker = start("-c", _WORK)
            kernel_id = UUID(int=number)
            collect = start(
                *("-m", "statcore_cli", "collect", "--statistics-url", "memory://", "--listen", "127.0.0.1:0"),
                *("--agent-id", f"i-{number}", "--interval", "200ms"),
                *("--kernel", f"pid={worker.pid},kernel_id={kernel_id}"),
                error=subprocess.PIPE,
            )
            assert collect.stderr is not None
            lines: list[str] = []
            for line in collect.stderr:
                lines.append(line.decode())
                if "serving http://" in lines[-1]:
                    address = lines[-1].partition("http://")[2].partition("/")[0]
                    return Agent(f"i-{number}", kernel_id, worker.pid, address)
            pytest.fail(f"statcore collect ended: {lines}")

        yield [agent(1), agent(2)]


@pytest.fixture(scope="session")
def scraping(
    require_program: Callable[..., str], agents: list[Agent], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Prometheus that scrapes them."""
    require_program("prometheus")
    targets = {agent.agent_id: agent.address for agent in agents}
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), targets=targets) as server:
        yield server


@pytest.fixture
async def client(scraping: Server) -> AsyncIterator[PrometheusClient]:
    """Its client."""
    client = PrometheusClient(scraping.url)
    yield client
    await client.aclose()
