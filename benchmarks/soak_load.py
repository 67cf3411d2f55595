"""The process of a soak that reads at full speed, writes, checks each answer, and says what is left when it ends."""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from random import Random
from typing import Any, Final

import aiohttp
import attrs
import psutil
from soak_ledger import Ledger
from soak_memory import SAMPLE_S, MemorySample, MemorySamples
from soak_reads import OBJECTS_OF_STORE, LiveReads, MetricReads, Read, ServiceReads, write_all
from soak_tally import Leaks, Outcome, Tally

from statcore.errors import StatcoreError, UnavailableError
from statcore.ports import StatisticsSinkPort
from statcore.statistics import StatisticsRepositories
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey.node import RedisNode

CLUSTER: Final = "Valkey cluster"
SENTINELS: Final = "Valkey with sentinels"
REPLICAS: Final = "replicas of the cluster"
PAIR: Final = "Prometheus pair"
ENGINE: Final = "VictoriaMetrics"
SERVICE: Final = "service"
TIMEOUT_S: Final = 2.0
"""The deadline of a call to a store or backend; a query of the service may take three times as long."""
_CALLERS: Final = 4
_CANCELLED: Final = 0.05
"""The share of calls that are cancelled on purpose."""
_CANCELLED_WITHIN_S: Final = 0.02
_WRITE_S: Final = 0.25
_PAUSE_S: Final = 0.05
_SETTLE_S: Final = 10.0
"""How long tasks and connections may take to end after everything is closed."""
_ANSWER_S: Final = 120.0
_RECOVERY_S: Final = 90.0
"""After how long a source counts as one that does not recover."""


@attrs.frozen(kw_only=True)
class Places:
    """Where the servers are; `engine` is None without one."""

    cluster: str
    sentinels: str
    pair: Sequence[str]
    engine: str | None
    service: str


@attrs.frozen
class Begin:
    """The fault of this name begins; `loses` says whether the source may lose writes that it has confirmed."""

    source: str
    fault: str
    loses: bool


@attrs.frozen
class Healed:
    """The servers of a source can answer everything again."""

    source: str


@attrs.frozen
class End:
    """The servers of a source are as before the fault."""

    source: str


@attrs.frozen
class Stop:
    """The load ends."""


@attrs.define(kw_only=True, eq=False)
class Load:
    """The load as the process of the faults sees it."""

    process: int
    _connection: Connection

    def begin(self, source: str, fault: str, *, loses: bool) -> None:
        """Say that a fault begins."""
        self._ask(Begin(source, fault, loses))

    def healed(self, source: str) -> float:
        """Say that the servers can answer, and return how many seconds it took until all kinds of read were right."""
        recovered_s = self._ask(Healed(source))
        assert isinstance(recovered_s, float)
        return recovered_s

    def end(self, source: str) -> None:
        """Say that the servers are as before."""
        self._ask(End(source))

    def stop(self) -> Outcome:
        """End the load, and return what it has measured."""
        outcome = self._ask(Stop())
        assert isinstance(outcome, Outcome)
        return outcome

    def _ask(self, message: Begin | Healed | End | Stop) -> object:
        try:
            self._connection.send(message)
            if not self._connection.poll(_ANSWER_S):
                raise TimeoutError(f"waited {_ANSWER_S:g} s for the readers after {message}")
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise UnavailableError("the process of the readers has ended; its traceback is above") from error


@contextmanager
def running_load(places: Places, *, seed: int) -> Generator[Load]:
    """Run the load in a process of its own within the block; it begins when everything is written once."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(places, seed, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_ANSWER_S):
            raise TimeoutError(f"waited {_ANSWER_S:g} s for the first writes")
        ours.recv()
        yield Load(process=process.pid or 0, connection=ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _run(places: Places, seed: int, connection: Connection) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):  # for all processes of the soak; the parent ends this one
        signal.signal(each, signal.SIG_IGN)
    asyncio.run(_Readers(places=places, seed=seed, connection=connection).run())


@attrs.define(kw_only=True, eq=False)
class _Readers:
    places: Places
    seed: int
    connection: Connection
    _tallies: dict[str, Tally] = attrs.field(factory=dict[str, Tally], init=False)
    _kinds: dict[str, Mapping[str, Read]] = attrs.field(factory=dict[str, Mapping[str, Read]], init=False)
    _ledgers: dict[str, Ledger] = attrs.field(factory=dict[str, Ledger], init=False)
    _fault: tuple[str, float] = attrs.field(factory=lambda: ("the start", time.monotonic()), init=False)
    """The last fault, and when it began."""
    _recovering: dict[str, tuple[float, set[str]]] = attrs.field(factory=dict[str, tuple[float, set[str]]], init=False)
    """By source: when it was healed, and the kinds of read that have not been right since then."""
    _recoveries_s: dict[str, list[float]] = attrs.field(factory=lambda: defaultdict[str, list[float]](list), init=False)
    _memory: MemorySamples = attrs.field(factory=MemorySamples, init=False)
    _most_connections: int = attrs.field(default=0, init=False)
    _stopped: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Read and write until the parent says stop, or ends."""
        loop = asyncio.get_running_loop()
        files, threads = psutil.Process().num_fds(), threading.active_count()
        start_s = time.monotonic()
        async with self._opened() as writers:
            tasks: list[asyncio.Task[None]] = [asyncio.create_task(writer) for writer in writers]
            tasks += [
                asyncio.create_task(self._call_repeatedly(source, _random(f"{self.seed} {source} {number}")))
                for source in self._kinds
                for number in range(_CALLERS)
            ]
            tasks.append(asyncio.create_task(self._watch_process()))
            loop.add_reader(self.connection.fileno(), self._receive)
            self.connection.send("ready")
            await self._stopped.wait()
            loop.remove_reader(self.connection.fileno())
            seconds = time.monotonic() - start_s
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if not isinstance(error, asyncio.CancelledError):
                    self._tallies[CLUSTER].add_error("a task of the soak", error or RuntimeError("ended"))
            in_use = await _connections_in_use()
        leaks = await _leaks(files=files, threads=threads, connections_in_use=in_use)
        self.connection.send(
            Outcome(
                tallies=self._tallies,
                recoveries_s=dict(self._recoveries_s),
                memory=list(self._memory),
                leaks=leaks,
                most_connections=self._most_connections,
                seconds=seconds,
            )
        )

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[list[Coroutine[Any, Any, None]]]:
        """Open all clients within the block, with everything written once; yield the writers."""
        places = self.places
        writers: list[Coroutine[Any, Any, None]] = []
        async with AsyncExitStack() as stack:
            for source, url in ((CLUSTER, places.cluster), (SENTINELS, places.sentinels)):
                options = ValkeyOptions(timeout_s=TIMEOUT_S, live_db=0)
                store = await stack.enter_async_context(aclosing(ValkeyStatistics.from_url(url, options=options)))
                sink = await stack.enter_async_context(aclosing(ValkeyStatisticsSink.from_url(url, options=options)))
                self._ledgers[source] = ledger = Ledger(OBJECTS_OF_STORE)
                self._add(source, LiveReads(StatisticsRepositories.create(store).repository, ledger).kinds)
                await write_all(sink, ledger)
                writers.append(self._write_repeatedly(source, sink, ledger))
            options = ValkeyOptions(timeout_s=TIMEOUT_S, live_db=0, read_from_replicas=True)
            replicas = await stack.enter_async_context(aclosing(ValkeyStatistics.from_url(places.cluster, options=options)))
            of_replicas = StatisticsRepositories.create(replicas).repository
            self._add(REPLICAS, LiveReads(of_replicas, self._ledgers[CLUSTER], is_behind=True).kinds)
            first, *others = places.pair
            options_of_pair = PrometheusOptions(timeout_s=TIMEOUT_S, fallback_urls=tuple(others), failback_s=5.0)
            pair = await stack.enter_async_context(aclosing(PrometheusClient(first, options=options_of_pair)))
            self._add(PAIR, MetricReads(pair).kinds)
            if places.engine is not None:
                options_of_engine = PrometheusOptions(timeout_s=TIMEOUT_S)
                client = PrometheusClient(places.engine, options=options_of_engine)
                engine = await stack.enter_async_context(aclosing(client))
                self._add(ENGINE, MetricReads(engine, has_gaps=True).kinds)
            timeout = aiohttp.ClientTimeout(total=4 * TIMEOUT_S)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            service = ServiceReads(session, places.service, self._ledgers[CLUSTER])
            self._add(SERVICE, service.kinds, deadline_s=3 * TIMEOUT_S)
            yield writers

    def _add(self, source: str, kinds: Mapping[str, Read], *, deadline_s: float = TIMEOUT_S) -> None:
        self._kinds[source] = kinds
        self._tallies[source] = Tally(deadline_s=deadline_s)

    async def _call_repeatedly(self, source: str, random: Random) -> None:
        kinds = self._kinds[source]
        while True:
            await self._call(source, random.choice(list(kinds)), random)
            await asyncio.sleep(0)

    async def _call(self, source: str, kind: str, random: Random) -> None:
        """Make a call, perhaps cancel it, check its answer, and count it."""
        tally, read = self._tallies[source], self._kinds[source][kind]
        is_cancelled, patience_s = random.random() < _CANCELLED, random.uniform(0, _CANCELLED_WITHIN_S)
        began_s = time.monotonic()
        task = asyncio.create_task(read(random))
        try:
            if is_cancelled:
                await asyncio.wait([task], timeout=patience_s)
                task.cancel()
            await asyncio.wait([task])
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        tally.calls += 1
        if task.cancelled():
            if is_cancelled:
                tally.abandoned += 1
            else:
                tally.add_error(self._where(kind), asyncio.CancelledError())
            return
        tally.durations.add(time.monotonic() - began_s)
        if (error := task.exception()) is not None:
            tally.add_error(self._where(kind), error)
            return
        answer = task.result()
        tally.add(self._where(kind), answer)
        if answer.is_whole:
            self._note_recovery(source, kind, began_s)

    def _where(self, kind: str) -> str:
        fault, began_s = self._fault
        return f"{kind}, {time.monotonic() - began_s:.1f} s after the begin of '{fault}'"

    def _note_recovery(self, source: str, kind: str, began_s: float) -> None:
        if source not in self._recovering:
            return
        healed_s, missing = self._recovering[source]
        if began_s >= healed_s:
            missing.discard(kind)
        if not missing:
            del self._recovering[source]
            self._recovered(time.monotonic() - healed_s)

    def _give_up(self, source: str, healed_s: float) -> None:
        if self._recovering.get(source, (0.0, None))[0] == healed_s:
            del self._recovering[source]
            self._recovered(math.inf)

    def _recovered(self, after_s: float) -> None:
        self._recoveries_s[self._fault[0]].append(after_s)
        self.connection.send(after_s)

    async def _write_repeatedly(self, source: str, sink: StatisticsSinkPort, ledger: Ledger) -> None:
        tally = self._tallies[source]
        while True:
            try:
                await write_all(sink, ledger)
                tally.writes += 1
            except StatcoreError as error:
                tally.add_error(self._where("write"), error)
            await asyncio.sleep(_WRITE_S)

    def _receive(self) -> None:
        """Take a message of the parent, and answer it now, or once the source has recovered."""
        try:
            message = self.connection.recv()
        except EOFError:
            self._stopped.set()
            return
        if isinstance(message, Begin):
            self._fault = message.fault, time.monotonic()
            if message.loses:
                self._ledgers[message.source].begin_loss()
        elif isinstance(message, Healed):
            healed_s = time.monotonic()
            self._recovering[message.source] = healed_s, set(self._kinds[message.source])
            asyncio.get_running_loop().call_later(_RECOVERY_S, self._give_up, message.source, healed_s)
            return
        elif isinstance(message, End):
            if message.source in self._ledgers:
                self._ledgers[message.source].end_loss()
        else:
            self._stopped.set()
            return
        self.connection.send(None)

    async def _watch_process(self) -> None:
        """Note the memory and the connections of this process again and again."""
        process = psutil.Process()
        while True:
            self._memory.add(MemorySample.now())
            ports = Counter(each.raddr.port for each in process.net_connections("tcp") if each.raddr)
            self._most_connections = max(self._most_connections, *ports.values(), 0)
            await asyncio.sleep(SAMPLE_S)


def _random(seed: str) -> Random:
    return Random(seed)  # noqa: S311 - no secret


async def _connections_in_use() -> int:
    """Return how many places in the pools of all servers are still taken; a search for the servers has some time to end."""
    nodes = [each for each in gc.get_objects() if isinstance(each, RedisNode)]
    deadline = time.monotonic() + _SETTLE_S
    while True:
        in_use: int = sum(node.pool_size - node._slots._value for node in nodes)  # type: ignore[attr-defined]  # noqa: SLF001
        if not in_use or time.monotonic() > deadline:
            return in_use
        await asyncio.sleep(_PAUSE_S)


async def _leaks(*, files: int, threads: int, connections_in_use: int) -> Leaks:
    """Return what is left after everything is closed, with some time to end."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        gc.collect()
        leaks = Leaks(
            connections_in_use=connections_in_use,
            tasks=len(asyncio.all_tasks()) - 1,
            files_and_sockets=max(0, psutil.Process().num_fds() - files),
            threads=max(0, threading.active_count() - threads),
        )
        if leaks.has_ended or time.monotonic() > deadline:
            return leaks
        await asyncio.sleep(_PAUSE_S)
