"""Ports for diagnosis: faults of the set-up of a service that answers, and the servers that it is made of."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs


@runtime_checkable
class DiagnosisPort(Protocol):
    """An adapter that can find faults of its set-up, for `statcore doctor`. An adapter need not implement it."""

    async def diagnose(self) -> str | None:
        """Return in one line what is wrong although the server answers, and what to do; None if nothing is wrong."""
        ...


@attrs.frozen(kw_only=True)
class ServerState:
    """One of the servers that a service is made of.

    Args:
        address: where it listens, without credentials.
        role: what it is among the servers, such as "primary" or "replica of 10.0.0.1:6379".
        slots: the ranges of slots that it owns, such as "0-5460", or "" if it owns none.
        lag_bytes: how many bytes of its primary's changes a replica has not received; None if this is not known.
        fault: what is wrong with it, or None.
    """

    address: str
    role: str
    slots: str = ""
    lag_bytes: int | None = None
    fault: str | None = None


@attrs.frozen(kw_only=True)
class Topology:
    """The servers that a service is made of.

    Args:
        servers: the state of each server.
        unowned_slots: the ranges of slots without an owner, or "" if each slot has one.
    """

    servers: tuple[ServerState, ...]
    unowned_slots: str = ""


@runtime_checkable
class TopologyPort(Protocol):
    """An adapter that knows the servers of its service, for `statcore doctor`. An adapter need not implement it."""

    async def topology(self) -> Topology | None:
        """Return the servers as they are now; None for a service that is one server."""
        ...
