"""Ports for diagnosis: faults of the set-up of a service that answers, and what is known of its servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@attrs.frozen(kw_only=True)
class ServerFacts:
    """What is known of a server and of the connection to it; None is not known.

    Args:
        address: where it listens, without credentials; "" if the service is one server.
        program: its program and version, such as "Valkey 8.1.1".
        clock_offset_s: its clock minus the clock of this machine, in seconds.
        clock_error_s: how far the true offset may be from `clock_offset_s`: half the time that the answer took.
        reads: what reading needs, such as "MGET of endpoints", and whether the user may do it; None if the server did not
            say so.
        writes: what writing needs, and whether the user may do it, in the same way.
        certificate_expires_s: when its TLS certificate expires, in unix seconds.
        fault: why the server does not answer, or None.
    """

    address: str = ""
    program: str | None = None
    clock_offset_s: float | None = None
    clock_error_s: float = 0.0
    reads: Mapping[str, bool | None] | None = None
    writes: Mapping[str, bool | None] | None = None
    certificate_expires_s: float | None = None
    fault: str | None = None


@runtime_checkable
class ServerFactsPort(Protocol):
    """An adapter that knows its servers' versions, clocks and permissions, for `statcore doctor`. It is optional."""

    async def server_facts(self) -> Sequence[ServerFacts]:
        """Return what is known of each server; a server that does not answer has a fault, or is left out."""
        ...
