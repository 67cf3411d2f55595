"""The records that an inventory holds while it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Self
from uuid import NAMESPACE_OID, uuid5

import attrs

from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord, SessionRecord
from statcore.ports.sink import ScrapeSample
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, UNKNOWN_OWNER

SESSIONS: Final = 300
ENDPOINTS: Final = 25
AGENTS: Final = ("i-9", "i-10", 'i-"quoted"', "I-9", "名前")
"""Names that can be sorted in several ways; the order is the inventory's own choice."""


def planted_id(kind: str, number: int) -> str:
    """Return the id of a planted object: always the same; ids of successive numbers are in no order."""
    return str(uuid5(NAMESPACE_OID, f"{kind} {number}"))


def _kernel(number: int, *, session: int) -> KernelRecord:
    return KernelRecord(
        kernel_id=planted_id("kernel", number),
        session_id=planted_id("session", session),
        # Some kernels still wait for an agent.
        agent_id=None if number % 7 == 0 else AGENTS[number % len(AGENTS)],
        user_id=planted_id("user", session % 4),
        project_id=planted_id("project", session % 3),
    )


def _sessions() -> Iterator[SessionRecord]:
    kernels = 0
    for session in range(SESSIONS):
        count = session % 3 + 1
        members = tuple(_kernel(kernels + number, session=session) for number in range(count))
        yield SessionRecord(session_id=planted_id("session", session), kernels=members)
        kernels += count


def _endpoint(number: int) -> EndpointRecord:
    replicas = tuple(
        ReplicaRecord(
            replica_id=planted_id(f"replica of {number}", replica),
            # The first has no session yet, and does not serve.
            session_id=planted_id("session", number + replica) if replica else None,
            active=bool(replica),
        )
        for replica in range(number % 4)
    )
    return EndpointRecord(
        endpoint_id=planted_id("endpoint", number),
        replicas=replicas,
        user_id=planted_id("user", number % 4),
        # Some endpoints have no known project.
        project_id=planted_id("project", number % 3) if number % 3 else None,
    )


@attrs.frozen(kw_only=True)
class InventoryDataset:
    """All sessions with their kernels, and all endpoints with their replicas, that the inventory must hold."""

    sessions: tuple[SessionRecord, ...] = attrs.field(repr=False)
    endpoints: tuple[EndpointRecord, ...] = attrs.field(repr=False)

    @classmethod
    def usual(cls) -> Self:
        """Return 300 sessions of one to three kernels on five agents, and 25 endpoints of none to three replicas."""
        return cls(sessions=tuple(_sessions()), endpoints=tuple(map(_endpoint, range(ENDPOINTS))))

    @property
    def kernels(self) -> list[KernelRecord]:
        """The kernels of all sessions."""
        return [kernel for session in self.sessions for kernel in session.kernels]

    @property
    def agent_ids(self) -> list[str]:
        """The agents that run kernels, sorted."""
        return sorted({kernel.agent_id for kernel in self.kernels if kernel.agent_id is not None})


def container_samples(kernels: Iterable[KernelRecord]) -> Iterator[ScrapeSample]:
    """Return two series of each kernel as agents export them, for an inventory that reads series."""
    for kernel in kernels:
        owners = {label: owner or UNKNOWN_OWNER for label, owner in kernel.labels.items()}
        for metric, value_type in (("mem", "current"), ("cpu_util", "current"), ("mem", "capacity")):
            yield CONTAINER_SERIES, {CONTAINER_METRIC_LABEL: metric, "value_type": value_type, **owners}, 1.0
