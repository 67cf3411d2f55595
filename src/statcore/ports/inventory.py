"""Port of inventories: which sessions, kernels, endpoints, replicas and agents exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from statcore.concurrency import in_turns
from statcore.errors import ProtocolError
from statcore.model.inventory import AgentRecord, EndpointRecord, KernelRecord, Page, SessionRecord
from statcore.ports.capabilities import as_port

_Record = TypeVar("_Record")


@runtime_checkable
class InventoryPort(Protocol):
    """A source that knows which objects exist: the manager's own database, or one of statcore's adapters.

    Records, and the kernels and replicas in them, are in a stable order, so that pages neither overlap nor leave out
    objects that do not change in between. `limit` None means all; a negative `limit` or `offset` raises `InputError`; a
    page beyond the end is empty and still has the total. An inventory that cannot know a kind of object raises
    `UnsupportedError` and does not answer that there is none. An inventory that cannot be reached raises
    `UnavailableError` or `TimedOutError`. Ids in arguments and in records are canonical text.
    """

    async def list_sessions(self, *, limit: int | None = None, offset: int = 0) -> Page[SessionRecord]:
        """Return a page of the sessions, each with all of its kernels."""
        ...

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """Return the session of each id, in order and including duplicates; None for one that does not exist."""
        ...

    async def list_endpoints(self, *, limit: int | None = None, offset: int = 0) -> Page[EndpointRecord]:
        """Return a page of the inference endpoints, each with all of its replicas."""
        ...

    async def find_endpoints(self, endpoint_ids: Sequence[str], /) -> Sequence[EndpointRecord | None]:
        """Return the endpoint of each id, in order and including duplicates; None for one that does not exist."""
        ...

    async def list_agents(self, *, limit: int | None = None, offset: int = 0) -> Page[str]:
        """Return a page of the ids of the agents, each once; agents without kernels may be left out."""
        ...


@runtime_checkable
class OwnerInventoryPort(InventoryPort, Protocol):
    """An inventory that also finds kernels and agents by id: `statcore.scopes.confine` needs one to check their owners.

    An endpoint, and a kernel, has the owners that its record names. An owner that is None is not known, so the object is
    outside every scope with that label.
    """

    async def find_kernels(self, kernel_ids: Sequence[str], /) -> Sequence[KernelRecord | None]:
        """Return the kernel of each id, in order and including duplicates; None for one that does not exist."""
        ...

    async def find_agents(self, agent_ids: Sequence[str], /) -> Sequence[AgentRecord | None]:
        """Return the agent of each id, in order and including duplicates; None for one that does not exist."""
        ...


def owner_inventory(inventory: InventoryPort) -> OwnerInventoryPort | None:
    """Return an inventory as an `OwnerInventoryPort`; None if it does not find kernels and agents by id."""
    return as_port(inventory, OwnerInventoryPort)


@runtime_checkable
class KernelInventoryPort(InventoryPort, Protocol):
    """An inventory that lists kernels by themselves, so that a kernel without a session is listed, too."""

    async def list_kernels(self, *, limit: int | None = None, offset: int = 0) -> Page[KernelRecord]:
        """Return a page of all kernels, each once."""
        ...


async def list_kernels(inventory: InventoryPort, *, limit: int | None = None, offset: int = 0) -> Page[KernelRecord]:
    """Return a page of the kernels of an inventory; one that is not a `KernelInventoryPort` knows those of sessions only.

    Raises:
        InputError: `limit` or `offset` is negative.
        StatcoreError: the inventory failed, as `InventoryPort` says.
    """
    if (lister := as_port(inventory, KernelInventoryPort)) is not None:
        return await lister.list_kernels(limit=limit, offset=offset)
    Page.cut((), limit=limit, offset=offset)  # raises before anything is read
    kernels: dict[str, KernelRecord] = {}  # a kernel may be in two sessions for a while
    async for part in in_turns((await inventory.list_sessions()).items):
        kernels.update((kernel.kernel_id, kernel) for session in part for kernel in session.kernels)
    return Page.cut(list(kernels.values()), limit=limit, offset=offset)


async def list_agent_records(inventory: InventoryPort, *, limit: int | None = None, offset: int = 0) -> Page[AgentRecord]:
    """Return a page of the agents of an inventory; nothing but their ids is known if it does not find agents by id.

    Raises:
        InputError: `limit` or `offset` is negative.
        ProtocolError: the inventory did not return one record or None for each id.
        StatcoreError: the inventory failed, as `InventoryPort` says.
    """
    page, known = await inventory.list_agents(limit=limit, offset=offset), owner_inventory(inventory)
    records = {} if known is None else await find_records(known.find_agents, page.items)
    return Page(items=[records.get(id_) or AgentRecord(agent_id=id_) for id_ in page.items], total_count=page.total_count)


async def find_records(
    find: Callable[[Sequence[str]], Awaitable[Sequence[_Record | None]]], ids: Iterable[str]
) -> dict[str, _Record]:
    """Return by id the records that exist.

    Args:
        find: `find_sessions` or another such method of an inventory; it gets each id once, and is not called without ids.
        ids: in canonical text, with or without duplicates.

    Raises:
        ProtocolError: the inventory did not return one record or None for each id.
        StatcoreError: the inventory failed, as `InventoryPort` says.
    """
    distinct = list(dict.fromkeys(ids))
    records = await find(distinct) if distinct else ()
    if len(records) != len(distinct):
        raise ProtocolError(f"the inventory answered {len(records)} records for {len(distinct)} ids")
    return {id_: record for id_, record in zip(distinct, records, strict=True) if record is not None}
