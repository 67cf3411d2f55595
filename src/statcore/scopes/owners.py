"""Checks of owners: which of some ids a scope allows, as an inventory knows them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from statcore.concurrency import in_turns
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, SessionRecord
from statcore.ports.inventory import OwnerInventoryPort, find_records
from statcore.scopes.scope import Scope


@attrs.frozen
class Owners:
    """Tells which objects a scope allows. An object that the inventory does not know is not allowed.

    Each method asks the inventory for all ids, allowed or not, and raises its errors, so nothing is read of an object whose
    owners cannot be checked.

    Args:
        inventory: knows the owners; the caller closes it.
        scope: what is allowed.
    """

    inventory: OwnerInventoryPort
    scope: Scope

    async def kernels_and_sessions(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of allowed kernels and sessions; an id that is both is allowed where both are."""
        kernels = await find_records(self.inventory.find_kernels, ids)
        sessions = await find_records(self.inventory.find_sessions, ids)
        is_allowed: dict[str, bool] = {}
        async for some_kernels in in_turns(list(kernels.items())):
            is_allowed.update((id_, self.has_kernel(kernel)) for id_, kernel in some_kernels)
        async for some_sessions in in_turns(list(sessions.items())):
            for id_, session in some_sessions:
                is_allowed[id_] = self.has_session(session) and is_allowed.get(id_, True)
        return {id_ for id_, allowed in is_allowed.items() if allowed}

    async def sessions(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of sessions all of whose kernels are allowed."""
        sessions = await find_records(self.inventory.find_sessions, ids)
        return {id_ for id_, session in sessions.items() if self.has_session(session)}

    async def endpoints(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of allowed endpoints."""
        endpoints = await find_records(self.inventory.find_endpoints, ids)
        return {id_ for id_, endpoint in endpoints.items() if self.has_endpoint(endpoint)}

    async def agents(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of allowed agents."""
        agents = await find_records(self.inventory.find_agents, ids)
        return {id_ for id_, agent in agents.items() if self.has_agent(agent)}

    def has_kernel(self, kernel: KernelRecord) -> bool:
        """Return whether a kernel is allowed."""
        return self.scope.includes(**kernel.labels)

    def has_session(self, session: SessionRecord) -> bool:
        """Return whether a session is allowed: it has kernels, and all of them are."""
        return bool(session.kernels) and all(map(self.has_kernel, session.kernels))

    def has_endpoint(self, endpoint: EndpointRecord) -> bool:
        """Return whether an endpoint is allowed."""
        return self.scope.includes(user_id=endpoint.user_id, project_id=endpoint.project_id)

    def has_agent(self, agent: AgentRecord) -> bool:
        """Return whether an agent is allowed."""
        return self.scope.includes(agent_id=agent.agent_id, user_id=agent.user_id, project_id=agent.project_id)
