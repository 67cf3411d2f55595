"""The list methods and the find methods that an inventory has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from statcore.errors import UnsupportedError
from statcore.model.inventory import Page
from statcore.ports.capabilities import as_port
from statcore.ports.inventory import InventoryPort, KernelInventoryPort, owner_inventory
from statcore.testing.inventory.dataset import InventoryDataset

Lister: TypeAlias = Callable[..., Awaitable[Page[Any]]]
Finder: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Any]]]


async def listers(inventory: InventoryPort) -> AsyncIterator[tuple[str, Lister]]:
    """Yield each kind of object that the inventory lists, with its method."""
    yield "sessions", inventory.list_sessions
    yield "agents", inventory.list_agents
    if (lister := as_port(inventory, KernelInventoryPort)) is not None:
        yield "kernels", lister.list_kernels
    if await has_endpoints(inventory):
        yield "endpoints", inventory.list_endpoints


async def finders(inventory: InventoryPort, planted: InventoryDataset) -> AsyncIterator[tuple[str, list[str], Finder]]:
    """Yield each kind of object that the inventory finds by id, with the ids of those planted and its method."""
    yield "sessions", [session.session_id for session in planted.sessions], inventory.find_sessions
    if (owners := owner_inventory(inventory)) is not None:
        yield "kernels", [kernel.kernel_id for kernel in planted.kernels], owners.find_kernels
        yield "agents", planted.agent_ids, owners.find_agents
    if await has_endpoints(inventory):
        yield "endpoints", [endpoint.endpoint_id for endpoint in planted.endpoints], inventory.find_endpoints


async def has_endpoints(inventory: InventoryPort) -> bool:
    """Return whether the inventory knows endpoints."""
    try:
        await inventory.list_endpoints(limit=0)
    except UnsupportedError:
        return False
    return True
