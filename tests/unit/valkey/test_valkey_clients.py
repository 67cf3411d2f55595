"""Clients of the host: which can be used, and what the others are told."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis.asyncio.sentinel import Sentinel

from statcore.errors import InputError
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


def cluster(kind: type[Any]) -> Any:
    """A client of a cluster; making a real one would look for nodes."""
    return kind.__new__(kind)


class GlideClient:
    """A client of another driver."""

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        """Read keys."""
        return [None for _ in keys]


@pytest.mark.parametrize("kind", [ValkeyStatistics, ValkeyStatisticsSink])
@pytest.mark.parametrize(
    ("client", "named"),
    [
        (None, "NoneType"),
        ("valkey://me:hunter2@store", "str"),
        (redis.Redis(), "redis.client.Redis"),
        (redis.asyncio.ConnectionPool(), "redis.asyncio.connection.ConnectionPool"),
        (redis.ConnectionPool(), "redis.connection.ConnectionPool"),
        (cluster(redis.cluster.RedisCluster), "redis.cluster.RedisCluster"),
        (cluster(redis.asyncio.cluster.RedisCluster), "redis.asyncio.cluster.RedisCluster"),
        (Sentinel([("127.0.0.1", 1)]), "redis.asyncio.sentinel.Sentinel"),
        (GlideClient(), "GlideClient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_client_that_cannot_be_used_is_refused_with_what_can(kind: Any, client: Any, named: str) -> None:
    """One error that names the argument, what it is, and what can be used, wherever the client stands."""
    right = redis.asyncio.Redis()
    for arguments, name in (((client, right), "statistics"), ((right, client), "live")):
        with pytest.raises(InputError, match=rf"^{name} cannot be \S*{named}; expected redis\.asyncio\.Redis") as error:
            kind.from_clients(*arguments)
        assert "hunter2" not in str(error.value)
        assert all(word in str(error.value) for word in ("Redis.from_pool(pool)", "master_for", "ClientStatistics"))


async def test_a_user_without_a_password_is_not_shown() -> None:
    """It may be the password, which many write in that place."""
    for url in ("valkey://hunter2@127.0.0.1", "valkey://hunter2:@127.0.0.1"):
        database = ValkeyStatistics.from_url(url)._databases.statistics  # type: ignore[attr-defined]
        assert "hunter2" not in f"{database.user} {database.service} {database!r}"
