"""Measures answers about sessions over HTTP: GraphQL, hand-written REST and per-item reads, by one process of a host."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
from report import CPU_RATIO, WALL_RATIO, Contender, Goal, Report
from workload import stored

SIZES: Final = (100, 1_000)
_PROFILE_S: Final = 3.0
_SHOWN_BYTES: Final = 2_000
_PAGE: Final = (
    "query ($limit: Int!, $offset: Int!) { compute_session_list(limit: $limit, offset: $offset) { items { %s } } }"
)
INFERENCE: Final = _PAGE % "session_id inference_metrics"
LIVE: Final = _PAGE % "session_id kernels { kernel_id live_stat }"
REST_GOALS: Final = {("inference", 100): 4.0, ("inference", 1_000): 3.0, ("live", 100): 1.0, ("live", 1_000): 1.0}


@attrs.frozen(kw_only=True)
class Host:
    """A running `host.py`, and a client for it.

    Args:
        url: its address.
        pid: its process.
        client: the client; it asks for no compression, which takes longer than loopback.
    """

    url: str
    pid: int
    client: aiohttp.ClientSession

    async def graphql(self, query: str, *, limit: int, offset: int = 0, path: str = "/graphql") -> bytes:
        """Return the answer to a query for a page of sessions."""
        body = {"query": query, "variables": {"limit": limit, "offset": offset}}
        async with self.client.post(self.url + path, json=body) as response:
            answer = await response.read()
            response.raise_for_status()
        # Not decoded, which would take longer than some answers. An answer of sessions has no such key itself.
        assert b'"errors"' not in answer, answer[:_SHOWN_BYTES]
        return answer

    async def rest(self, kind: str, *, limit: int) -> bytes:
        """Return a page of sessions from a hand-written handler."""
        async with self.client.get(f"{self.url}/rest/{kind}", params={"limit": str(limit)}) as response:
            response.raise_for_status()
            return await response.read()

    async def profile(self, run: Callable[[], Awaitable[object]]) -> str:
        """Run for some seconds, and return where the time of the host's process went."""
        (await self.client.post(f"{self.url}/profile")).release()
        end = time.monotonic() + _PROFILE_S
        while time.monotonic() < end:
            await run()
        async with self.client.post(f"{self.url}/profile") as response:
            return await response.text()


@asynccontextmanager
async def running_host(
    valkey_url: str, *, sessions: int, freezes: bool = True, tokens: Path | None = None
) -> AsyncGenerator[Host]:
    """Run the host in a process of its own within the block."""
    folder = Path(__file__).parent
    path = os.pathsep.join(filter(None, [str(folder.parent / "examples"), os.environ.get("PYTHONPATH")]))
    arguments = [str(folder / "host.py"), valkey_url, str(sessions), *([] if freezes else ["--no-freeze"])]
    arguments += [] if tokens is None else [f"--tokens={tokens}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with aiohttp.ClientSession(headers={"Accept-Encoding": "identity"}) as client:
            yield Host(url=f"http://127.0.0.1:{port}", pid=process.pid, client=client)
    finally:
        process.terminate()
        await process.wait()


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print a table per size and field, and one against per-item reads."""
    sessions = max(SIZES)
    async with (
        stored(scratch, kernels=sessions, sessions=sessions) as source,
        running_host(source.server.url, sessions=sessions) as host,
    ):
        tables = {
            f"GraphQL, {size:,} sessions with {kind}": rest_and_graphql(host, kind, size) for kind, size in REST_GOALS
        }
        tables["GraphQL, 100 sessions with inference, over per-item reads"] = per_item_and_graphql(host, 100)
        for title, contenders in tables.items():
            await report.compare(
                f"{title}, CPU time of the host, {source.version}",
                contenders,
                repeats=repeats,
                pid=host.pid,
                helpers=source.helpers,
                profile=host.profile,
            )


def rest_and_graphql(host: Host, kind: str, size: int) -> list[Contender]:
    """Return the contenders that answer with the same sessions and statistics."""
    query = INFERENCE if kind == "inference" else LIVE
    goal = REST_GOALS.get((kind, size))
    return [
        Contender(name="REST, json.dumps over the same batch", run=lambda: host.rest(kind, limit=size)),
        Contender(
            name="statcore, GraphQL",
            run=lambda: host.graphql(query, limit=size),
            goals={CPU_RATIO: Goal(goal)} if goal else {},
        ),
    ]


def per_item_and_graphql(host: Host, size: int) -> list[Contender]:
    """Return the contenders with the same schema."""
    return [
        Contender(name="GraphQL with per-item reads", run=lambda: host.graphql(INFERENCE, limit=size, path="/per-item")),
        Contender(
            name="statcore, GraphQL (six times the rate)",
            run=lambda: host.graphql(INFERENCE, limit=size),
            goals={CPU_RATIO: Goal(1 / 6), WALL_RATIO: Goal(1 / 6)},
        ),
    ]


def items_of(answer: bytes) -> list[Any]:
    """Return the sessions in an answer of either kind."""
    decoded = json.loads(answer)
    return list(decoded["items"] if "items" in decoded else decoded["data"]["compute_session_list"]["items"])
