"""`examples/fastapi_host.py` as an operator runs it: over a real Valkey and a real Prometheus, asked over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

import aiohttp
import pytest

from statcore.model import MetricValue
from statcore.testing.servers import Server, free_port
from statcore_valkey import ValkeyStatisticsSink

HOST = Path(__file__).parent.parent.parent / "examples" / "fastapi_host.py"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def ask() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


class Host:
    """The running host."""

    def __init__(self, valkey: str, prometheus: str) -> None:
        """Start it once it is entered."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {"STATCORE_STATISTICS_URL": valkey, "STATCORE_METRICS_URL": prometheus, "PORT": str(self.port)}

    async def __aenter__(self) -> Self:
        """Start it, and wait until it takes connections."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, HOST, env={**os.environ, **self._environment}, stderr=asyncio.subprocess.PIPE
        )
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            if b"running on" in line:
                break
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, whatever happened."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.communicate(), 20)
        finally:
            if self.process.returncode is None:
                self.process.kill()


async def test_the_host_answers_rest_graphql_and_health(
    valkey: Server, start_prometheus: Callable[..., Server], ask: aiohttp.ClientSession
) -> None:
    """The entry that is stored comes back over REST and GraphQL; what is wrong has the status of its error."""
    kernel, value = str(uuid4()), MetricValue(current="5", capacity="10", pct="50", unit_hint="bytes")
    sink = ValkeyStatisticsSink.from_url(valkey.url)
    await sink.store_kernel_statistics({kernel: {"mem": value}})
    await sink.aclose()
    async with Host(valkey.url, start_prometheus().url) as host:
        async with ask.get(f"{host.url}/kernels", params={"id": kernel}) as answer:
            assert {"entries": [{"mem": value.to_map()}], "ages_s": [None], "problems": []} == await answer.json()
        async with ask.get(f"{host.url}/kernels", params={"id": "none"}) as answer:
            assert (400, "InputError") == (answer.status, (await answer.json())["error"])
        query = "{ compute_session_list { items { inference_metrics } total_count } }"
        async with ask.post(f"{host.url}/graphql", json={"query": query}) as answer:
            expected = {"data": {"compute_session_list": {"items": [], "total_count": 0}}}
            assert (200, expected) == (answer.status, await answer.json())
        async with ask.get(f"{host.url}/health") as answer:
            assert (200, True) == (answer.status, (await answer.json())["healthy"])


async def test_a_service_that_is_away_is_503_for_health_and_its_own_error_for_rest(
    valkey: Server, ask: aiohttp.ClientSession
) -> None:
    """The store still answers."""
    async with Host(valkey.url, NOWHERE) as host:
        async with ask.get(f"{host.url}/health") as answer:
            ports = (await answer.json())["ports"]
            assert (503, True, False) == (answer.status, ports["statistics"]["healthy"], ports["metrics"]["healthy"])
        async with ask.get(f"{host.url}/kernels", params={"id": str(uuid4())}) as answer:
            assert {"entries": [None], "ages_s": [None], "problems": []} == await answer.json()
