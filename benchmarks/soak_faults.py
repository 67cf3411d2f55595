"""The faults of a soak. Each harms servers of one source, and then repairs them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from random import Random
from typing import Final, TypeAlias

import attrs
import psutil
from soak_load import CLUSTER, ENGINE, PAIR, SENTINELS, SERVICE, Load
from soak_site import MetricServer, Site, wait_for_workers
from tests.support.valkey_network import Network
from tests.support.valkey_nodes import ValkeyNode

Steps: TypeAlias = Callable[[Site, Random], Generator[bool]]
"""Harms servers of a site, yields whether others have taken over so that all can be answered, and repairs them."""

_HOLD_S: Final = (1.0, 3.0)
_BRIEF_S: Final = (0.2, 0.6)
_RESETS: Final = 5
_RESET_S: Final = 0.2
_MOVED_SLOTS: Final = 300


@attrs.frozen
class Fault:
    """A kind of fault.

    Args:
        source: the source that it is about.
        name: what happens, for tables.
        steps: makes and ends it.
        loses: whether another server takes over from a primary: confirmed writes may then be lost, and the primary answers
            old values until it learns of that.
        hold_s: how long it lasts, between these bounds, unless others take over.
    """

    source: str
    name: str
    steps: Steps
    loses: bool = attrs.field(default=False, kw_only=True)
    hold_s: tuple[float, float] = attrs.field(default=_HOLD_S, kw_only=True)

    def __str__(self) -> str:
        """Return its name with its source."""
        return f"{self.source}: {self.name}"

    def happen(self, site: Site, load: Load, random: Random) -> float:
        """Let it happen and end; return how many seconds after the repair all kinds of read were right.

        Raises:
            TimeoutError: servers did not do in time what they do by themselves, or the readers did not answer.
        """
        _wait_until_ready(self.source, site)
        load.begin(self.source, str(self), loses=self.loses)
        steps = self.steps(site, random)
        if next(steps):
            recovered_s = load.healed(self.source)
            _end(steps)
        else:
            time.sleep(random.uniform(*self.hold_s))
            _end(steps)
            recovered_s = load.healed(self.source)
        load.end(self.source)
        return recovered_s


def _end(steps: Generator[bool]) -> None:
    for _ in steps:
        raise AssertionError("a fault yields once")


def in_order(faults: Sequence[Fault], random: Random) -> Generator[Fault]:
    """Yield faults for ever, each once before any comes again."""
    while True:
        yield from random.sample(faults, len(faults))


def faults_of(site: Site) -> list[Fault]:
    """Return the faults that servers of a site can have."""
    return [fault for fault in _FAULTS if site.engine is not None or fault.source != ENGINE]


def primaries_of(site: Site) -> dict[str, frozenset[str]]:
    """Return the addresses of the servers that take writes, by store."""
    return {
        CLUSTER: frozenset(map(str, site.cluster.primaries)),
        SENTINELS: frozenset({str(site.sentinels.primary)}),
    }


def _wait_until_ready(source: str, site: Site) -> None:
    """Wait until the servers of a source can bear a fault: a primary without a replica, for one, is never replaced."""
    if source == CLUSTER:
        site.cluster.wait_until_replicated()
    elif source == SENTINELS:
        site.sentinels.wait_until_whole()
    elif source == SERVICE:
        wait_for_workers(site)


def _replace_primary(harm: Callable[[ValkeyNode], None]) -> Steps:
    def steps(site: Site, random: Random) -> Generator[bool]:
        primary = random.choice(site.cluster.primaries)
        harm(primary)
        site.cluster.wait_until_failed_over(primary)
        yield True
        site.cluster.heal()

    return steps


def _fail_over_cluster(site: Site, random: Random) -> Generator[bool]:
    site.cluster.fail_over(random.choice(site.cluster.primaries))
    yield True


def _harm_replica(site: Site, random: Random) -> Generator[bool]:
    site.cluster.replica_of(random.choice(site.cluster.primaries)).kill()
    yield False
    site.cluster.heal()


def _stop_primary_briefly(site: Site, random: Random) -> Generator[bool]:
    random.choice(site.cluster.primaries).stop()
    yield False
    site.cluster.heal()


def _move_slots(site: Site, _: Random) -> Generator[bool]:
    owned = Counter[ValkeyNode]()
    for first, last, owner in site.cluster.ranges():
        owned[owner] += last - first + 1
    source, *_others, target = (node for node, _ in owned.most_common())  # a primary without slots would become a replica
    site.cluster.move_slots(_MOVED_SLOTS, source, target)
    yield False
    site.cluster.wait_until_whole()


def _replace_master(harm: Callable[[ValkeyNode], None]) -> Steps:
    def steps(site: Site, _: Random) -> Generator[bool]:
        primary = site.sentinels.primary
        harm(primary)
        site.sentinels.wait_until_failed_over(primary)
        yield True
        site.sentinels.heal()

    return steps


def _fail_over_sentinels(site: Site, _: Random) -> Generator[bool]:
    site.sentinels.fail_over()
    yield True
    site.sentinels.wait_until_whole()


def _kill_sentinel(site: Site, random: Random) -> Generator[bool]:
    random.choice(site.sentinels.sentinels).kill()
    yield False
    site.sentinels.heal()


def _kill_replica_of_master(site: Site, random: Random) -> Generator[bool]:
    random.choice(site.sentinels.replicas).kill()
    yield False
    site.sentinels.heal()


def _reset(servers: Callable[[Site, Random], Iterable[tuple[Network, str]]]) -> Steps:
    def steps(site: Site, random: Random) -> Generator[bool]:
        harmed = list(servers(site, random))
        for _ in range(_RESETS):
            for network, owner in harmed:
                network.cut(owner)
            time.sleep(_RESET_S)
        yield False

    return steps


def _trickle(servers: Callable[[Site, Random], Iterable[tuple[Network, str]]]) -> Steps:
    def steps(site: Site, random: Random) -> Generator[bool]:
        harmed = list(servers(site, random))
        for network, owner in harmed:
            network.trickle(owner)
        yield False
        for network, owner in harmed:
            network.flow(owner)

    return steps


def _nodes(site: Site, _: Random) -> list[tuple[Network, str]]:
    return [_place(node) for node in site.cluster.nodes]


def _one_primary(site: Site, random: Random) -> list[tuple[Network, str]]:
    return [_place(random.choice(site.cluster.primaries))]


def _master(site: Site, _: Random) -> list[tuple[Network, str]]:
    return [_place(site.sentinels.primary)]


def _sentinels_and_servers(site: Site, _: Random) -> list[tuple[Network, str]]:
    return [_place(node) for node in (*site.sentinels.servers, *site.sentinels.sentinels)]


def _place(node: ValkeyNode) -> tuple[Network, str]:
    assert node.network is not None
    return node.network, node.source


def _pair(site: Site, _: Random) -> list[tuple[Network, str]]:
    return [(server.network, server.name) for server in site.pair]


def _member(site: Site, random: Random) -> list[tuple[Network, str]]:
    return random.sample(_pair(site, random), 1)


def _engine(site: Site, _: Random) -> list[tuple[Network, str]]:
    assert site.engine is not None
    return [(site.engine.network, site.engine.name)]


def _isolate(servers: Callable[[Site, Random], Iterable[tuple[Network, str]]]) -> Steps:
    def steps(site: Site, random: Random) -> Generator[bool]:
        harmed = list(servers(site, random))
        for network, owner in harmed:
            network.isolate(owner)
        yield False
        for network, owner in harmed:
            network.rejoin(owner)

    return steps


def _harm_metrics(
    servers: Callable[[Site, Random], Iterable[MetricServer]],
    harm: Callable[[MetricServer], None],
    repair: Callable[[MetricServer], None],
) -> Steps:
    def steps(site: Site, random: Random) -> Generator[bool]:
        harmed = list(servers(site, random))
        for server in harmed:
            harm(server)
        yield False
        for server in harmed:
            repair(server)

    return steps


def _one_member(site: Site, random: Random) -> Sequence[MetricServer]:
    return random.sample(site.pair, 1)


def _both_members(site: Site, _: Random) -> Sequence[MetricServer]:
    return site.pair


def _only_engine(site: Site, _: Random) -> Sequence[MetricServer]:
    return [] if site.engine is None else [site.engine]


def _kill_worker(site: Site, random: Random) -> Generator[bool]:
    _worker(site, random).kill()
    yield False


def _worker(site: Site, random: Random) -> psutil.Process:
    """Return a worker that may be harmed."""
    return random.choice([worker for worker in site.service.workers() if worker != site.spared])


def _stop_worker(site: Site, random: Random) -> Generator[bool]:
    worker = _worker(site, random)
    worker.suspend()
    yield False
    worker.resume()


_FAULTS: Final = (
    Fault(CLUSTER, "a primary is killed", _replace_primary(ValkeyNode.kill), loses=True),
    Fault(CLUSTER, "a primary is stopped", _replace_primary(ValkeyNode.stop), loses=True),
    Fault(CLUSTER, "a primary is cut off", _replace_primary(ValkeyNode.isolate), loses=True),
    # On a busy machine its replica may take over all the same.
    Fault(CLUSTER, "a primary stops briefly", _stop_primary_briefly, loses=True, hold_s=_BRIEF_S),
    Fault(CLUSTER, "a replica is killed", _harm_replica),
    Fault(CLUSTER, "a replica takes over", _fail_over_cluster, loses=True),
    Fault(CLUSTER, "slots move", _move_slots),
    Fault(CLUSTER, "all connections are reset", _reset(_nodes)),
    Fault(CLUSTER, "answers of a primary trickle", _trickle(_one_primary)),
    Fault(SENTINELS, "the primary is killed", _replace_master(ValkeyNode.kill), loses=True),
    Fault(SENTINELS, "the primary is stopped", _replace_master(ValkeyNode.stop), loses=True),
    Fault(SENTINELS, "the primary is cut off", _replace_master(ValkeyNode.isolate), loses=True),
    Fault(SENTINELS, "the replica takes over", _fail_over_sentinels, loses=True),
    Fault(SENTINELS, "the replica is killed", _kill_replica_of_master),
    Fault(SENTINELS, "a sentinel is killed", _kill_sentinel),
    Fault(SENTINELS, "all connections are reset", _reset(_sentinels_and_servers)),
    Fault(SENTINELS, "answers of the primary trickle", _trickle(_master)),
    Fault(PAIR, "a member is killed", _harm_metrics(_one_member, MetricServer.kill, MetricServer.start)),
    Fault(PAIR, "a member is stopped", _harm_metrics(_one_member, MetricServer.stop, MetricServer.resume)),
    Fault(PAIR, "a member is cut off", _isolate(_member)),
    Fault(PAIR, "both members are killed", _harm_metrics(_both_members, MetricServer.kill, MetricServer.start)),
    Fault(PAIR, "all connections are reset", _reset(_pair)),
    Fault(PAIR, "answers of a member trickle", _trickle(_member)),
    Fault(ENGINE, "it is killed", _harm_metrics(_only_engine, MetricServer.kill, MetricServer.start)),
    Fault(ENGINE, "it is stopped", _harm_metrics(_only_engine, MetricServer.stop, MetricServer.resume)),
    Fault(ENGINE, "all connections are reset", _reset(_engine)),
    Fault(SERVICE, "a worker is killed", _kill_worker),
    Fault(SERVICE, "a worker is stopped", _stop_worker),
)
