"""Clients of the servers of a test, and programs that play kernels; they are closed and ended with the test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from redis import Redis
from tests.integration.kernel_programs import PRELUDE, Start
from tests.support.certificates import Pair

from statcore.testing.servers import Server, free_port
from statcore_prometheus import PrometheusClient


@pytest.fixture
def redis(valkey: Server) -> Iterator[Redis]:
    """A plain client of the database of statistics."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        yield client


@pytest.fixture
def start_tls_valkey(start_valkey: Callable[..., Server]) -> Callable[..., tuple[Server, str]]:
    """Start a Valkey that also listens with TLS, and return its URL with TLS, too."""

    def start(trusted: Path, own: Pair, *arguments: str) -> tuple[Server, str]:
        port = str(free_port())
        files = ("--tls-ca-cert-file", trusted, "--tls-cert-file", own.certificate, "--tls-key-file", own.key)
        server = start_valkey(arguments=["--tls-port", port, *map(str, files), *arguments])
        return server, f"valkeys://127.0.0.1:{port}"

    return start


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PrometheusClient]:
    """A client, with the default options, of the Prometheus that the module plants as `server`."""
    async with aclosing(PrometheusClient(server.url)) as client:
        yield client


@pytest.fixture
def start_kernel() -> Iterator[Start]:
    """Start a program in a session of its own, which is ended with the test."""
    with ExitStack() as stack:

        def run(program: str, *arguments: str) -> Popen[bytes]:
            command = [sys.executable, "-c", PRELUDE + program, *arguments]
            process = stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, bufsize=0, start_new_session=True))
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
            return process

        yield run
