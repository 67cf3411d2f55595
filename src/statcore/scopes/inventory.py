"""Inventories confined to a scope."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from statcore.concurrency import in_turns
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, SessionRecord
from statcore.ports.inventory import KernelInventoryPort, OwnerInventoryPort, find_records, list_kernels
from statcore.scopes.owners import Owners


@attrs.frozen(eq=False)
class ConfinedInventory:
    """An `OwnerInventoryPort` and `KernelInventoryPort` with the objects of a scope only; others do not exist in it.

    A session has its allowed kernels, and exists if it has any. For each list the inventory is read as a whole, unless
    another inventory selects the objects to look up.

    Args:
        inventory: the inventory; the caller closes it.
        owners: which objects are allowed.
        candidates: an inventory with all sessions, kernels and agents of the scope, and with some that are not in it, such
            as kernels that had another owner before.
    """

    inventory: OwnerInventoryPort
    owners: Owners
    candidates: KernelInventoryPort | None = None

    async def list_sessions(self, *, limit: int | None = None, offset: int = 0) -> Page[SessionRecord]:
        """Return a page of the allowed sessions."""
        Page.cut((), limit=limit, offset=offset)  # raises before anything is read
        if self.candidates is None:
            records = (await self.inventory.list_sessions()).items
        else:
            ids = [session.session_id for session in (await self.candidates.list_sessions()).items]
            records = list((await find_records(self.inventory.find_sessions, ids)).values())
        sessions: list[SessionRecord] = []
        async for part in in_turns(records):
            sessions += [session for record in part if (session := self._session(record)) is not None]
        return Page.cut(sessions, limit=limit, offset=offset)

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """Return the allowed session of each id, in order; None for another id."""
        return [self._session(session) for session in await self.inventory.find_sessions(session_ids)]

    async def list_kernels(self, *, limit: int | None = None, offset: int = 0) -> Page[KernelRecord]:
        """Return a page of the allowed kernels."""
        Page.cut((), limit=limit, offset=offset)
        if self.candidates is None:
            records = (await list_kernels(self.inventory)).items
        else:
            ids = [kernel.kernel_id for kernel in (await self.candidates.list_kernels()).items]
            records = list((await find_records(self.inventory.find_kernels, ids)).values())
        kernels: list[KernelRecord] = []
        async for part in in_turns(records):
            kernels += filter(self.owners.has_kernel, part)
        return Page.cut(kernels, limit=limit, offset=offset)

    async def find_kernels(self, kernel_ids: Sequence[str], /) -> Sequence[KernelRecord | None]:
        """Return the allowed kernel of each id, in order; None for another id."""
        found = await self.inventory.find_kernels(kernel_ids)
        return [kernel if kernel is not None and self.owners.has_kernel(kernel) else None for kernel in found]

    async def list_endpoints(self, *, limit: int | None = None, offset: int = 0) -> Page[EndpointRecord]:
        """Return a page of the allowed inference endpoints."""
        Page.cut((), limit=limit, offset=offset)
        endpoints: list[EndpointRecord] = []
        async for part in in_turns((await self.inventory.list_endpoints()).items):
            endpoints += filter(self.owners.has_endpoint, part)
        return Page.cut(endpoints, limit=limit, offset=offset)

    async def find_endpoints(self, endpoint_ids: Sequence[str], /) -> Sequence[EndpointRecord | None]:
        """Return the allowed endpoint of each id, in order; None for another id."""
        found = await self.inventory.find_endpoints(endpoint_ids)
        return [endpoint if endpoint is not None and self.owners.has_endpoint(endpoint) else None for endpoint in found]

    async def list_agents(self, *, limit: int | None = None, offset: int = 0) -> Page[str]:
        """Return a page of the ids of the allowed agents."""
        Page.cut((), limit=limit, offset=offset)
        ids = (await (self.candidates or self.inventory).list_agents()).items
        allowed = await self.owners.agents(ids)
        return Page.cut([id_ for id_ in ids if id_ in allowed], limit=limit, offset=offset)

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return the allowed agent of each id, in order; None for another id."""
        found = await self.inventory.find_agents(agent_ids)
        return [agent if agent is not None and self.owners.has_agent(agent) else None for agent in found]

    def _session(self, session: SessionRecord | None) -> SessionRecord | None:
        kernels = tuple(filter(self.owners.has_kernel, () if session is None else session.kernels))
        if session is None or not kernels:
            return None
        return session if kernels == session.kernels else attrs.evolve(session, kernels=kernels)
