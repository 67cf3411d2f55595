"""The whole manager: joins the roles, and closes what it opened in reverse order."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from manager.autoscaling import ReplicaKeeper, ticking
from manager.cluster import Cluster
from manager.graphql_endpoint import ContextFactory, graphql_view
from manager.ports import open_ports
from manager.serving import serving
from manager.settings import ManagerSettings
from statcore.consumers import DeploymentRepository
from statcore.plugins import PluginRegistry


@asynccontextmanager
async def running_manager(settings: ManagerSettings) -> AsyncGenerator[str]:
    """Run the manager within the block, and yield its URL.

    `POST /graphql` answers queries; `GET /replicas` returns the decisions of auto-scaling.

    Raises:
        InputError: a setting or the cluster file cannot be used.
        UnavailableError: the port is taken.
    """
    cluster = Cluster.load(settings.cluster)
    plugins = PluginRegistry.discover()
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(open_ports(settings, plugins))
        contexts = ContextFactory(ports=ports, inventory=cluster.inventory, plugins=plugins)
        repository = DeploymentRepository(ports.repository.source, cluster.inventory, metrics=ports.metrics)
        keeper = ReplicaKeeper(repository, cluster.deployments)
        await stack.enter_async_context(ticking(keeper, settings.tick_s))
        app = web.Application()
        app.router.add_post("/graphql", graphql_view(contexts))
        app.router.add_get("/replicas", _replicas(keeper))
        yield await stack.enter_async_context(serving(app, host=settings.host, port=settings.port))


def _replicas(keeper: ReplicaKeeper) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(keeper.document())

    return answer
