"""Repository over clients of a manager, which read a real Valkey and decode payloads themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgpack
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from statcore import StatisticsRepository, UnavailableError, UnsupportedError
from statcore.model import ProblemKind
from statcore.testing.servers import Server, free_port

IDS = [str(UUID(int=number)) for number in range(1, 1_001)]


class ValkeyStatClient:
    """A client of statistics as managers have it: one bad payload makes the whole batch fail."""

    def __init__(self, client: AsyncRedis) -> None:
        """Read through a client of the driver."""
        self.client = client

    async def get_session_statistics_batch(self, session_ids: list[str]) -> list[dict[str, Any] | None]:
        """Read MessagePack from keys that are the ids."""
        return await self._read(session_ids)

    async def get_inference_app_statistics_batch(self, endpoint_ids: list[str]) -> list[dict[str, Any] | None]:
        """Read MessagePack from the keys of endpoints."""
        return await self._read([f"inference.{id_}.app" for id_ in endpoint_ids])

    async def _read(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        payloads = await self.client.mget(keys)
        return [None if payload is None else msgpack.unpackb(payload) for payload in payloads]


class ValkeyLiveClient:
    """A manager's client of live sessions."""

    def __init__(self, client: AsyncRedis) -> None:
        """Read through a client of the driver."""
        self.client = client

    async def get_session_statistics_batch(self, session_ids: list[str]) -> list[dict[str, int] | None]:
        """Read two numbers for each session; zeros where one is missing."""
        keys = [f"session.{id_}.{name}" for id_ in session_ids for name in ("requests", "last_response_time")]
        counts = await self.client.mget(keys)
        pairs = zip(counts[::2], counts[1::2], strict=True)
        return [{"requests": int(first or 0), "last_response_ms": int(second or 0)} for first, second in pairs]


@pytest.fixture
async def repository(valkey: Server) -> AsyncIterator[StatisticsRepository]:
    """A repository of a manager that keeps its clients."""
    async with AsyncRedis(host="127.0.0.1", port=valkey.port) as stat, AsyncRedis(port=valkey.port, db=2) as live:
        yield StatisticsRepository(valkey_stat=ValkeyStatClient(stat), valkey_live=ValkeyLiveClient(live))


async def test_the_repository_reads_through_both_clients(valkey: Server, repository: StatisticsRepository) -> None:
    """It reads kernels, inference metrics and endpoints; calls that the clients lack raise."""
    metrics = {"mem": {"current": "1"}}
    with Redis(port=valkey.port) as redis, Redis(port=valkey.port, db=2) as live:
        redis.mset({IDS[0]: msgpack.packb(metrics), f"inference.{IDS[1]}.app": msgpack.packb(metrics)})
        live.mset({f"session.{IDS[2]}.requests": 7, f"session.{IDS[2]}.last_response_time": 9})
    assert [metrics, None] == list(await repository.get_kernel_statistics_batch([UUID(IDS[0]), IDS[1]]))
    assert [None, metrics] == list(await repository.get_endpoint_statistics_batch(IDS[:2]))
    activity = await repository.get_inference_metrics_batch(IDS[2:4])
    assert [{"requests": 7, "last_response_ms": 9}, {"requests": 0, "last_response_ms": 0}] == list(activity)
    assert {1: ProblemKind.INCOMPLETE} == {position: problem.kind for position, problem in activity.problems.items()}
    with pytest.raises(UnsupportedError, match="get_inference_replica_statistics_batch"):
        await repository.get_replica_statistics_batch([(IDS[0], IDS[1])])


async def test_bad_payloads_are_malformed_entries(valkey: Server, repository: StatisticsRepository) -> None:
    """Among a thousand are truncated, trailing and empty payloads, and one that is not a map."""
    good = {id_: msgpack.packb({"mem": {"current": id_}}) for id_ in IDS}
    bad = {IDS[3]: b"\x81", IDS[4]: b"\x80\x80", IDS[500]: b"", IDS[999]: b"\x05"}
    with Redis(port=valkey.port) as redis:
        redis.mset({**good, **bad})
    batch = await repository.get_kernel_statistics_batch(IDS)
    expected = [None if id_ in bad else {"mem": {"current": id_}} for id_ in IDS]
    assert expected == list(batch)
    kinds = {position: problem.kind for position, problem in batch.problems.items()}
    assert dict.fromkeys((3, 4, 500, 999), ProblemKind.MALFORMED) == kinds


async def test_an_unreachable_server_is_unavailable(valkey: Server) -> None:
    """The error is ours, with the client's as its cause."""
    async with (
        AsyncRedis(port=free_port(), retry=Retry(NoBackoff(), 0)) as away,
        AsyncRedis(port=valkey.port, db=2) as live,
    ):
        repository = StatisticsRepository(valkey_stat=ValkeyStatClient(away), valkey_live=ValkeyLiveClient(live))
        with pytest.raises(UnavailableError, match="valkey_stat"):
            await repository.get_kernel_statistics_batch(IDS)
