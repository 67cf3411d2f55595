"""Records of an inventory: sessions, kernels, endpoints, replicas and agents, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import attrs

from statcore.errors import InputError

_Record = TypeVar("_Record")
_Cut = TypeVar("_Cut")


def _check_aware(_: object, field: attrs.Attribute[Any], value: datetime | None) -> None:
    if value is not None and value.utcoffset() is None:
        raise InputError(f"{field.name} must be a time with a zone, not {value.isoformat()}")


@attrs.frozen(kw_only=True)
class KernelRecord:
    """A kernel, the ids of its owners, and when it started (aware); None for what is not known.

    Raises:
        InputError: `started_at` has no zone.
    """

    kernel_id: str
    session_id: str | None = None
    agent_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    started_at: datetime | None = attrs.field(default=None, validator=_check_aware)

    @property
    def labels(self) -> dict[str, str | None]:
        """The labels of its series: its own id and the ids of its owners."""
        return {
            "kernel_id": self.kernel_id,
            "session_id": self.session_id,
            "agent_id": self.agent_id,
            "user_id": self.user_id,
            "project_id": self.project_id,
        }


@attrs.frozen(kw_only=True)
class SessionRecord:
    """A session with its kernels, in a stable order."""

    session_id: str
    kernels: tuple[KernelRecord, ...] = ()

    @property
    def started_at(self) -> datetime | None:
        """When the first of its kernels started (aware); None if that is not known of any kernel."""
        return min((kernel.started_at for kernel in self.kernels if kernel.started_at is not None), default=None)


@attrs.frozen(kw_only=True)
class ReplicaRecord:
    """A replica of an inference endpoint: its session, None if not known, and whether it serves requests."""

    replica_id: str
    session_id: str | None = None
    active: bool = True


@attrs.frozen(kw_only=True)
class EndpointRecord:
    """An inference endpoint with its replicas, in a stable order, its owners, and when it started (aware).

    Raises:
        InputError: `started_at` has no zone.
    """

    endpoint_id: str
    replicas: tuple[ReplicaRecord, ...] = ()
    user_id: str | None = None
    project_id: str | None = None
    started_at: datetime | None = attrs.field(default=None, validator=_check_aware)

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The known sessions of its replicas, in their order."""
        return tuple(replica.session_id for replica in self.replicas if replica.session_id is not None)


@attrs.frozen(kw_only=True)
class AgentRecord:
    """An agent, and when it started (aware); its owners are None for an agent that belongs to nobody or to everybody.

    Raises:
        InputError: `started_at` has no zone.
    """

    agent_id: str
    user_id: str | None = None
    project_id: str | None = None
    started_at: datetime | None = attrs.field(default=None, validator=_check_aware)


@attrs.frozen(kw_only=True)
class Page(Generic[_Record]):
    """A page of records, in a stable order, and the number of all records."""

    items: Sequence[_Record]
    total_count: int

    @staticmethod
    def cut(records: Sequence[_Cut], *, limit: int | None, offset: int) -> Page[_Cut]:
        """Return a page of records.

        Args:
            records: all records.
            limit: how many records the page has at most; None means all.
            offset: the position of its first record.

        Raises:
            InputError: `limit` or `offset` is negative.
        """
        if offset < 0 or (limit is not None and limit < 0):
            raise InputError(f"limit and offset must not be negative: limit {limit}, offset {offset}")
        end = None if limit is None else offset + limit
        return Page(items=records[offset:end], total_count=len(records))
