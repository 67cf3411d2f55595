"""An aiohttp application with the routes of the service, served on a free port of loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime
from statcore.services import SeriesInventory
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryMetrics, MemoryStatistics
from statcore_web import attach, new_secret, secret_hash

Client = TestClient[web.Request, web.Application]
GRAPHQL_JSON: Final = "application/graphql-response+json"
SESSIONS: Final = "{ compute_session_list { items { session_id } } }"


def runtime_of(*, statistics: Any = None, metrics: Any = None, inventory: Any = None) -> Runtime:
    """Return a runtime over ports, by default empty ones in memory, with an inventory from series."""
    statistics, metrics = statistics or MemoryStatistics(), metrics or MemoryMetrics()
    return Runtime(
        statistics=statistics,
        repository=StatisticsRepository(StatisticsStatefulSource(statistics)),
        metrics=metrics,
        inventory=inventory or SeriesInventory(metrics, clock=lambda: datetime.now(UTC)),
    )


@asynccontextmanager
async def serving(runtime: Runtime | None = None, **options: Any) -> AsyncGenerator[Client]:
    """Serve the routes within the block, and yield a client; options as `attach`."""
    app = web.Application()
    attach(app, runtime or runtime_of(), options.pop("plugins", None) or PluginRegistry.discover(), **options)
    async with TestClient(TestServer(app)) as client:
        yield client


async def post(client: Client, query: str, *, token: str | None = None, **options: Any) -> ClientResponse:
    """Send a query by POST, and return the response with its body read."""
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
    response = await client.post("/graphql", json={"query": query, **options}, headers=headers)
    await response.read()
    return response


async def get(client: Client, query: str, *, token: str | None = None, **headers: str) -> ClientResponse:
    """Send a query by GET, and return the response with its body read."""
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    response = await client.get("/graphql", params={"query": query}, headers={**bearer, **headers})
    await response.read()
    return response


async def codes(response: ClientResponse) -> list[str]:
    """Return the codes of the errors of a response."""
    document = await response.json(content_type=None)
    return [error["extensions"]["code"] for error in document.get("errors", [])]


@attrs.frozen
class TokenFile:
    """A file of tokens in a folder, which a test can change."""

    path: Path

    def write(self, **tables: str) -> dict[str, str]:
        """Write a token for each name, with the lines of its table beside the hash; return the secrets by name."""
        secrets = {name: new_secret() for name in tables}
        self.path.write_text(
            "\n".join(f'[tokens.{name}]\nhash = "{secret_hash(secrets[name])}"\n{lines}' for name, lines in tables.items())
        )
        return secrets
