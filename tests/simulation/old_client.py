"""Cancels a read of redis-py at each of its moments; prints the version that was imported, and what was found.

`test_old_client.py` runs this program with an old redis-py, and with the one that statcore uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from inspect import signature
from typing import Any

import redis
from redis.asyncio import Redis

from statcore.testing.expectations import expect
from statcore.testing.simulation import Simulation
from statcore.testing.simulation.cancellation import Cancelled, cancel_at, count_moments
from statcore.testing.simulation.valkey import SimulatedValkey

_KEYS = [b"a", b"b", b"c", b"d"]


@asynccontextmanager
async def one_client(simulation: Simulation) -> AsyncIterator[Cancelled]:
    """Read through a client that has connected already; each value is its key."""
    server = SimulatedValkey(simulation.network, "valkey")
    for key in _KEYS:
        server.databases[0].set(key, key)
    server.start()
    settings: dict[str, Any] = {"protocol": 2} if "protocol" in signature(Redis).parameters else {}
    client = Redis(host="valkey", max_connections=1, **settings)

    async def check() -> None:
        for key in _KEYS[1:]:
            expect(key, await client.get(key), f"the value of {key!r}")

    await check()
    yield Cancelled(lambda: client.get(_KEYS[0]), check)
    await client.connection_pool.disconnect()


if __name__ == "__main__":
    print(redis.__version__)  # noqa: T201 - its result
    for moment in range(count_moments(one_client, seed=1)):
        try:
            cancel_at(one_client, moment, seed=1)
        except Exception as error:  # noqa: BLE001 - whatever is found
            print(error)  # noqa: T201
