"""The inventory in memory: ids and endpoints; tests/property has sessions and agents, which follow from kernels."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import attrs
import pytest

from statcore.errors import InputError
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord, SessionRecord
from statcore_memory import MemoryInventory

KERNEL, OTHER, SESSION, NEXT_SESSION = sorted(str(uuid4()) for _ in range(4))
RECORD = KernelRecord(kernel_id=KERNEL, session_id=SESSION, agent_id="i-1", user_id=str(uuid4()), project_id=str(uuid4()))


async def listed(inventory: MemoryInventory) -> tuple[list[Any], list[Any], list[Any]]:
    """Return all sessions, agents and endpoints."""
    pages = await inventory.list_sessions(), await inventory.list_agents(), await inventory.list_endpoints()
    sessions, agents, endpoints = (list(page.items) for page in pages)
    return sessions, agents, endpoints


async def test_ids_are_canonical_whatever_their_spelling() -> None:
    """A kernel is found and removed by any spelling of its id."""
    inventory = MemoryInventory()
    inventory.register_kernel(RECORD)
    inventory.register_kernel(attrs.evolve(RECORD, kernel_id=KERNEL.upper(), session_id=f"{{{SESSION}}}"))

    (found,) = await inventory.find_sessions([SESSION.replace("-", "")])
    assert SessionRecord(session_id=SESSION, kernels=(RECORD,)) == found

    inventory.forget_kernel(f"urn:uuid:{KERNEL}")
    assert ([], [], []) == await listed(inventory)


@pytest.mark.parametrize(
    ("owner", "value"),
    [
        ("kernel_id", "k"),
        ("session_id", "undefined"),
        ("user_id", ""),
        ("project_id", 7),
        ("agent_id", ""),
        ("agent_id", "\ud800"),
        ("agent_id", 7),
    ],
)
async def test_a_bad_id_is_refused_and_changes_nothing(owner: str, value: Any) -> None:
    """The former record of the kernel stays."""
    inventory = MemoryInventory()
    inventory.register_kernel(RECORD)
    before = await listed(inventory)

    with pytest.raises(InputError):
        inventory.register_kernel(attrs.evolve(RECORD, **{"session_id": NEXT_SESSION, owner: value}))

    assert before == await listed(inventory)


async def test_finding_refuses_a_bad_id() -> None:
    """Such text is an error, not an object that does not exist."""
    inventory = MemoryInventory()
    with pytest.raises(InputError, match="'all'"):
        await inventory.find_sessions(["all"])
    with pytest.raises(InputError, match="'all'"):
        await inventory.find_endpoints(["all"])


async def test_an_endpoint_is_replaced_as_a_whole() -> None:
    """Its replicas are in the order of their ids, which are canonical."""
    inventory = MemoryInventory()
    active, idle = ReplicaRecord(replica_id=KERNEL, session_id=SESSION), ReplicaRecord(replica_id=OTHER, active=False)
    spelled = attrs.evolve(active, replica_id=KERNEL.upper(), session_id=SESSION.upper())
    inventory.register_endpoint(EndpointRecord(endpoint_id=SESSION, replicas=(idle,)))
    inventory.register_endpoint(EndpointRecord(endpoint_id=SESSION.upper(), replicas=(idle, spelled)))

    expected = EndpointRecord(endpoint_id=SESSION, replicas=(active, idle))
    assert ([], [], [expected]) == await listed(inventory)
    assert [None, expected] == await inventory.find_endpoints([OTHER, SESSION])

    inventory.forget_endpoint(SESSION.upper())
    inventory.forget_endpoint(SESSION)
    assert ([], [], []) == await listed(inventory)


async def test_an_endpoint_has_a_replica_once() -> None:
    """A replica that counts twice would lead to wrong scaling."""
    inventory = MemoryInventory()
    twice = (ReplicaRecord(replica_id=KERNEL), ReplicaRecord(replica_id=KERNEL.upper()))
    with pytest.raises(InputError, match=f"endpoint {SESSION} has a replica twice"):
        inventory.register_endpoint(EndpointRecord(endpoint_id=SESSION, replicas=twice))
    assert ([], [], []) == await listed(inventory)


async def test_a_page_stays_as_it_was() -> None:
    """Later changes do not appear in it."""
    inventory = MemoryInventory()
    inventory.register_kernel(RECORD)
    sessions, agents = await inventory.list_sessions(), await inventory.list_agents()

    inventory.register_kernel(KernelRecord(kernel_id=OTHER, session_id=SESSION, agent_id="i-2"))

    assert [SessionRecord(session_id=SESSION, kernels=(RECORD,))] == list(sessions.items)
    assert ["i-1"] == list(agents.items)
