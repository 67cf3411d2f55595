"""A simulated Valkey that has replicas or is one: writes reach replicas later, and some never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from random import Random
from typing import Any, Final, TypeAlias

import attrs

from statcore.testing.simulation.resp import Failure, Reply, Words
from statcore.testing.simulation.valkey import Session, SimulatedValkey
from statcore.testing.simulation.valkey_commands import Value

OnChange: TypeAlias = Callable[["bytes | None"], object]
"""Called with a key of database 0 that has changed, or with None when all may have."""

_LOADING_SHARE: Final = 0.5
_LONGEST_LOADING_S: Final = 0.2


@attrs.define(eq=False)
class Peer(SimulatedValkey):
    """A server that other servers watch.

    Attributes:
        side: servers hear from those of the same side; clients reach all.
    """

    side: int = attrs.field(init=False, default=0)

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port at which it is found."""
        return self.name, self.port

    @property
    def is_reachable(self) -> bool:
        """Whether other servers of its side hear from it."""
        return self.is_running and not self.is_hung and not self.host.path.is_cut

    def reaches(self, other: Peer) -> bool:
        """Return whether it hears from another server."""
        return self.is_reachable and other.is_reachable and other.side == self.side


@attrs.define(eq=False)
class ReplicatedValkey(Peer):
    """A server that is a primary, or a replica of another one.

    A replica without a link to its primary answers from the data that it has, which gets old. Once they reach each other
    again, it gets all data.

    Args:
        random: chooses how long writes and data take.
        peers: all servers of the topology, this one among them.
        on_change: told about changes of keys.

    Attributes:
        primary: the server that it follows, or None for a primary.
        is_linked: whether the writes of its primary reach it.
        has_synced: whether it has had the data of its primary since it started.
        offset: how many writes it has.
        lag_s: the shortest and the longest time until a replica has a write.
        sync_s: the shortest and the longest time until a replica has all data.
        is_withholding: whether it sends no data to new replicas.
    """

    random: Random = attrs.field(kw_only=True)
    peers: Sequence[ReplicatedValkey] = attrs.field(kw_only=True, repr=False)
    on_change: OnChange = attrs.field(default=lambda _: None, kw_only=True, repr=False)
    primary: ReplicatedValkey | None = attrs.field(init=False, default=None, repr=False)
    is_linked: bool = attrs.field(init=False, default=False)
    has_synced: bool = attrs.field(init=False, default=False)
    offset: int = attrs.field(init=False, default=0)
    lag_s: tuple[float, float] = attrs.field(init=False, default=(0.0005, 0.005))
    sync_s: tuple[float, float] = attrs.field(init=False, default=(0.05, 0.5))
    is_withholding: bool = attrs.field(init=False, default=False)
    _link: int = attrs.field(init=False, default=0)
    """The number of the link to the primary; what was sent over an earlier one is lost."""
    _is_syncing: bool = attrs.field(init=False, default=False)
    _last_arrival_s: float = attrs.field(init=False, default=0.0)

    def replicas(self) -> Iterator[ReplicatedValkey]:
        """Return the servers that follow it."""
        return (peer for peer in self.peers if peer.primary is self)

    def follow(self, primary: ReplicatedValkey | None) -> None:
        """Become a replica, or with None a primary, of which connections know only by what is answered."""
        if primary is not self.primary:
            self.network.record(f"{self.name} follows {primary.name if primary else 'nobody'}")
            self.primary = primary
            self.is_read_only = primary is not None
            self._lose_links()
            self.on_change(None)

    def unlink(self) -> None:
        """Lose the link to the primary, and all writes that are on their way."""
        self.is_linked = self._is_syncing = False
        self._link += 1

    def tend(self) -> None:
        """Keep the link to the primary, or make it again; to be called again and again."""
        primary = self.primary
        if primary is None or not self.is_reachable:
            return
        if not self.reaches(primary):
            if self.is_linked or self._is_syncing:
                self.network.record(f"{self.name} loses its link to {primary.name}")
                self.unlink()
        elif not (self.is_linked or self._is_syncing or primary.is_withholding or primary.primary is not None):
            self._is_syncing = True
            delay_s = self.random.uniform(*self.sync_s)
            asyncio.get_running_loop().call_later(delay_s, self._take_all, primary, self._link)

    def crash(self) -> None:
        """End at once."""
        super().crash()
        self._lose_links()
        self.on_change(None)

    def restart(self, *, with_data: bool) -> None:
        """Start again, in the role that it had."""
        super().restart(with_data=with_data)
        self._lose_links()
        if not with_data:
            self.offset = 0
            self.has_synced = False
        self.on_change(None)

    def hang(self) -> None:
        """Answer nothing until `wake`."""
        super().hang()
        self.on_change(None)

    def wake(self) -> None:
        """Answer what has been asked meanwhile, and go on."""
        self.is_hung = False
        self.on_change(None)
        super().wake()

    def heal(self) -> None:
        """End every fault of the process and of its paths to others; its role stays."""
        super().heal()
        self.is_read_only: bool = self.primary is not None
        self.is_withholding = False
        self.side = 0
        self.on_change(None)

    def change(self, key: bytes | None, *, number: int = 0) -> None:
        """Send the value of a key of a database, or with None all data, to the replicas."""
        self.offset += 1
        if not number:
            self.on_change(key)
        value = None if key is None else self.databases[number].values.get(key)
        for replica in self.replicas():
            if replica.is_linked:
                replica.receive(key, copy(value), number=number)

    def receive(self, key: bytes | None, value: Value | None, *, number: int) -> None:
        """Apply a write of the primary later, after those before it."""
        self._last_arrival_s = max(self._last_arrival_s, self.time_s() + self.random.uniform(*self.lag_s))
        asyncio.get_running_loop().call_at(self._last_arrival_s, self._take, self._link, number, key, value)

    def answer(self, words: Words, session: Session) -> Reply:
        """Return the reply to a command; a write goes to the replicas as well."""
        reply = super().answer(words, session)
        command = self.commands.get(words[0].decode(errors="replace").upper())
        if command is not None and command.is_write and not isinstance(reply, Failure):
            number = next(number for number, database in enumerate(self.databases) if database is session.database)
            keys: list[bytes] | list[None] = command.keys(words) or [None]
            for key in keys:
                self.change(key, number=number)
        return reply

    def information(self) -> dict[str, dict[str, Any]]:
        """Return the sections of INFO, and the fields of each."""
        replication: dict[str, Any]
        if self.primary is None:
            linked = sum(replica.is_linked for replica in self.replicas())
            replication = {"role": "master", "connected_slaves": linked, "master_repl_offset": self.offset}
        else:
            replication = {
                "role": "slave",
                "master_host": self.primary.name,
                "master_port": self.primary.port,
                "master_link_status": "up" if self.is_linked else "down",
                "slave_repl_offset": self.offset,
            }
        return {**super().information(), "replication": replication}

    def role(self) -> Reply:
        """Return the answer to ROLE."""
        if self.primary is None:
            linked = (replica for replica in self.replicas() if replica.is_linked)
            return [b"master", self.offset, [[of.name.encode(), b"%d" % of.port, b"%d" % of.offset] for of in linked]]
        state = b"connected" if self.is_linked else b"connect"
        return [b"slave", self.primary.name.encode(), self.primary.port, state, self.offset]

    def _lose_links(self) -> None:
        self.unlink()
        for replica in self.replicas():
            replica.unlink()

    def _take(self, link: int, number: int, key: bytes | None, value: Value | None) -> None:
        """Apply a write of the primary."""
        if link != self._link or not self.is_running or self.primary is None:
            return
        if not self.reaches(self.primary):
            self.unlink()
            return
        self.offset += 1
        if key is None:
            self.flush()
        elif value is None:
            self.databases[number].values.pop(key, None)
        else:
            self.databases[number].values[key] = value
        if not number:
            self.on_change(key)

    def _take_all(self, primary: ReplicatedValkey, link: int) -> None:
        """Replace the data by those of the primary."""
        if link != self._link:
            return
        self._is_syncing = False
        if not self.reaches(primary) or primary.is_loading:
            return
        self.network.record(f"{self.name} has all data of {primary.name}")
        for own, other in zip(self.databases, primary.databases, strict=True):
            own.values.clear()
            own.values.update({key: copy(value) for key, value in other.values.items()})
        self.offset = primary.offset
        self.is_linked = self.has_synced = True
        if self.random.random() < _LOADING_SHARE:
            self.is_loading = True
            asyncio.get_running_loop().call_later(self.random.uniform(0, _LONGEST_LOADING_S), self._load)
        self.on_change(None)

    def _load(self) -> None:
        self.is_loading: bool = False
        self.on_change(None)
