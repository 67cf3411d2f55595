"""Servers of a Valkey cluster in memory, whose faults are set by tests."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import pytest

from statcore.concurrency import Deadline
from statcore.errors import AccessDeniedError, StatcoreError, UnavailableError
from statcore_connection.lifetime import Lifetime
from statcore_valkey import Address, Discovery, Keyspace, RedirectError, SlotMap, WrongTypeError, discovery, fan_out
from statcore_valkey.node import Command

ELSEWHERE: Final = Address("node", 9)
"""A server that owns no slots yet."""


@contextmanager
def short_pauses(*, grace_s: float = 0.01) -> Generator[None]:
    """Make all pauses of calls shorter than the deadlines of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FIRST_PAUSE_S", "_LONGEST_PAUSE_S", "_LOOK_S", "_SLOW_S"):
            patch.setattr(fan_out, name, 0.01)
        patch.setattr(fan_out, "GRACE_S", grace_s)
        patch.setattr(discovery, "_BETWEEN_S", 0.01)
        yield


@attrs.define(kw_only=True, eq=False)
class Servers:
    """Servers of a cluster in memory.

    Args:
        owners: the right slot map.
        values: what the owner of a key has.
        faults: what is wrong with a server: "down", "hung", "denied" or "loading"; a call to a hung one fails once it is
            down.
        asking: keys that have moved already from their owner to `ELSEWHERE`, which gets their slots later.
        moving: keys of slots that move, which have not moved yet; replicas do not have them.
        wrong: keys that hold another type than a string.
        refusal: the error of each search for the servers, or None where it finds them.
    """

    owners: SlotMap
    values: Mapping[str, bytes] = attrs.field(factory=dict[str, bytes])
    faults: dict[Address, str] = attrs.field(factory=dict[Address, str])
    asking: frozenset[str] = frozenset()
    moving: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    refusal: StatcoreError | None = None
    received: list[tuple[Address, Command]] = attrs.field(factory=list[tuple[Address, Command]], init=False)
    exchanges: int = attrs.field(default=0, init=False)
    searches: int = attrs.field(default=0, init=False)
    harmed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    """Set when the fault of a hung server has changed."""

    def keyspace(self, known: SlotMap | None, *, reads_replicas: bool = False) -> Keyspace:
        """Return a keyspace that has a map, perhaps an old one, and finds the right one."""

        async def find(_: SlotMap | None) -> SlotMap:
            self.searches += 1
            if self.refusal is not None:
                raise self.refusal
            return self.owners

        return Keyspace(
            name="the servers",
            discovery=Discovery(find=find, map=known),
            new_node=lambda address, is_replica: MemoryNode(self, address, is_replica=is_replica),
            lifetime=Lifetime(),
            reads_replicas=reads_replicas,
        )


@attrs.frozen(eq=False)
class MemoryNode:
    """A node of `Servers`."""

    servers: Servers
    address: Address
    is_replica: bool = attrs.field(default=False, kw_only=True)
    is_cluster: bool = True

    @property
    def service(self) -> str:
        """The address."""
        return str(self.address)

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Answer as a server of a cluster does."""
        deadline.waiting_for = f"an answer from {self.service}"
        self.servers.exchanges += 1
        await asyncio.sleep(0)
        fault = self.servers.faults.get(self.address)
        while fault == "hung":
            await self.servers.harmed.wait()
            fault = self.servers.faults.get(self.address)
        if fault == "down":
            raise UnavailableError(f"{self.service} is down")
        answers: list[Any] = []
        is_asking = False
        for command in commands:
            answers.append(b"OK" if command == ("ASKING",) else self._answer(command, is_asking=is_asking))
            is_asking = command == ("ASKING",)
        return answers

    def _answer(self, command: Command, *, is_asking: bool) -> Any:  # noqa: PLR0911 - a line for each answer
        if command == ("PING",):
            return b"PONG"
        name, key = command[0], str(command[1])
        self.servers.received.append((self.address, command))
        owner = self.servers.owners.owner(key)
        assert owner is not None
        if self.address == owner.primary or (self.is_replica and self.address in owner.replicas):
            has_gone = key in self.servers.asking or (self.is_replica and key in self.servers.moving)
            if has_gone and self.address not in self.servers.faults:
                return RedirectError("elsewhere", address=ELSEWHERE, is_ask=True)
        elif not (is_asking and self.address == ELSEWHERE):
            return RedirectError("moved", address=owner.primary, is_ask=False)
        if (fault := self.servers.faults.get(self.address)) is not None:
            return AccessDeniedError("denied") if fault == "denied" else UnavailableError(f"{self.service} loads")
        if name == "PTTL":
            return 1_000
        if key in self.servers.wrong:
            return b"list" if name == "TYPE" else WrongTypeError("not a string")
        if name == "GET":
            has_come = self.address != ELSEWHERE or key not in self.servers.moving
            return self.servers.values.get(key) if has_come and not self.is_replica else None
        return b"OK" if name == "SET" else 1

    async def aclose(self) -> None:
        """Do nothing."""
