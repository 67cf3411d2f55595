"""A host in one process: its settings, what an agent writes, its inventory, and a runtime to work in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final
from uuid import UUID

from statcore import MetricValue
from statcore.model import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime, Settings, open_runtime, open_sink
from statcore_memory import MemoryInventory

KERNELS: Final = [str(UUID(int=number)) for number in (1, 2)]
SESSION, ENDPOINT, REPLICA, BATTERY = (str(UUID(int=number)) for number in (10, 20, 30, 40))
CPU: Final = MetricValue(current="900", capacity="1000", pct="90.00", unit_hint="millicores")
OWNERS: Final = f'kernel_id = "{KERNELS[0]}", session_id = "{SESSION}", agent_id = "i-1"'
TOML: Final = f"""
statistics_url = "battery-store://NAME"
metrics_url = "battery-metrics://rack"
kernel_statistics = "store"
rate_interval = "5m"
[[metrics.samples]]
name = "battery_charge"
value = 80
labels = {{battery_id = "{BATTERY}", maker = "m"}}
[[metrics.samples]]
name = "backendai_container_utilization"
value = 4096
labels = {{container_metric_name = "mem", value_type = "current", {OWNERS}}}
"""
Work = Callable[[Runtime, PluginRegistry], Awaitable[Any]]


def cluster() -> MemoryInventory:
    """Return an inventory with one session of two kernels, which is the replica of one endpoint."""
    inventory = MemoryInventory()
    for kernel_id in KERNELS:
        inventory.register_kernel(KernelRecord(kernel_id=kernel_id, session_id=SESSION, agent_id="i-1"))
    replica = ReplicaRecord(replica_id=REPLICA, session_id=SESSION, active=True)
    inventory.register_endpoint(EndpointRecord(endpoint_id=ENDPOINT, replicas=(replica,)))
    return inventory


def embed(settings: Settings, registry: PluginRegistry, work: Work) -> Any:
    """Write what an agent would, and run a piece of work in a runtime."""

    async def run() -> Any:
        async with AsyncExitStack() as stack:
            sink = await stack.enter_async_context(open_sink(settings, registry))
            await sink.store_kernel_statistics({kernel_id: {"cpu_util": CPU} for kernel_id in KERNELS})
            await sink.store_session_activity(SESSION, requests=3, last_response_ms=7)
            await sink.store_endpoint_statistics({ENDPOINT: {"running": {"current": "30", "__type": "GAUGE"}}})
            await sink.store_replica_statistics({(ENDPOINT, REPLICA): {"running": {"current": "1", "__type": "GAUGE"}}})
            await sink.store_agent_statistics("i-1", node={"mem": CPU}, devices={}, interval_s=5.0)
            runtime = await stack.enter_async_context(open_runtime(settings, registry))
            return await work(runtime, registry)

    return asyncio.run(run())
