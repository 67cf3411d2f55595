"""A site with agents at work: they write the statistics of kernels to a real Valkey, and a real Prometheus scrapes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import attrs
from aiohttp import web
from planning import KERNELS_OF_AGENT
from redis.asyncio import Redis
from scale_prometheus import kernel_series, scrape, wait_until
from server_process import metrics_response, running_server, serve_http
from workload import kernel_ids, payload, version_of

from statcore.model.store_keys import KERNEL_TTL_S
from statcore.queriers.container import CONTAINER_SERIES
from statcore.testing.servers import LOOPBACK, Server, find_installations, raw_query, running_prometheus, running_valkey

WRITE_S: Final = 5.0
"""How often an agent writes the statistics of its kernels."""
SCRAPE_S: Final = 15.0
_PAYLOADS: Final = 1_000
_STRIDE: Final = 617
"""Has no divisor in common with the number of payloads, so that kernels of an agent differ."""


@attrs.frozen(kw_only=True)
class LivingSite:
    """The servers, with their names and versions."""

    valkey: Server
    prometheus: Server
    versions: str


@asynccontextmanager
async def running_site(folder: Path, *, kernels: int) -> AsyncGenerator[LivingSite]:
    """Run the site within the block; each kernel is the only one of the session with the same number."""
    agents = range(0, kernels, KERNELS_OF_AGENT)
    with (
        running_valkey(folder) as valkey,
        running_server(_run_agents, valkey.port, kernels) as (address, _),
        running_prometheus(folder, targets={}) as prometheus,
    ):
        scrape(prometheus, folder, address, pages=len(agents), interval_s=SCRAPE_S)
        await wait_until(lambda: _scraped_kernels(prometheus) == kernels)
        async with Redis(host=LOOPBACK, port=valkey.port) as redis:
            versions = f"{await version_of(redis)}, Prometheus {find_installations('prometheus')[0].version}"
        yield LivingSite(valkey=valkey, prometheus=prometheus, versions=versions)


def _scraped_kernels(prometheus: Server) -> float:
    found = raw_query(prometheus, f"count(count by (kernel_id) ({CONTAINER_SERIES}))", time.time())
    return float(found[0]["value"][1]) if found else 0.0


def _run_agents(valkey_port: int, kernels: int, ready: Connection) -> None:
    """Write statistics and serve series; send the port of these once all statistics are written."""

    async def run() -> None:
        async with Redis(host=LOOPBACK, port=valkey_port) as redis:
            writes = _write_turns(redis, kernels)
            await anext(writes)
            ready.send(await _serve_series(kernels))
            async for _ in writes:
                pass

    asyncio.run(run())


async def _write_turns(redis: Redis, kernels: int) -> AsyncGenerator[None]:
    """Write new statistics of all kernels, agent by agent: at once at first, then spread evenly over each interval."""
    ids, payloads = kernel_ids(kernels), [payload(number) for number in range(_PAYLOADS)]
    agents = range(0, kernels, KERNELS_OF_AGENT)
    for turn in count():
        for start in agents:
            async with redis.pipeline(transaction=False) as pipeline:
                for number in range(start, min(start + KERNELS_OF_AGENT, kernels)):
                    pipeline.set(ids[number], payloads[(_STRIDE * number + turn) % _PAYLOADS], ex=KERNEL_TTL_S)
                await pipeline.execute()
            if turn:
                await asyncio.sleep(WRITE_S / len(agents))
        yield


async def _serve_series(kernels: int) -> int:
    """Serve the series of each agent; return the port."""
    pages = [
        "".join(
            f"{series} {number}\n"
            for number in range(start, min(start + KERNELS_OF_AGENT, kernels))
            for series in kernel_series(number)
        )
        for start in range(0, kernels, KERNELS_OF_AGENT)
    ]

    async def answer(request: web.Request) -> web.Response:
        return metrics_response(pages[int(request.match_info["agent"])])

    return await serve_http({"/agents/{agent}": answer})
