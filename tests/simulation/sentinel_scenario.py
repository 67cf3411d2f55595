"""A primary that sentinels replace, and sentinels that are harmed or lie, while callers read and write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
from tests.simulation.topology_harms import HARMS, End, nothing
from tests.simulation.topology_scenario import KEYS, Harm, TopologyScenario, chosen, is_sound

from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.resp import Failure, Raw, Reply, Words
from statcore.testing.simulation.valkey_replication import Peer, ReplicatedValkey
from statcore.testing.simulation.valkey_sentinels import SimulatedSentinel, SimulatedSentinels

_BELIEVED_S: Final = 12.0
"""How long a primary is read that was replaced but does not know it: clients ask the sentinels every ten seconds."""


@attrs.define(eq=False)
class SentinelScenario(TopologyScenario):
    """A run on a primary, two replicas and three sentinels."""

    sentinels: SimulatedSentinels = attrs.field(init=False)
    _primary: ReplicatedValkey | None = attrs.field(default=None, init=False)
    _believed_until_s: dict[str, float] = attrs.field(factory=dict[str, float], init=False)
    """Until when a primary is read that was replaced, by its name."""
    demoted: set[ReplicatedValkey] = attrs.field(factory=set[ReplicatedValkey], init=False)
    """Primaries that an operator has made replicas, which connections do not notice; they have all their data."""

    def __attrs_post_init__(self) -> None:
        """Make the servers."""
        self.sentinels = SimulatedSentinels(self.simulation.network, self.simulation.random, on_change=self.changed)

    @property
    def topology(self) -> SimulatedSentinels:
        """The servers and sentinels."""
        return self.sentinels

    @property
    def options(self) -> dict[str, Any]:
        """The options of every store."""
        return {}

    @property
    def recovery_s(self) -> float:
        """A client asks the sentinels every ten seconds."""
        return _BELIEVED_S

    def servers(self) -> Sequence[Peer]:
        """Return the servers and the sentinels."""
        return [*self.sentinels.servers, *self.sentinels.sentinels]

    def holders(self, key: bytes) -> Iterator[ReplicatedValkey]:  # noqa: ARG002 - all keys are everywhere
        """Return the servers that call themselves primaries, and that a client may still believe to be."""
        for server in self.sentinels.servers:
            is_believed = server is self.sentinels.primary or self.now_s() < self._believed_until_s.get(server.name, 0.0)
            if (
                server.is_running
                and not server.is_hung
                and not server.is_loading
                and (server.primary is None or server in self.demoted)
                and is_believed
            ):
                yield server

    def is_well(self, key: bytes) -> bool:  # noqa: ARG002
        """Return whether the primary is sound, and enough sentinels name it."""
        primary = self.sentinels.primary
        return is_sound(primary) and primary.primary is None and self._is_named()

    def _is_named(self) -> bool:
        """Return whether most sentinels answer, and name the primary."""
        return 2 * sum(map(self._names_primary, self.sentinels.sentinels)) > len(self.sentinels.sentinels)

    def _names_primary(self, sentinel: SimulatedSentinel) -> bool:
        return sentinel.primary is self.sentinels.primary and is_sound(sentinel)

    def changed(self, key: bytes | None) -> None:
        """Note what may be answered about a key, or about all, and fail-overs."""
        if key is None:
            now, before = self.sentinels.primary, self._primary
            self._primary = now
            if before is not None and before is not now:
                self.last_fail_over_s = self.now_s()
                self.note_new_primary(before, before.name, now, KEYS, has_replaced=True)
            for server in self.sentinels.servers:
                if server is now or not self._is_named():
                    self._believed_until_s[server.name] = self.now_s() + _BELIEVED_S
                elif not server.is_running and all(map(self._names_primary, self.sentinels.sentinels)):
                    self._believed_until_s[server.name] = self.now_s()  # no connection is left, and none is made again
        super().changed(key)


def _fail_over(run: SentinelScenario) -> End:
    """Let a sentinel replace a primary that is well, as an operator does."""
    leader = run.simulation.random.choice(run.sentinels.sentinels)
    if leader.is_reachable and leader.side == 0:
        run.sentinels.fail_over(leader)
    return nothing


def _forgotten_role(run: SentinelScenario) -> End:
    """Start a replica again without the setting that makes it one."""
    server = run.simulation.random.choice(run.sentinels.servers)
    server.crash()
    server.follow(None)
    server.restart(with_data=run.simulation.random.random() < 0.5)
    return nothing


def _wrong_role(run: SentinelScenario) -> End:
    """Let the primary follow a replica, which goes on as it was, for some time."""
    primary = run.sentinels.primary
    others = [server for server in run.sentinels.servers if server is not primary]
    primary.follow(run.simulation.random.choice(others))
    for end in primary.host.connections():
        end.abort()
    return lambda: primary.follow(None) if primary is run.sentinels.primary else None


def _demoted(run: SentinelScenario) -> End:
    """Let the primary follow a replica for some time, as `_wrong_role` does, but leave its connections."""
    primary = run.sentinels.primary
    run.demoted.add(primary)
    primary.follow(next(server for server in run.sentinels.servers if server is not primary))

    def end() -> None:
        if primary is run.sentinels.primary:
            primary.follow(None)
            run.demoted.discard(primary)

    return end


def _replaced_unaware(run: SentinelScenario) -> End:
    """Keep the primary apart, so that it is replaced, but calls itself a primary, often also after a restart."""
    primary, random = run.sentinels.primary, run.simulation.random
    primary.side = 1

    def restart() -> None:
        primary.restart(with_data=random.random() < 0.5)

    timer = asyncio.get_running_loop().call_later(random.uniform(4.0, 24.0), restart)

    def end() -> None:
        timer.cancel()
        primary.side = 0

    return end


def _left_behind(run: SentinelScenario) -> End:
    """Replace the primary while one sentinel hears from no other server, which then goes on naming the old one."""
    sentinel = _sentinel(run)
    sentinel.side = 1
    others = [other for other in run.sentinels.sentinels if other is not sentinel and other.is_reachable]
    if others:
        run.sentinels.fail_over(others[0])
    return lambda: setattr(sentinel, "side", 0)


def _sentinel(run: SentinelScenario) -> SimulatedSentinel:
    return run.simulation.random.choice(run.sentinels.sentinels)


def _old_answers(run: SentinelScenario) -> End:
    """Let a sentinel answer what it would answer now, for some time."""
    sentinel = _sentinel(run)
    kept: dict[bytes, Reply] = {
        b"GET-MASTER-ADDR-BY-NAME": [sentinel.primary.name.encode(), b"%d" % sentinel.primary.port],
        b"MASTER": sentinel.about_primary(),
        b"REPLICAS": sentinel.about_replicas(),
    }
    return _lying(run, sentinel, lambda words, reply: kept.get(words[1].upper(), reply))


def _another_primary(run: SentinelScenario) -> End:
    """Let a sentinel name a replica, and call itself up to date."""
    sentinel = _sentinel(run)
    other = run.simulation.random.choice(run.sentinels.servers)
    named: Reply = [other.name.encode(), b"%d" % other.port]
    return _lying(run, sentinel, lambda words, reply: named if words[1].upper() == b"GET-MASTER-ADDR-BY-NAME" else reply)


def _nonsense(run: SentinelScenario) -> End:
    """Let a sentinel answer something else than sentinels do."""
    answers: list[Reply] = [None, 7, [], [b"host"], [b"host", b"port"], Failure("ERR No such master with that name"), [[]]]
    answers += [Raw(b"!garbage\r\n"), Failure("NOAUTH Authentication required."), Failure("ERR nonsense")]
    answer = run.simulation.random.choice(answers)
    return _lying(run, _sentinel(run), lambda *_: answer)


def _lying(run: SentinelScenario, sentinel: SimulatedSentinel, lie: Callable[[Words, Reply], Reply]) -> End:
    """Let a sentinel lie; while most are away or lie as well, a client may see fail-overs at the beginning and the end."""

    def end() -> None:
        sentinel.tamper = None
        run.last_fail_over_s = run.now_s()

    sentinel.tamper = lambda words, reply, _: lie(words, reply) if words[0].upper() == b"SENTINEL" else reply
    run.last_fail_over_s = run.now_s()
    return end


SENTINEL_HARMS: Final = [
    *HARMS,
    *(Harm(begin) for begin in (_fail_over, _forgotten_role, _wrong_role, _old_answers, _another_primary, _nonsense)),
    Harm(_demoted),
    Harm(_left_behind, least_s=20.0),
    Harm(_replaced_unaware, least_s=20.0),
]


def run_sentinels(seed: int, *, harms: Sequence[str] | None = None) -> tuple[int, int]:
    """Run the scenario by a seed, and return how many answers were right, and how many keys had none for a reason.

    Args:
        seed: the seed.
        harms: the names of what happens; None lets the seed choose.
    """

    async def scenario(simulation: Simulation) -> tuple[int, int]:
        run = SentinelScenario(simulation, chosen(SENTINEL_HARMS, harms, simulation.random))
        await run.run()
        return run.answers, run.failures

    return simulate(scenario, seed=seed)
