"""Simulated sentinels: they watch a primary and its replicas, name the primary to clients, and replace it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import attrs

from statcore.testing.simulation.network import Network
from statcore.testing.simulation.resp import Failure, Raw, Reply, Words
from statcore.testing.simulation.valkey import Session
from statcore.testing.simulation.valkey_commands import Command
from statcore.testing.simulation.valkey_replication import OnChange, Peer, ReplicatedValkey

PRIMARY: Final = "mymaster"
"""The name of the primary."""
PORT: Final = 26_379
_TICK_S: Final = 0.2
"""How often sentinels ask whether a server is there."""
_INFO_S: Final = 10.0
"""How often they ask for its role."""
_HASTY_INFO_S: Final = 1.0
"""How often, while the primary is away."""
_HELLO_SHARE: Final = 0.2
"""How often a sentinel hears of the decisions of another, as a share of the ticks."""
_ELECTION_S: Final = 1.0
"""The longest time until they agree on who replaces the primary."""
_AGAIN_S: Final = 5.0
"""How long they wait after a try without a replica that could take over."""
_PATIENCE_S: Final = 8.0
"""How long a server may say that it has another role than they know, until they change it."""
_NO_LIST: Final = Raw(b"*-1\r\n")
_KEPT: Final = ("PING", "AUTH", "HELLO", "CLIENT", "QUIT", "INFO", "ROLE")


@attrs.define(eq=False)
class _Seen:
    """What a sentinel knows of a server.

    Attributes:
        server: the server.
        heard_s: when it answered last.
        asked_s: when it told its role last.
        is_primary: whether it said that it is a primary.
        is_linked: whether it said that it hears from its primary.
        wrong_s: since when its role is not the one that it should have, or None.
    """

    server: ReplicatedValkey
    heard_s: float
    asked_s: float
    is_primary: bool
    is_linked: bool = True
    wrong_s: float | None = None


@attrs.define(eq=False)
class SimulatedSentinel(Peer):
    """A sentinel.

    Args:
        servers: the servers that it watches.
        primary: the server that it names.
        down_after_s: how long a server is silent before it counts as away.

    Attributes:
        epoch: how many decisions it knows of; later ones win.
    """

    port: int = PORT
    servers: list[ReplicatedValkey] = attrs.field(kw_only=True, repr=False)
    primary: ReplicatedValkey = attrs.field(kw_only=True, repr=False)
    down_after_s: float = attrs.field(kw_only=True)
    epoch: int = attrs.field(init=False, default=0)
    _seen: dict[str, _Seen] = attrs.field(init=False, factory=dict[str, "_Seen"], repr=False)

    def __attrs_post_init__(self) -> None:
        """Have the commands of a sentinel only."""
        super().__attrs_post_init__()
        self.commands: dict[str, Command] = {name: self.commands[name] for name in _KEPT} | {
            "SENTINEL": Command(_sentinel, -2)
        }
        for server in self.servers:
            self._seen[server.name] = _Seen(server, self.time_s(), self.time_s(), server is self.primary)

    def role(self) -> Reply:
        """Return the answer to ROLE."""
        return [b"sentinel", [PRIMARY.encode()]]

    def information(self) -> dict[str, dict[str, Any]]:
        """Return the sections of INFO, and the fields of each."""
        return {"server": {**super().information()["server"], "server_mode": "sentinel"}}

    def restart(self, *, with_data: bool) -> None:
        """Start again; it keeps what it knows in a file."""
        super().restart(with_data=with_data)
        for seen in self._seen.values():
            seen.heard_s = self.time_s()

    def watch(self) -> None:
        """Ask every server whether it is there, and sometimes for its role."""
        now_s = self.time_s()
        is_hasty = self.misses(self.primary)
        for seen in self._seen.values():
            if not self.reaches(seen.server):
                continue
            seen.heard_s = now_s
            if now_s >= seen.asked_s + (_HASTY_INFO_S if is_hasty else _INFO_S):
                seen.asked_s = now_s
                seen.is_primary, seen.is_linked = seen.server.primary is None, seen.server.is_linked
            is_right = seen.server.primary is (None if seen.server is self.primary else self.primary)
            seen.wrong_s = None if is_right else seen.wrong_s or now_s

    def misses(self, server: ReplicatedValkey) -> bool:
        """Return whether a server has been silent for too long, or is the primary and has called itself a replica."""
        now_s, seen = self.time_s(), self._seen[server.name]
        is_replica = server is self.primary and seen.wrong_s is not None
        return now_s - seen.heard_s > self.down_after_s or (
            is_replica and now_s - (seen.wrong_s or 0.0) > self.down_after_s + 2 * _INFO_S
        )

    def decide(self, primary: ReplicatedValkey, epoch: int) -> None:
        """Name another primary from now on."""
        self.network.record(f"{self.name} names {primary.name}")
        self.primary, self.epoch = primary, epoch
        for seen in self._seen.values():
            seen.asked_s, seen.is_primary = self.time_s(), seen.server is primary

    def candidates(self) -> list[ReplicatedValkey]:
        """Return the servers that may become the primary, with the most data first."""
        able = [
            seen.server
            for seen in self._seen.values()
            if self.reaches(seen.server) and seen.server is not self.primary and seen.server.primary is not None
        ]
        return sorted(able, key=lambda server: -server.offset)

    def wrong(self) -> Iterator[ReplicatedValkey]:
        """Return the servers that have had another role than they should for too long."""
        now_s = self.time_s()
        for seen in self._seen.values():
            is_late = seen.wrong_s is not None and now_s > seen.wrong_s + _PATIENCE_S
            if is_late and seen.server is not self.primary and self.reaches(seen.server):
                yield seen.server

    def about_primary(self) -> Reply:
        """Return what it tells of the primary."""
        flags = ["master", *(["s_down"] if self.misses(self.primary) else [])]
        fields = {"name": PRIMARY, "ip": self.primary.name, "port": self.primary.port, "flags": ",".join(flags)}
        fields |= {"role-reported": "master" if self._seen[self.primary.name].is_primary else "slave"}
        fields |= {"config-epoch": self.epoch, "num-slaves": len(self.servers) - 1}
        return _words(fields)

    def about_replicas(self) -> Reply:
        """Return what it tells of each other server."""
        answers: list[Reply] = []
        for seen in self._seen.values():
            if seen.server is self.primary:
                continue
            flags = ["slave", *(["s_down", "disconnected"] if self.misses(seen.server) else [])]
            fields = {"name": f"{seen.server.name}:{seen.server.port}", "ip": seen.server.name, "port": seen.server.port}
            fields |= {"flags": ",".join(flags), "role-reported": "master" if seen.is_primary else "slave"}
            fields |= {"master-link-status": "ok" if seen.is_linked else "err", "master-host": self.primary.name}
            answers.append(_words({**fields, "master-port": self.primary.port}))
        return answers


@attrs.define(eq=False)
class SimulatedSentinels:
    """A primary with replicas, and the sentinels that watch them.

    Args:
        network: the network; each server and sentinel is a host of its own.
        random: chooses how long everything takes.
        replicas: how many replicas there are.
        number: how many sentinels there are; the majority decides.
        down_after_s: how long the primary is silent before they replace it.
        on_change: told about changes of keys, and with None about those of servers and sentinels.

    Attributes:
        servers: the servers; the first is the primary at the start.
        sentinels: the sentinels.
    """

    network: Network
    random: Random
    replicas: int = attrs.field(default=2, kw_only=True)
    number: int = attrs.field(default=3, kw_only=True)
    down_after_s: float = attrs.field(default=2.0, kw_only=True)
    on_change: OnChange = attrs.field(default=lambda _: None, kw_only=True)
    servers: list[ReplicatedValkey] = attrs.field(init=False, factory=list[ReplicatedValkey])
    sentinels: list[SimulatedSentinel] = attrs.field(init=False, factory=list[SimulatedSentinel])
    _timer: asyncio.TimerHandle | None = attrs.field(init=False, default=None)
    _decides_s: float | None = attrs.field(init=False, default=None)

    def start(self) -> None:
        """Start servers and sentinels, which know each other."""
        for number in range(1 + self.replicas):
            server = ReplicatedValkey(self.network, f"server-{number}", random=self.random, peers=self.servers)
            self.servers.append(server)
            if number:
                server.follow(self.servers[0])
                server.is_linked = server.has_synced = True
            server.start()
        for number in range(self.number):
            sentinel = SimulatedSentinel(
                self.network,
                f"sentinel-{number}",
                servers=self.servers,
                primary=self.servers[0],
                down_after_s=self.down_after_s,
            )
            self.sentinels.append(sentinel)
            sentinel.start()
        for server in self.servers:
            server.on_change = self.on_change
        self._tick()

    def stop(self) -> None:
        """End every server and sentinel."""
        if self._timer is not None:
            self._timer.cancel()
        for server in self.servers:
            server.on_change = lambda _: None
        for one in (*self.servers, *self.sentinels):
            if one.is_running:
                one.crash()

    @property
    def url(self) -> str:
        """The URL for statcore."""
        return f"valkey+sentinel://{','.join(f'{one.name}:{one.port}' for one in self.sentinels)}/{PRIMARY}"

    @property
    def primary(self) -> ReplicatedValkey:
        """The server that the latest decision names."""
        return max(self.sentinels, key=lambda sentinel: sentinel.epoch).primary

    @property
    def is_whole(self) -> bool:
        """Whether all servers and sentinels run, agree on the primary, and the others have its data."""
        return (
            {self.primary} == {sentinel.primary for sentinel in self.sentinels}
            and all(one.is_reachable and not one.is_loading for one in (*self.servers, *self.sentinels))
            and all(of.primary is None if of is self.primary else of.is_linked for of in self.servers)
            and not any(sentinel.misses(server) for sentinel in self.sentinels for server in self.servers)
        )

    def store(self, values: dict[str, bytes]) -> None:
        """Set keys that expire in a day, at all servers."""
        for key, value in values.items():
            for server in self.servers:
                server.databases[0].set(key.encode(), value, ttl_s=86_400)
                self.on_change(key.encode())

    def fail_over(self, leader: SimulatedSentinel) -> bool:
        """Let a sentinel replace the primary, even one in good health; return whether there was a replica for it."""
        candidates = leader.candidates()
        if not candidates:
            return False
        epoch = 1 + max(sentinel.epoch for sentinel in self.sentinels)
        self._give_role(candidates[0], None)
        leader.decide(candidates[0], epoch)
        for server in self.servers:
            if server is not leader.primary and server.primary is not None and leader.reaches(server):
                delay_s = self.random.uniform(0.1, 1.0)
                asyncio.get_running_loop().call_later(delay_s, self._reconfigure, leader, server, epoch)
        self.on_change(None)
        return True

    def _reconfigure(self, leader: SimulatedSentinel, server: ReplicatedValkey, epoch: int) -> None:
        if leader.epoch == epoch and server is not leader.primary and leader.reaches(server):
            self._give_role(server, leader.primary)

    def _give_role(self, server: ReplicatedValkey, primary: ReplicatedValkey | None) -> None:
        """Give a server its role, and cut the connections of its clients, as a sentinel does."""
        if server.primary is not primary:
            server.follow(primary)
            for end in server.host.connections():
                end.abort()

    def _tick(self) -> None:
        for sentinel in self.sentinels:
            sentinel.watch()
        for sentinel in self.sentinels:
            later = [other for other in self.sentinels if sentinel.reaches(other) and other.epoch > sentinel.epoch]
            if not later:
                for server in sentinel.wrong():
                    self._give_role(server, sentinel.primary)
            elif self.random.random() < _HELLO_SHARE:
                sentinel.decide(later[0].primary, later[0].epoch)
        self._replace()
        for server in self.servers:
            server.tend()
        self.on_change(None)
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _replace(self) -> None:
        """Replace the primary some time after the majority misses it."""
        now_s = asyncio.get_running_loop().time()
        leader = self._leader()
        if leader is None:
            self._decides_s = None
        elif self._decides_s is None:
            self._decides_s = now_s + self.random.uniform(0.0, _ELECTION_S)
        elif now_s >= self._decides_s:
            self._decides_s = None if self.fail_over(leader) else now_s + _AGAIN_S

    def _leader(self) -> SimulatedSentinel | None:
        """Return a sentinel of a majority that misses the primary."""
        for sentinel in self.sentinels:
            heard = [other for other in self.sentinels if other is sentinel or sentinel.reaches(other)]
            agree = [other for other in heard if other.epoch == sentinel.epoch and other.misses(sentinel.primary)]
            if sentinel.is_reachable and sentinel.misses(sentinel.primary) and 2 * len(agree) > len(self.sentinels):
                return sentinel
        return None


def _words(fields: dict[str, Any]) -> list[Reply]:
    return [str(word).encode() for field in fields.items() for word in field]


def _sentinel(sentinel: Any, _: Session, words: Words) -> Reply:  # noqa: ANN401 - a `SimulatedSentinel`
    kind = words[1].upper()
    if kind == b"MASTERS" and len(words) == 2:  # noqa: PLR2004 - without a name
        return [sentinel.about_primary()]
    if kind not in (b"GET-MASTER-ADDR-BY-NAME", b"MASTER", b"REPLICAS", b"SLAVES"):
        return Failure(f"ERR unknown subcommand '{words[1].decode(errors='replace')}'. Try SENTINEL HELP.")
    if len(words) != 3:  # noqa: PLR2004 - with a name
        name = f"sentinel|{kind.decode().lower()}"
        return Failure(f"ERR wrong number of arguments for '{name}' command")
    if words[2] != PRIMARY.encode():
        return _NO_LIST if kind == b"GET-MASTER-ADDR-BY-NAME" else Failure("ERR No such master with that name")
    if kind == b"GET-MASTER-ADDR-BY-NAME":
        return [sentinel.primary.name.encode(), b"%d" % sentinel.primary.port]
    return sentinel.about_primary() if kind == b"MASTER" else sentinel.about_replicas()  # type: ignore[no-any-return]
