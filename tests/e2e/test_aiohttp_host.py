"""`examples/aiohttp_host.py` as an operator runs it: over a real Valkey and a real Prometheus, with tokens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
from tests.support.web_host import TokenFile

from statcore.testing.servers import Server, free_port

HOST = Path(__file__).parent.parent.parent / "examples" / "aiohttp_host.py"


async def test_the_host_answers_below_its_prefix_and_ends(
    valkey: Server, start_prometheus: Callable[..., Server], tmp_path: Path
) -> None:
    """It is ready, answers a query with a token, refuses one without, and ends with 0 at SIGTERM."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    port = free_port()
    environment = {
        "STATCORE_STATISTICS_URL": valkey.url,
        "STATCORE_METRICS_URL": start_prometheus().url,
        "TOKEN_FILE": str(file.path),
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", HOST), env={**os.environ, **environment}, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert b"Running on" in await process.stdout.readline()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}/statistics/") as session:
            assert 200 == (await session.get("readyz")).status
            query = {"query": "{ compute_session_list { total_count } }"}
            assert 401 == (await session.get("graphql", params=query)).status
            response = await session.get("graphql", params=query, headers={"Authorization": f"Bearer {secret}"})
            assert {"data": {"compute_session_list": {"total_count": 0}}} == await response.json(content_type=None)
        process.send_signal(signal.SIGTERM)
        assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
