"""The inventory in memory: kernels and endpoints are registered; sessions and agents follow from them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Generic, TypeVar

import attrs

from statcore.errors import InputError
from statcore.model import id_text
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, ReplicaRecord, SessionRecord
from statcore.model.text import check_text, id_texts

_T = TypeVar("_T")
_KERNEL_ID: Final = attrgetter("kernel_id")
_REPLICA_ID: Final = attrgetter("replica_id")


@attrs.frozen(eq=False)
class _ById(Generic[_T]):
    """Records by id, and the ids in order, so that a page needs no sorting."""

    values: dict[str, _T] = attrs.field(factory=dict[str, _T], init=False)
    ids: list[str] = attrs.field(factory=list[str], init=False)

    def put(self, id_: str, value: _T) -> None:
        if id_ not in self.values:
            insort(self.ids, id_)
        self.values[id_] = value

    def drop(self, id_: str) -> _T | None:
        if id_ in self.values:
            del self.ids[bisect_left(self.ids, id_)]
        return self.values.pop(id_, None)

    def page(self, limit: int | None, offset: int) -> Page[_T]:
        ids = Page.cut(self.ids, limit=limit, offset=offset)
        return Page(items=[self.values[id_] for id_ in ids.items], total_count=ids.total_count)

    def find(self, ids: Sequence[str]) -> list[_T | None]:
        return [self.values.get(id_) for id_ in id_texts(ids)]


@attrs.frozen(eq=False)
class MemoryInventory:
    """An `OwnerInventoryPort`, `KernelInventoryPort` and `InventorySinkPort` in this process, for one event loop or thread.

    A session exists as long as one of its kernels does, and an agent as long as it runs a kernel. All records are in the
    order of their ids.
    """

    # All kept up to date by writes, since reads are more frequent.
    _kernels: _ById[KernelRecord] = attrs.field(factory=_ById[KernelRecord], init=False, repr=False)
    _sessions: _ById[SessionRecord] = attrs.field(factory=_ById[SessionRecord], init=False, repr=False)
    _kernel_counts: _ById[int] = attrs.field(factory=_ById[int], init=False, repr=False)
    _endpoints: _ById[EndpointRecord] = attrs.field(factory=_ById[EndpointRecord], init=False, repr=False)

    def register_kernel(self, kernel: KernelRecord, /) -> None:
        """Add a kernel, or replace its record; ids are kept as canonical text.

        Raises:
            InputError: an id that is not a UUID, or an agent id that is empty or not text.
        """
        kernel = KernelRecord(
            kernel_id=id_text(kernel.kernel_id),
            session_id=_known_id(kernel.session_id),
            agent_id=_agent(kernel.agent_id),
            user_id=_known_id(kernel.user_id),
            project_id=_known_id(kernel.project_id),
            started_at=kernel.started_at,
        )
        self.forget_kernel(kernel.kernel_id)
        self._kernels.put(kernel.kernel_id, kernel)
        if kernel.session_id is not None:
            others = self._kernels_of(kernel.session_id)
            at = bisect_left(others, kernel.kernel_id, key=_KERNEL_ID)
            self._put_session(kernel.session_id, (*others[:at], kernel, *others[at:]))
        if kernel.agent_id is not None:
            self._count(kernel.agent_id, 1)

    def forget_kernel(self, kernel_id: str, /) -> None:
        """Remove a kernel; an unknown id is ignored.

        Raises:
            InputError: an id that is not a UUID.
        """
        kernel = self._kernels.drop(id_text(kernel_id))
        if kernel is None:
            return
        if kernel.session_id is not None:
            remaining = tuple(other for other in self._kernels_of(kernel.session_id) if other is not kernel)
            self._put_session(kernel.session_id, remaining)
        if kernel.agent_id is not None:
            self._count(kernel.agent_id, -1)

    def register_endpoint(self, endpoint: EndpointRecord, /) -> None:
        """Add an endpoint with its replicas, or replace it as a whole; ids are kept as canonical text.

        Raises:
            InputError: an id that is not a UUID, or a replica twice.
        """
        replicas = tuple(
            ReplicaRecord(
                replica_id=id_text(replica.replica_id), session_id=_known_id(replica.session_id), active=replica.active
            )
            for replica in endpoint.replicas
        )
        endpoint_id = id_text(endpoint.endpoint_id)
        if len({replica.replica_id for replica in replicas}) < len(replicas):
            raise InputError(f"endpoint {endpoint_id} has a replica twice")
        in_order = tuple(sorted(replicas, key=_REPLICA_ID))
        record = EndpointRecord(
            endpoint_id=endpoint_id,
            replicas=in_order,
            user_id=_known_id(endpoint.user_id),
            project_id=_known_id(endpoint.project_id),
            started_at=endpoint.started_at,
        )
        self._endpoints.put(endpoint_id, record)

    def forget_endpoint(self, endpoint_id: str, /) -> None:
        """Remove an endpoint; an unknown id is ignored.

        Raises:
            InputError: an id that is not a UUID.
        """
        self._endpoints.drop(id_text(endpoint_id))

    async def list_sessions(self, *, limit: int | None = None, offset: int = 0) -> Page[SessionRecord]:
        """Return a page of the sessions, each with all of its kernels.

        Raises:
            InputError: `limit` or `offset` is negative.
        """
        return self._sessions.page(limit, offset)

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """Return the session of each id, in order; None for an unknown id.

        Raises:
            InputError: an id that is not a UUID.
        """
        return self._sessions.find(session_ids)

    async def list_kernels(self, *, limit: int | None = None, offset: int = 0) -> Page[KernelRecord]:
        """Return a page of the kernels, with those that have no session.

        Raises:
            InputError: `limit` or `offset` is negative.
        """
        return self._kernels.page(limit, offset)

    async def find_kernels(self, kernel_ids: Sequence[str], /) -> Sequence[KernelRecord | None]:
        """Return the kernel of each id, in order; None for an unknown id.

        Raises:
            InputError: an id that is not a UUID.
        """
        return self._kernels.find(kernel_ids)

    async def list_endpoints(self, *, limit: int | None = None, offset: int = 0) -> Page[EndpointRecord]:
        """Return a page of the endpoints, each with all of its replicas.

        Raises:
            InputError: `limit` or `offset` is negative.
        """
        return self._endpoints.page(limit, offset)

    async def find_endpoints(self, endpoint_ids: Sequence[str], /) -> Sequence[EndpointRecord | None]:
        """Return the endpoint of each id, in order; None for an unknown id.

        Raises:
            InputError: an id that is not a UUID.
        """
        return self._endpoints.find(endpoint_ids)

    async def list_agents(self, *, limit: int | None = None, offset: int = 0) -> Page[str]:
        """Return a page of the ids of the agents that run kernels.

        Raises:
            InputError: `limit` or `offset` is negative.
        """
        return Page.cut(self._kernel_counts.ids, limit=limit, offset=offset)

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return each agent that runs kernels, in order; None for another id. Its owners are not known."""
        return [AgentRecord(agent_id=id_) if id_ in self._kernel_counts.values else None for id_ in agent_ids]

    def _kernels_of(self, session_id: str) -> tuple[KernelRecord, ...]:
        session = self._sessions.values.get(session_id)
        return () if session is None else session.kernels

    def _put_session(self, session_id: str, kernels: tuple[KernelRecord, ...]) -> None:
        if kernels:
            self._sessions.put(session_id, SessionRecord(session_id=session_id, kernels=kernels))
        else:
            self._sessions.drop(session_id)

    def _count(self, agent_id: str, change: int) -> None:
        count = self._kernel_counts.values.get(agent_id, 0) + change
        if count:
            self._kernel_counts.put(agent_id, count)
        else:
            self._kernel_counts.drop(agent_id)


def _known_id(value: str | None) -> str | None:
    return None if value is None else id_text(value)


def _agent(value: str | None) -> str | None:
    if value == "":
        raise InputError("agent_id is empty; expected the id of an agent, or None if the agent is not known")
    return None if value is None else check_text(value, what="agent_id")
