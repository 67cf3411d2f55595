"""Readers and writers of servers that fail over and move keys: each answer is checked against what the servers hold."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from random import Random
from typing import Any, Final

import attrs
import msgpack

from statcore.errors import ClosedError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch
from statcore.model.store_keys import KERNEL_TTL_S, metrics_entry
from statcore.testing.expectations import plain
from statcore.testing.simulation import Path, Simulation
from statcore.testing.simulation.valkey_replication import Peer, ReplicatedValkey
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

_BUSY_KEYS: Final = [f"kernel-{number}" for number in range(16)]
_QUIET_KEYS: Final = [f"kernel-{{{tag}}}-{number}" for tag in ("quiet", "idle") for number in range(4)]
"""Keys that are written rarely, so that what servers lose stays lost for a while; four of them share a slot."""
KEYS: Final = [*_BUSY_KEYS, *_QUIET_KEYS]
UNSYNCED_S: Final = 60.0
"""How long after a fail-over a missing key is *incomplete*."""
_MOMENT_S: Final = 0.001
_ROUNDING_S: Final = 0.002
"""PTTL counts milliseconds."""
_FAULTY_S: Final = 30.0
_WHOLE_S: Final = 60.0
"""How long servers may take to agree after every fault has ended."""
_PAUSE_S: Final = 1.0
"""The longest pause between two attempts of a call."""
_SLOW_PAUSES_S: Final = (2.0, 9.0)
_QUIET_SHARE: Final = 0.05
_VISITS: Final = 3
_VISITOR: Final = "a visitor"
_SOON_S: Final = 1.0
"""The time within which a fail-over is noticed at the edge of `UNSYNCED_S`."""


@attrs.frozen
class Held:
    """What a key holds: the bytes, and when it is gone."""

    content: bytes
    expires_s: float | None

    @property
    def entry(self) -> Any:
        """What a reader decodes."""
        return msgpack.unpackb(self.content)

    @property
    def written_s(self) -> float:
        """When it was written."""
        return (self.expires_s or 0.0) - KERNEL_TTL_S


@attrs.frozen
class _Moment:
    """What servers could answer about a key since a time; None for no such key."""

    since_s: float
    answers: frozenset[Held | None]
    is_well: bool


@attrs.frozen(eq=False)
class Ledger:
    """What servers could answer about each key at each time, and which values were ever written."""

    written: dict[str, set[Held]] = attrs.field(factory=dict[str, set[Held]], init=False)
    _moments: dict[str, list[_Moment]] = attrs.field(factory=dict[str, "list[_Moment]"], init=False)

    def note(
        self, key: str, answers: Iterable[Held | None], elsewhere: Iterable[Held | None], *, is_well: bool, now_s: float
    ) -> None:
        """Note what may be answered from now on, and what other servers hold; `is_well` says that it has to be answered."""
        moment = _Moment(now_s, frozenset(answers), is_well)
        self.written.setdefault(key, set()).update(held for held in moment.answers.union(elsewhere) if held is not None)
        moments = self._moments.setdefault(key, [])
        if not moments or (moments[-1].answers, moments[-1].is_well) != (moment.answers, moment.is_well):
            moments.append(moment)

    def between(self, key: str, first_s: float, last_s: float) -> set[Held | None]:
        """Return everything that could be answered between two times."""
        return {held for moment in self._within(key, first_s, last_s) for held in moment.answers}

    def was_well(self, key: str, first_s: float, last_s: float) -> bool:
        """Return whether a key had to be answered all the time between two times."""
        return all(moment.is_well for moment in self._within(key, first_s, last_s))

    def _within(self, key: str, first_s: float, last_s: float) -> Iterator[_Moment]:
        for moment in reversed(self._moments[key]):
            if moment.since_s <= last_s:
                yield moment
            if moment.since_s < first_s:
                return


@attrs.frozen
class Harm:
    """Something that happens to servers.

    Args:
        begin: lets it begin, and returns what ends it.
        least_s: how long it lasts at least.
    """

    begin: Callable[[Any], Callable[[], object]]
    least_s: float = 0.0

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.begin.__name__.strip("_")


@attrs.frozen
class Reader:
    """A store, and the options that matter for what it may answer."""

    name: str
    store: ValkeyStatistics
    options: ValkeyOptions
    pauses_s: tuple[float, float] | None = None
    """The shortest and the longest time between two calls, or None for short ones."""

    @property
    def late_s(self) -> float:
        """How much later than others it may learn of changes that no error shows, since it asks about them by its calls."""
        return self.pauses_s[1] if self.pauses_s else 0.0


@attrs.define(eq=False)
class TopologyScenario(ABC):
    """One run.

    Args:
        simulation: the simulation.
        harms: what may happen.

    Attributes:
        answers: how many answers were right.
        failures: how many keys had no answer, for a reason.
    """

    simulation: Simulation
    harms: Sequence[Harm]
    answers: int = attrs.field(default=0, init=False)
    failures: int = attrs.field(default=0, init=False)
    ledger: Ledger = attrs.field(factory=Ledger, init=False)
    last_fail_over_s: float = attrs.field(default=float("-inf"), init=False)
    lost: dict[str, float] = attrs.field(factory=dict[str, float], init=False)
    """The keys that a new primary did not have, and when it took over."""
    _former: set[tuple[str, str | ReplicatedValkey]] = attrs.field(
        factory=set["tuple[str, str | ReplicatedValkey]"], init=False
    )
    """The keys, and what was their primary: the servers and the hosts, since servers may get other addresses."""
    _last_number: int = attrs.field(default=0, init=False)
    _until_s: float = attrs.field(default=0.0, init=False)

    # What a kind of topology adds

    @property
    @abstractmethod
    def topology(self) -> Any:
        """The simulated servers."""

    @property
    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The options of every store."""

    @property
    @abstractmethod
    def recovery_s(self) -> float:
        """How long after a fault a call may need to succeed."""

    @abstractmethod
    def servers(self) -> Sequence[Peer]:
        """Return everything that can be harmed."""

    @abstractmethod
    def holders(self, key: bytes) -> Iterator[ReplicatedValkey]:
        """Return the servers that may answer for a key."""

    @abstractmethod
    def is_well(self, key: bytes) -> bool:
        """Return whether the servers of a key can do nothing else than answer."""

    def is_found(self) -> bool:
        """Return whether a new store finds the well servers; it knows only the addresses of the URL."""
        return True

    # The run

    async def run(self) -> None:
        """Let readers, writers and faults loose, heal, and check the answers after it."""
        self.topology.start()
        self._until_s = self.now_s() + _FAULTY_S
        try:
            async with AsyncExitStack() as stack:
                readers = list(self._readers())
                for reader in readers:
                    await stack.enter_async_context(aclosing(reader.store))
                sink = ValkeyStatisticsSink.from_url(self.topology.url, options=self._options(timeout_s=4.0))
                await stack.enter_async_context(aclosing(sink))
                self.changed(None)
                await self._together(
                    self._agents(), self._sink(sink), *map(self._call, readers), self._harm(), *self.extras()
                )
                await self._heal()
                self._until_s = self.now_s() + self.recovery_s + 3.0
                await self._together(self._agents(), self._sink(sink), *map(self._call, readers))
                await self._read_back(sink, readers)
            for _ in range(_VISITS):
                await self._visit()
        finally:
            self.topology.stop()

    def extras(self) -> Iterator[Awaitable[None]]:
        """Return what else goes on at the same time."""
        return iter(())

    async def _together(self, *calls: Awaitable[None]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for call in calls:
                tasks.create_task(_coroutine(call))

    async def _heal(self) -> None:
        """End every fault, and wait until the servers agree."""
        for server in self.servers():
            self.heal(server)
        self.changed(None)
        self.simulation.record("every fault has ended")
        start_s = self.now_s()
        while not self.topology.is_whole:
            assert self.now_s() - start_s <= _WHOLE_S, "the simulated servers do not heal"
            await asyncio.sleep(0.1)
        self.changed(None)
        self.simulation.record("the servers are whole")

    async def _read_back(self, sink: ValkeyStatisticsSink, readers: Sequence[Reader]) -> None:
        """Write every key, and read it."""
        await asyncio.sleep(2.0)  # replicas have everything
        entries = {key: {"value": MetricValue(current="last", unit_hint=key)} for key in KEYS}
        await sink.store_kernel_statistics(entries)
        await asyncio.sleep(2.0)
        for reader in readers:
            batch = await reader.store.fetch_kernel_statistics(KEYS)
            assert [metrics_entry(entries[key]) for key in KEYS] == [plain(entry) for entry in batch], reader.name
            assert not batch.problems, f"{reader.name}: {batch.problems}"

    def _readers(self) -> Iterator[Reader]:
        random = self.simulation.random
        for name, settings in (
            ("the reader", {}),
            ("the reader of ages", {"freshness_s": 5.0, "pool_size": 2}),
            ("the reader of replicas", {"freshness_s": 5.0, "read_from_replicas": True}),
            ("the slow reader", {}),
        ):
            options = self._options(timeout_s=random.choice([1.0, 2.0, 5.0]), **settings)
            pauses_s = _SLOW_PAUSES_S if name == "the slow reader" else None
            yield Reader(name, ValkeyStatistics.from_url(self.topology.url, options=options), options, pauses_s)

    def _options(self, **settings: Any) -> ValkeyOptions:
        return ValkeyOptions(**self.options, **settings)

    # What servers hold

    def changed(self, key: bytes | None) -> None:
        """Note what may be answered about a key, or about all."""
        for name in KEYS if key is None else [key.decode()]:
            encoded = name.encode()
            answers = [_held(server, encoded) for server in self.holders(encoded)]
            # A server that no client believes to be a primary may get a write that was long on its way.
            servers = [] if key is None else [server for server in self.servers() if isinstance(server, ReplicatedValkey)]
            elsewhere = [_held(server, encoded) for server in servers]
            self.ledger.note(name, answers, elsewhere, is_well=self.is_well(encoded), now_s=self.now_s())

    def note_new_primary(
        self,
        before: ReplicatedValkey,
        host: str,
        after: ReplicatedValkey,
        keys: Iterable[str],
        *,
        has_replaced: bool,
    ) -> None:
        """Note that keys have another primary than one at a host, and which of them it lacks if it has replaced that one.

        A client that has not seen the server between does not notice that a former primary is the primary again.
        """
        for key in keys:
            held = before.databases[0].get(key.encode()) is not None
            self._former.add((key, host))
            if before is not after:
                self._former.add((key, before))
            if (key, after.name) in self._former:
                self.lost.pop(key, None)
            elif has_replaced and held and after.databases[0].get(key.encode()) is None:
                self.lost[key] = self.now_s()

    def has_former_holder(self, key: str) -> bool:
        """Return whether a former primary of a key answers for it.

        One that was away while it was replaced does not know it until the new primary tells, nor do clients. It may have
        another address since.
        """
        holders = self.holders(key.encode())
        return any((key, former) in self._former for server in holders for former in (server.name, server))

    # Writers

    async def _agents(self) -> None:
        """Write values as agents do, each with a number and the name of its key, and remove some."""
        random = self.simulation.random
        while self.goes_on():
            await asyncio.sleep(random.uniform(0.0, 0.3))
            key = random.choice(_QUIET_KEYS if random.random() < _QUIET_SHARE else _BUSY_KEYS)
            holders = [server for server in self.holders(key.encode()) if server.primary is None]
            if not holders:
                continue
            server = random.choice(holders)
            if random.random() < 0.2:
                server.databases[0].values.pop(key.encode(), None)
                server.change(key.encode())
            else:
                self.write(server, key)

    def write(self, server: ReplicatedValkey, key: str) -> None:
        """Write the next value of a key to a server, as an agent does."""
        content = msgpack.packb({"value": {"current": self._next_number(), "unit_hint": key}})
        server.databases[0].set(key.encode(), content, ttl_s=KERNEL_TTL_S)
        server.change(key.encode())

    async def _sink(self, sink: ValkeyStatisticsSink) -> None:
        """Write through statcore; what it confirms was written."""
        random = self.simulation.random
        while self.goes_on():
            keys = random.sample(_BUSY_KEYS, random.randint(1, 6))
            first_s, number = self.now_s(), self._next_number()
            entries = {key: {"value": MetricValue(current=number, unit_hint=key)} for key in keys}
            failure: StatcoreError | None = None
            try:
                await sink.store_kernel_statistics(entries)
            except StatcoreError as error:
                failure = error
            if failure is not None:
                self._check_failure("the sink", 4.0, first_s, failure)
                troubled = [key for key in keys if not self._was_well(key, first_s, self.now_s())]
                assert troubled, f"the sink had no reason to fail: {failure!r}"
            else:
                for key, metrics in entries.items():
                    written = self.ledger.between(key, first_s, self.now_s())
                    assert any(held and held.entry == metrics_entry(metrics) for held in written), (
                        f"{key} was confirmed, but never written with number {number}; it was {written}"
                    )
            await asyncio.sleep(random.uniform(0.0, 1.0))

    # Readers

    async def _call(self, reader: Reader) -> None:
        """Read some keys, in any order and several times, again and again; some calls are cancelled."""
        random = self.simulation.random
        while self.goes_on():
            keys = [random.choice(KEYS) for _ in range(random.choice([1, 4, 12]))]
            await self._maybe_cancelled(self._ask(reader, keys))
            await asyncio.sleep(random.uniform(*reader.pauses_s) if reader.pauses_s else random.choice([0.0, 0.2, 0.8]))

    async def _visit(self) -> None:
        """Open a store while a server is away, and close it, often while calls go on."""
        random = self.simulation.random
        await asyncio.sleep(self.recovery_s)
        server = random.choice(self.servers())
        random.choice([server.crash, server.hang, server.host.cut])()
        self.changed(None)
        await asyncio.sleep(random.choice([0.0, 4.0]) * random.random())
        others = asyncio.all_tasks()
        options = self._options(timeout_s=2.0, read_from_replicas=random.random() < 0.5)
        visitor = Reader(_VISITOR, ValkeyStatistics.from_url(self.topology.url, options=options), options)
        calls = [asyncio.create_task(self._ask(visitor, random.sample(KEYS, 4))) for _ in range(random.randint(1, 3))]
        await asyncio.wait(calls, timeout=random.choice([0.01 * random.random(), 0.4 * random.random(), 2.1]))
        await visitor.store.aclose()
        await asyncio.wait(calls, timeout=_PAUSE_S)
        assert all(call.done() for call in calls), "a call goes on after its store was closed"
        for call in calls:
            call.result()
        assert asyncio.all_tasks() <= others, f"closing leaves {asyncio.all_tasks() - others}"
        self.heal(server)
        self.changed(None)

    async def _maybe_cancelled(self, call: Any) -> None:
        """Wait for a call, or cancel it at any moment; then it ends at once."""
        random = self.simulation.random
        task = asyncio.create_task(call)
        if random.random() < 0.2:
            await asyncio.wait([task], timeout=random.choice([0.0, 0.002, 0.2]) * random.random())
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_MOMENT_S)
                assert task.cancelled(), "a cancelled call goes on"
                return
        await task

    async def _ask(self, reader: Reader, keys: Sequence[str]) -> None:
        first_s, timeout_s = self.now_s(), reader.options.timeout_s
        batch: StatisticsBatch | StatcoreError
        try:
            batch = await reader.store.fetch_kernel_statistics(keys)
        except StatcoreError as error:
            batch = error
        except Exception as error:
            raise AssertionError(f"{reader.name}: {error!r} is no error of statcore") from error
        if isinstance(batch, ClosedError) and reader.name == _VISITOR:
            return
        if isinstance(batch, StatcoreError):
            self._check_failure(reader.name, timeout_s, first_s, batch)
            well = [key for key in keys if self._was_well(key, first_s, self.now_s())]
            if reader.name == _VISITOR and not self.is_found():
                well = []
            assert not well, f"{reader.name} got nothing, from {first_s}, but could have got {well}: {batch!r}"
            self.failures += len(keys)
            return
        now_s = self.now_s()
        assert now_s - first_s <= timeout_s + _MOMENT_S, f"{reader.name} took {now_s - first_s} s"
        assert len(batch) == len(keys)
        for at, key in enumerate(keys):
            fault = self._fault(reader, key, plain(batch[at]) if batch[at] is not None else None, batch, at, first_s)
            assert fault is None, f"{reader.name}, {key}, from {first_s} to {now_s}: {fault}"

    def _fault(self, reader: Reader, key: str, entry: Any, batch: StatisticsBatch, at: int, first_s: float) -> str | None:
        """Return what is wrong with the answer for a key, or None."""
        now_s, problem, age_s = self.now_s(), batch.problems.get(at), batch.ages_s.get(at)
        possible = self.ledger.between(key, first_s - reader.late_s, now_s)
        shown = f"{entry}, {problem}, age {age_s}; possible are {possible}"
        if problem is not None and problem.kind is ProblemKind.UNAVAILABLE and entry is None:
            self.failures += 1
            return f"it could be read: {shown}" if self._was_well(key, first_s, now_s) else None
        self.answers += 1
        if entry is None:
            return self._fault_of_none(reader, key, problem, possible, first_s, shown)
        right = self.ledger.written[key] if reader.options.read_from_replicas else possible
        found = [held for held in right if held is not None and held.entry == entry]
        if not found:
            return f"wrong or old: {shown}"
        if reader.options.freshness_s is None:
            return None if (problem, age_s) == (None, None) else shown
        kind = None if problem is None else problem.kind
        # The age is read first: an entry that is written meanwhile is younger than its age says, never older.
        is_right = (
            age_s is not None
            and any(_is_age(held, age_s, first_s, now_s) for held in right if held is not None)
            and any(first_s - held.written_s - _ROUNDING_S <= age_s for held in found)
        )
        is_stale = age_s is not None and age_s > reader.options.freshness_s
        return None if is_right and kind is (ProblemKind.STALE if is_stale else None) else f"age: {shown}"

    def _fault_of_none(
        self, reader: Reader, key: str, problem: Problem | None, possible: set[Held | None], first_s: float, shown: str
    ) -> str | None:
        now_s, noticed_s = self.now_s(), self.recovery_s + reader.late_s
        if None not in possible:
            return f"it exists: {shown}"
        since_s = first_s - self.last_fail_over_s
        if problem is not None:
            is_recent = problem.kind is ProblemKind.INCOMPLETE and since_s < UNSYNCED_S + noticed_s
            return None if is_recent else f"no reason: {shown}"
        if self.has_former_holder(key):
            return None
        lost_s = self.lost.get(key)
        if lost_s is not None and lost_s + noticed_s < now_s < lost_s + UNSYNCED_S - _SOON_S and len(possible) == 1:
            return f"it was lost at {lost_s}, which is not no data: {shown}"
        return None

    def _check_failure(self, who: str, timeout_s: float, first_s: float, error: StatcoreError) -> None:
        """Check that a call failed with an error of servers, and not before its deadline."""
        took_s = self.now_s() - first_s
        assert isinstance(error, UnavailableError | TimedOutError), f"{who}: not the error for it: {error!r}"
        assert timeout_s - _MOMENT_S <= took_s <= timeout_s + _MOMENT_S, f"{who} took {took_s} s: {error!r}"

    def _was_well(self, key: str, first_s: float, last_s: float) -> bool:
        return self.ledger.was_well(key, first_s - self.recovery_s, last_s)

    # Harms

    async def _harm(self) -> None:
        """Let one thing after the other happen and end; two may happen at once."""
        random = self.simulation.random
        running: set[asyncio.Task[None]] = set()
        while self.goes_on() and self.harms:
            await asyncio.sleep(random.uniform(0.0, 5.0))
            running = {task for task in running if not task.done()}
            if len(running) < 2:
                running.add(asyncio.create_task(self._happen(random.choice(self.harms))))
        if running:
            await asyncio.wait(running)
        for task in running:
            task.result()

    async def _happen(self, harm: Harm) -> None:
        random = self.simulation.random
        self.simulation.record(f"begins: {harm.name}")
        end = harm.begin(self)
        self.changed(None)
        await asyncio.sleep(max(harm.least_s, random.choice([0.1, 3.0, 12.0]) * random.random()))
        end()
        self.changed(None)
        self.simulation.record(f"ends: {harm.name}")

    def heal(self, server: Peer) -> None:
        """End every fault of a server."""
        server.host.path = Path()
        self.simulation.network.wake()
        server.heal()
        server.side = 0

    def goes_on(self) -> bool:
        """Return whether the time of readers and writers is not over."""
        return self.now_s() < self._until_s

    def now_s(self) -> float:
        """Return the time of the event loop."""
        return asyncio.get_running_loop().time()

    def _next_number(self) -> str:
        self._last_number += 1
        return str(self._last_number)


def is_sound(server: Peer) -> bool:
    """Return whether nothing is wrong with a server and the way to it."""
    path = server.host.path
    return (
        server.is_reachable
        and not server.is_loading
        and server.side == 0
        and server.tamper is None
        and path.latency_s[1] < 0.05
        and not path.reset_share
        and not server.delay_s
    )


def chosen(harms: Sequence[Harm], names: Sequence[str] | None, random: Random) -> list[Harm]:
    """Return the harms with these names, or with None some of them by chance."""
    if names is not None:
        assert set(names) <= {harm.name for harm in harms}, names
        return [harm for harm in harms if harm.name in names]
    share = random.choice([0.2, 0.5, 1.0])
    return [harm for harm in harms if random.random() < share]


def _held(server: ReplicatedValkey, key: bytes) -> Held | None:
    value = server.databases[0].get(key)
    return Held(value.content, value.expires_s) if value is not None and isinstance(value.content, bytes) else None


async def _coroutine(call: Awaitable[None]) -> None:
    await call


def _is_age(held: Held, age_s: float, first_s: float, last_s: float) -> bool:
    return first_s - held.written_s - _ROUNDING_S <= age_s <= last_s - held.written_s + _ROUNDING_S
