"""`python host.py URL SESSIONS [--no-freeze] [--tokens=FILE]` serves sessions in a Valkey over GraphQL, and by hand.

The GraphQL endpoint is that of `examples/manager`. The same process has REST handlers that read the same batch and encode
it with `json`, and a schema with the same fields whose resolvers read item by item. With a file of tokens it has the routes
of `statcore_web` below `/service`. It prints its port.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import sys
from typing import Any, Final, cast

import attrs
import strawberry
from aiohttp import web
from report import describe_profile
from strawberry.aiohttp.views import GraphQLView
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from workload import kernel_ids, session_ids

import statcore_graphql.schema.query
from manager.graphql_endpoint import ContextFactory, graphql_view
from statcore.model import StatisticsBatch
from statcore.model.inventory import KernelRecord
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime
from statcore.statistics import StatisticsRepository
from statcore_graphql import GraphQueryContext
from statcore_memory import MemoryInventory
from statcore_web import Tokens, attach

_RAISED_LIMIT: Final = 10_000
_Info = strawberry.Info[GraphQueryContext]


@strawberry.type
class Kernel:
    """A kernel whose statistics are read alone."""

    kernel_id: str

    @strawberry.field
    async def live_stat(self, info: _Info) -> JSON | None:
        """Read this kernel."""
        return _first(await info.context.statistics_repository.get_kernel_statistics_batch([self.kernel_id]))


@strawberry.type
class ComputeSession:
    """A session whose statistics are read alone."""

    session_id: str
    kernels: list[Kernel]

    @strawberry.field
    async def inference_metrics(self, info: _Info) -> JSON | None:
        """Read this session."""
        return _first(await info.context.statistics_repository.get_inference_metrics_batch([self.session_id]))


@strawberry.type
class ComputeSessionList:
    """A page of the sessions."""

    items: list[ComputeSession]
    total_count: int


@strawberry.type
class Query:
    """A schema such as statcore's, without its loaders."""

    @strawberry.field
    async def compute_session_list(self, info: _Info, limit: int = 100, offset: int = 0) -> ComputeSessionList:
        """Read from the inventory."""
        page = await info.context.inventory.list_sessions(limit=limit, offset=offset)
        items = [
            ComputeSession(
                session_id=record.session_id, kernels=[Kernel(kernel_id=kernel.kernel_id) for kernel in record.kernels]
            )
            for record in page.items
        ]
        return ComputeSessionList(items=items, total_count=page.total_count)


class PerItemView(GraphQLView[GraphQueryContext, None]):
    """The endpoint of the schema that reads item by item."""

    def __init__(self, contexts: ContextFactory) -> None:
        """Serve with contexts from a factory."""
        super().__init__(strawberry.Schema(Query, config=StrawberryConfig(auto_camel_case=False)), graphql_ide=None)
        self._contexts = contexts

    async def get_context(self, request: web.Request, response: object) -> GraphQueryContext:  # noqa: ARG002
        """Return a new context."""
        return self._contexts.new()


@attrs.frozen
class Rest:
    """Hand-written handlers: a batch for the page, encoded with `json`."""

    inventory: MemoryInventory
    repository: StatisticsRepository

    async def inference(self, request: web.Request) -> web.Response:
        """Return the sessions of a page with their requests."""
        sessions = (await self.inventory.list_sessions(limit=int(request.query["limit"]))).items
        batch = await self.repository.get_inference_metrics_batch([session.session_id for session in sessions])
        return _json(
            [
                {"session_id": session.session_id, "inference_metrics": None if entry is None else dict(entry)}
                for session, entry in zip(sessions, batch, strict=True)
            ]
        )

    async def live(self, request: web.Request) -> web.Response:
        """Return the sessions of a page with the statistics of their kernels."""
        sessions = (await self.inventory.list_sessions(limit=int(request.query["limit"]))).items
        batch = await self.repository.get_kernel_statistics_batch(
            [kernel.kernel_id for session in sessions for kernel in session.kernels]
        )
        entries = iter(batch)
        return _json(
            [
                {
                    "session_id": session.session_id,
                    "kernels": [
                        {"kernel_id": kernel.kernel_id, "live_stat": None if entry is None else dict(entry)}
                        for kernel, entry in zip(session.kernels, entries, strict=False)
                    ],
                }
                for session in sessions
            ]
        )


class Profiling:
    """A handler that starts a profile of the process, and returns it at the next request."""

    def __init__(self) -> None:
        """Start without a profile."""
        self._profiler: cProfile.Profile | None = None

    async def toggle(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Start, or stop and describe."""
        if self._profiler is None:
            self._profiler = cProfile.Profile()
            self._profiler.enable()
            return web.Response()
        self._profiler.disable()
        text, self._profiler = describe_profile(self._profiler), None
        return web.Response(text=text)


def _first(batch: StatisticsBatch) -> JSON | None:
    (entry,) = batch
    return None if entry is None else cast("JSON", dict(entry))


def _json(items: list[dict[str, Any]]) -> web.Response:
    return web.Response(text=json.dumps({"items": items}), content_type="application/json")


async def main(url: str, sessions: int, *, freezes: bool, tokens: str | None) -> None:
    """Serve until the process is ended."""
    statcore_graphql.schema.query.MAX_LIMIT = _RAISED_LIMIT  # type: ignore[misc]
    inventory = MemoryInventory()
    for session_id, kernel_id in zip(session_ids(sessions), kernel_ids(sessions), strict=True):
        inventory.register_kernel(KernelRecord(kernel_id=kernel_id, session_id=session_id))
    plugins = PluginRegistry.discover()
    async with open_runtime(Settings(statistics_url=url, metrics_url="memory://"), plugins) as runtime:
        contexts = ContextFactory(ports=runtime, inventory=inventory, plugins=plugins)
        rest = Rest(inventory, runtime.repository)
        app = web.Application()
        app.router.add_post("/graphql", graphql_view(contexts))
        app.router.add_post("/per-item", PerItemView(contexts))
        app.router.add_get("/rest/inference", rest.inference)
        app.router.add_get("/rest/live", rest.live)
        app.router.add_post("/profile", Profiling().toggle)
        if tokens is not None:
            attach(app, attrs.evolve(runtime, inventory=inventory), plugins, tokens=Tokens(tokens), prefix="/service")
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        if freezes:
            gc.collect()
            gc.freeze()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    file = next((argument.removeprefix("--tokens=") for argument in sys.argv if argument.startswith("--tokens=")), None)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), freezes="--no-freeze" not in sys.argv, tokens=file))
