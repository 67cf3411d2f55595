"""The released agent's own code that measures and writes, over a scripted Docker API: no Docker engine runs in tests.

What is the agent's: its CPU and memory plugins, `StatContext`, the observer of its Prometheus series, and its Valkey
clients. What is scripted: the numbers that Docker would report for each container, and the agent object itself, which
only holds these parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

import attrs
from ai.backend.agent.docker.intrinsic import CPUPlugin, MemoryPlugin
from ai.backend.agent.stats import StatContext, StatModes
from ai.backend.common.clients.valkey_client.valkey_live.client import ValkeyLiveClient
from ai.backend.common.clients.valkey_client.valkey_stat.client import ValkeyStatClient
from ai.backend.common.types import AgentId, ContainerId, KernelId, SessionId, SlotName, ValkeyTarget
from aiohttp import web

from statcore.testing.servers import Server

_Client = TypeVar("_Client", ValkeyStatClient, ValkeyLiveClient)
AGENT_ID = "i-compat"
INTERVAL_S = 5.0


@attrs.define
class DockerNumbers:
    """What Docker reports of one container: CPU in nanoseconds, all else in bytes."""

    cpu_ns: int = 0
    mem: int = 0
    mem_limit: int = 0
    io_read: int = 0
    io_write: int = 0
    net_rx: int = 0
    net_tx: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the answer of `GET /containers/{id}/stats`."""
        return {
            "read": "2026-01-02T00:00:01Z",
            "preread": "2026-01-02T00:00:00Z",
            "cpu_stats": {"cpu_usage": {"total_usage": self.cpu_ns}},
            "memory_stats": {"usage": self.mem, "limit": self.mem_limit},
            "blkio_stats": {
                "io_service_bytes_recursive": [
                    {"op": "Read", "value": self.io_read},
                    {"op": "Write", "value": self.io_write},
                ]
            },
            "networks": {"eth0": {"rx_bytes": self.net_rx, "tx_bytes": self.net_tx}},
        }


@attrs.frozen(kw_only=True)
class Kernel:
    """A kernel, its owners, and what Docker reports of its container."""

    kernel_id: UUID
    session_id: UUID | None = None
    user_id: UUID | None = None
    project_id: UUID | None = None
    docker: DockerNumbers = attrs.field(factory=DockerNumbers)

    @property
    def container_id(self) -> str:
        """The id of its container."""
        return self.kernel_id.hex


class _RegistryEntry(dict[str, Any]):
    """An entry of the agent's kernel registry: a mapping with the owners as an attribute."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(container_id=kernel.container_id)
        self.ownership_data = SimpleNamespace(
            session_id=kernel.session_id and SessionId(kernel.session_id),
            owner_user_id=kernel.user_id,
            owner_project_id=kernel.project_id,
        )


@attrs.frozen
class RealAgent:
    """The agent's measuring code, ready to take rounds."""

    stats: StatContext
    kernels: Mapping[str, Kernel]

    async def measure_kernels(self) -> None:
        """Measure every container once, and write to Valkey and to the Prometheus series."""
        await self.stats.collect_container_stat([ContainerId(id_) for id_ in self.kernels])

    async def measure_node(self) -> None:
        """Measure this machine once, and write to Valkey and to the Prometheus series."""
        await self.stats.collect_node_stat({SlotName("cpu"): 1, SlotName("mem"): 1})


@asynccontextmanager
async def running_agent(valkey: Server, folder: Path, kernels: list[Kernel], monkeypatch: Any) -> AsyncIterator[RealAgent]:
    """Run the agent's code with these kernels; it writes to database 0 of the server."""
    by_container = {kernel.container_id: kernel for kernel in kernels}
    async with _scripted_docker(folder / "docker.sock", by_container):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder / 'docker.sock'}")
        async with stat_client(valkey) as client:
            agent = SimpleNamespace(
                id=AgentId(AGENT_ID),
                computers={},
                kernel_registry={KernelId(kernel.kernel_id): _RegistryEntry(kernel) for kernel in kernels},
                valkey_stat_client=client,
                local_config=SimpleNamespace(debug=SimpleNamespace(log_stats=False)),
            )
            interval = SimpleNamespace(interval=INTERVAL_S)
            config: Any = SimpleNamespace(
                agent=SimpleNamespace(utilization_metric=SimpleNamespace(node=interval, container=interval))
            )
            plugins: list[Any] = [CPUPlugin({}, {}), MemoryPlugin({}, {})]
            for plugin in plugins:
                await plugin.init()
            agent.computers = {str(plugin.key): SimpleNamespace(instance=plugin) for plugin in plugins}
            stats = StatContext(agent, config, StatModes.DOCKER)  # a stand-in
            try:
                yield RealAgent(stats, by_container)
            finally:
                for plugin in plugins:
                    await plugin.cleanup()


@asynccontextmanager
async def _connected(kind: type[_Client], valkey: Server, *, db_id: int) -> AsyncIterator[_Client]:
    target = ValkeyTarget(addr=f"127.0.0.1:{valkey.port}")
    client = await kind.create(target, db_id=db_id, human_readable_name=kind.__name__)
    try:
        yield client
    finally:
        await client.close()


def stat_client(valkey: Server) -> AbstractAsyncContextManager[ValkeyStatClient]:
    """Connect the manager's and agent's client of statistics."""
    return _connected(ValkeyStatClient, valkey, db_id=0)


def live_client(valkey: Server) -> AbstractAsyncContextManager[ValkeyLiveClient]:
    """Connect the manager's client of live data."""
    return _connected(ValkeyLiveClient, valkey, db_id=2)


@asynccontextmanager
async def _scripted_docker(path: Path, kernels: Mapping[str, Kernel]) -> AsyncIterator[None]:
    async def stats(request: web.Request) -> web.Response:
        kernel = kernels.get(request.match_info["id"])
        if kernel is None:
            return web.json_response({"message": "no such container"}, status=404)
        return web.json_response(kernel.docker.to_json())

    async def info(_: web.Request) -> web.Response:
        return web.json_response({"DockerRootDir": "/var/lib/docker"})

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"ApiVersion": "1.44"})

    app = web.Application()
    for prefix in ("", "/{api:v[0-9.]+}"):
        app.router.add_get(prefix + "/containers/{id}/stats", stats)
        app.router.add_get(prefix + "/info", info)
        app.router.add_get(prefix + "/version", version)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield
    finally:
        await runner.cleanup()
