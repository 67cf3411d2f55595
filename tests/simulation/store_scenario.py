"""Readers and writers of one Valkey while faults come and go: each answer is checked against the history of the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final
from unittest.mock import patch

import attrs
import msgpack
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.simulation import store_model
from tests.simulation.store_faults import FAULTS, HOST, MALFORMED, READER, Fault, WatchedValkey
from tests.simulation.store_model import AGENT_INTERVAL_S, MAX_ENTRY_BYTES, Question, Span

from statcore.concurrency import on_retry
from statcore.errors import AccessDeniedError, ProtocolError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    activity_keys,
    agent_ttl_s,
    endpoint_key,
    metrics_entry,
    replica_key,
)
from statcore.testing.simulation import Simulation, simulate
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, commands, server

URL: Final = f"valkey://{READER.name}:{READER.password}@store"
KERNELS: Final = [f"kernel-{number}" for number in range(9)]
ENDPOINTS: Final = ["endpoint-0", "endpoint-1"]
PAIRS: Final = [(endpoint, f"replica-{number}") for endpoint in ENDPOINTS for number in range(2)]
AGENTS: Final = ["agent-0", "agent-1", "agent-2"]
SESSIONS: Final = ["session-0", "session-1", "session-2"]
SUNK: Final = ["sunk-0", "sunk-1", "sunk-2"]
"""The kernels that statcore itself writes."""
UNKNOWN: Final = "nobody"
RECOVERY_S: Final = 1.5
"""How long after a fault a call may need to succeed: the longest pause between two attempts, and an exchange."""
_MOMENT_S: Final = 0.001
_QUICK_RETRIES: Final = 6
_LATER_PAUSE_S: Final = 0.5
"""The shortest pause between two attempts after the quick ones, whose pauses double."""
_PROMPT_S: Final = 0.1
"""How soon after the call or the fault an error comes that no retry would change, if nothing keeps answers away."""
_IN_FLIGHT_S: Final = 0.5
"""How long what was sent over a slow path may be on its way."""
_FAULTY_S: Final = 6.0
_KINDS: Final[list[tuple[Callable[[Any], Question], list[Any]]]] = [
    (store_model.kernels, [*KERNELS, *SUNK, UNKNOWN]),
    (store_model.columns, [*KERNELS, *SUNK, UNKNOWN]),
    (store_model.endpoints, [*ENDPOINTS, UNKNOWN]),
    (store_model.replicas, [*PAIRS, (UNKNOWN, UNKNOWN)]),
    (store_model.agents, [*AGENTS, UNKNOWN]),
    (store_model.activity, [*SESSIONS, UNKNOWN]),
]


@attrs.define
class Trouble:
    """A time in which a fault is there."""

    fault: Fault
    first_s: float
    last_s: float = float("inf")


@attrs.frozen
class Reader:
    """A store and the options that matter for what it may answer."""

    store: ValkeyStatistics
    options: ValkeyOptions

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"the reader of {self.options.timeout_s:g} s"


@attrs.define(eq=False)
class StoreScenario:
    """One run.

    Args:
        simulation: the simulation.
        faults: what may go wrong.
        has_long_entries: whether some entries are longer than readers take.
    """

    simulation: Simulation
    faults: list[Fault]
    _has_long_entries: bool
    server: WatchedValkey = attrs.field(init=False)
    troubles: list[Trouble] = attrs.field(factory=list[Trouble], init=False)
    answers: int = attrs.field(default=0, init=False)
    failures: int = attrs.field(default=0, init=False)
    _last_number: int = attrs.field(default=0, init=False)
    _until_s: float = attrs.field(default=0.0, init=False)

    async def run(self) -> None:
        """Let readers, writers and faults loose, heal, and check the answers after it."""
        self.server = WatchedValkey(self.simulation.network, "store", users={READER.name: READER})
        self.server.start()
        self._until_s = self._now_s() + _FAULTY_S
        patient = ValkeyOptions(timeout_s=4.0, pool_size=3, max_entry_bytes=MAX_ENTRY_BYTES)
        hasty = attrs.evolve(patient, timeout_s=0.2, pool_size=2)
        dated = attrs.evolve(patient, timeout_s=1.0, freshness_s=30.0, agent_interval_s=AGENT_INTERVAL_S)
        hosts = attrs.evolve(patient, timeout_s=0.7, ages=True, agent_interval_s=AGENT_INTERVAL_S)
        login = {"username": READER.name, "password": READER.password}
        driver: dict[str, Any] = {**login, "protocol": 2, "retry": Retry(NoBackoff(), 0), "client_name": HOST}
        clients = [Redis(host="store", db=db, **driver) for db in (0, 2)]
        async with AsyncExitStack() as stack:
            readers = [
                *[Reader(ValkeyStatistics.from_url(URL, options=options), options) for options in (patient, hasty, dated)],
                Reader(ValkeyStatistics.from_clients(*clients, options=hosts), hosts),
            ]
            sink = ValkeyStatisticsSink.from_url(URL, options=patient)
            for client in clients:
                await stack.enter_async_context(client)
            for reader in readers:
                await stack.enter_async_context(aclosing(reader.store))
            await stack.enter_async_context(aclosing(sink))
            async with asyncio.TaskGroup() as tasks:
                for job in (self._publish, self._spoil, self._harm, self._harm):
                    tasks.create_task(job())
                tasks.create_task(self._sink(sink))
                for reader in readers:
                    tasks.create_task(self._call(reader, readers))
            await self._expect_recovery(readers, sink)

    async def _expect_recovery(self, readers: list[Reader], sink: ValkeyStatisticsSink) -> None:
        """Without faults, each answer is right, and at once."""
        now_s = self._now_s()
        await self._store(sink, now_s)
        for kind, ids in _KINDS:
            for reader in readers:
                await self._ask(reader, kind(ids))
        assert self._now_s() - now_s < RECOVERY_S, f"after the faults, answers took {self._now_s() - now_s} s"
        for reader in readers:
            for keyspace in (reader.store._databases.statistics, reader.store._databases.live):
                node: Any = keyspace.only_node
                assert not node.pool._in_use_connections, f"{reader.name} uses connections for nothing"
                assert node._slots._value == reader.options.pool_size, f"{reader.name} has lost slots"

    # Writers

    async def _publish(self) -> None:
        """Publish growing numbers, as agents and the live service do."""
        random = self.simulation.random
        while self._goes_on():
            for _ in range(random.randint(1, 5)):
                self._publish_one()
            await asyncio.sleep(random.uniform(0.02, 0.3))

    def _publish_one(self) -> None:
        random, number = self.simulation.random, self._next_number()
        kind = random.choice(["kernel"] * 4 + ["endpoint", "replica", "agent", "session"])
        if kind == "session":
            key = random.choice(activity_keys(random.choice(SESSIONS)))
            self.server.publish(key, b"%d" % number, database=2)
            return
        places: dict[str, Callable[[], tuple[str, float]]] = {
            "kernel": lambda: (random.choice(KERNELS), KERNEL_TTL_S),
            "endpoint": lambda: (endpoint_key(random.choice(ENDPOINTS)), INFERENCE_TTL_S),
            "replica": lambda: (replica_key(random.choice(PAIRS)), INFERENCE_TTL_S),
            "agent": lambda: (random.choice(AGENTS), agent_ttl_s(AGENT_INTERVAL_S)),
        }
        key, usual_s = places[kind]()
        metrics = {"value": {"current": str(number), "unit_hint": key}}
        entry = {"node": metrics, "devices": {"value": metrics}} if kind == "agent" else metrics
        self.server.publish(key, _packed(entry), ttl_s=random.choice([usual_s, usual_s, usual_s, usual_s, 0.2, 1.0, None]))

    async def _spoil(self) -> None:
        """Plant payloads and types that are wrong; they stay until the next value is published."""
        random = self.simulation.random
        while self._goes_on():
            await asyncio.sleep(random.uniform(0.02, 0.3))
            key = random.choice([*KERNELS, *AGENTS, *SUNK])
            wrong = random.choice(["type", "type", "bytes", "bytes", "length"])
            if wrong == "type":
                self.server.plant_list(key)
            elif wrong == "bytes":
                self.server.publish(key, random.choice(MALFORMED), ttl_s=KERNEL_TTL_S)
            elif self._has_long_entries:
                length = random.choice([MAX_ENTRY_BYTES, 6_000])
                entry = {"value": {"current": str(self._next_number()), "unit_hint": key, "text": "a" * length}}
                self.server.publish(key, _packed(entry), ttl_s=KERNEL_TTL_S)

    async def _sink(self, sink: ValkeyStatisticsSink) -> None:
        """Write through statcore; what it confirms was written, and what it refuses has a reason."""
        random = self.simulation.random
        while self._goes_on():
            await self._maybe_cancelled(self._store(sink, self._now_s()))
            await asyncio.sleep(random.uniform(0.0, 0.3))

    async def _store(self, sink: ValkeyStatisticsSink, first_s: float) -> None:
        retries: list[StatcoreError] = []
        on_retry.set(retries.append)  # for this task
        number = self._next_number()
        entries = {key: {"value": MetricValue(current=str(number), unit_hint=key)} for key in SUNK}
        try:
            await sink.store_kernel_statistics(entries)
        except StatcoreError as error:
            self._check_failure("the sink", 4.0, first_s, error, len(retries))
        else:
            for key, metrics in entries.items():
                is_written = self.server.history.was(key, metrics_entry(metrics), first_s, self._now_s())
                assert is_written, f"{key} was confirmed, but never written with number {number}"

    # Readers

    async def _call(self, reader: Reader, readers: list[Reader]) -> None:
        """Read one thing after the other, sometimes several at once, sometimes cancelled."""
        random = self.simulation.random
        while self._goes_on():
            burst = random.choice([1, 1, 1, 2, 5])
            async with asyncio.TaskGroup() as tasks:
                for _ in range(burst):
                    kind, ids = random.choice(_KINDS)
                    question = kind([random.choice(ids) for _ in range(random.randint(1, 12))])
                    tasks.create_task(self._maybe_cancelled(self._ask(random.choice([reader, *readers]), question)))
            await asyncio.sleep(random.choice([0.0, 0.05, 0.4]))

    async def _maybe_cancelled(self, call: Any) -> None:
        """Wait for a call, or cancel it at any moment; then it ends at once, as cancelled."""
        random = self.simulation.random
        task = asyncio.create_task(call)
        if random.random() < 0.7:
            await task
            return
        await asyncio.wait([task], timeout=random.choice([0.0, 0.001, 0.003, 0.1, 1.0]) * random.random())
        if task.done():
            await task
            return
        task.cancel()
        await asyncio.wait([task], timeout=_MOMENT_S)
        assert task.done(), f"a cancelled call goes on: {_chain(task.get_coro())}"
        if not task.cancelled():
            await task
            raise AssertionError("a cancelled call returned")

    async def _ask(self, reader: Reader, question: Question) -> None:
        first_s = self._now_s()
        retries: list[StatcoreError] = []
        on_retry.set(retries.append)  # for this task
        try:
            answer = await question.call(reader.store)
        except StatcoreError as error:
            self._check_failure(f"{reader.name}, {question}", reader.options.timeout_s, first_s, error, len(retries))
            return
        except Exception as error:
            raise AssertionError(f"{reader.name}, {question}: {error!r} is no error of statcore") from error
        options = reader.options
        is_dated = options.ages or options.freshness_s is not None
        span = Span(first_s, self._now_s(), is_dated=is_dated, freshness_s=options.freshness_s)
        try:
            fault = question.check(self.server.history, answer, span)
        except StatcoreError as error:
            raise AssertionError(f"{reader.name}, {question}: an entry cannot be read: {error}") from error
        assert fault is None, f"{reader.name}, from {first_s} to {span.last_s}: {fault}"
        assert span.last_s - first_s <= reader.options.timeout_s + _MOMENT_S, (
            f"{reader.name} took {span.last_s - first_s} s"
        )
        self.answers += 1

    def _check_failure(self, who: str, timeout_s: float, first_s: float, error: StatcoreError, retries: int) -> None:
        """Check that an error has a reason, and that nothing else could be done until the deadline."""
        now_s = self._now_s()
        what = f"{who}, after {now_s - first_s} s and {retries} retries: {error!r}"
        self.failures += 1
        assert now_s - first_s <= timeout_s + _MOMENT_S, f"late: {what}"
        assert retries <= _QUICK_RETRIES + timeout_s / _LATER_PAUSE_S, f"too often: {what}"
        assert str(READER.password) not in _shown(error), f"the password is shown: {what}"
        for kind in (ProtocolError, AccessDeniedError):
            if isinstance(error, kind):
                assert self._was_troubled(first_s, now_s, raises=kind), f"without a reason: {what}"
                begun_s = max(trouble.first_s for trouble in self.troubles if trouble.fault.raises is kind)
                is_prompt = now_s - max(first_s, begun_s) < _PROMPT_S
                is_prompt |= self._was_troubled(first_s - _IN_FLIGHT_S, now_s, raises=None)
                assert is_prompt, f"tried again in vain: {what}"
                return
        assert isinstance(error, UnavailableError | TimedOutError), f"not the error for it: {what}"
        assert now_s - first_s >= timeout_s - _MOMENT_S, f"given up: {what}"
        assert self._was_troubled(max(first_s, now_s - RECOVERY_S), now_s), f"without a reason: {what}"

    # Faults

    async def _harm(self) -> None:
        """Let one fault after the other begin and end."""
        random = self.simulation.random
        while self._goes_on() and self.faults:
            await asyncio.sleep(random.uniform(0.0, 1.5))
            trouble = Trouble(random.choice(self.faults), self._now_s())
            if any(trouble.fault.name == other.fault.name for other in self._present()):
                continue
            self.simulation.record(f"fault: {trouble.fault.name}")
            end = trouble.fault.begin(self.server, random)
            self.troubles.append(trouble)
            await asyncio.sleep(random.choice([0.05, 0.5, 2.0]) * random.random())
            end()
            trouble.last_s = self._now_s()
            self.simulation.record(f"no more: {trouble.fault.name}")

    def _present(self) -> list[Trouble]:
        return [trouble for trouble in self.troubles if trouble.last_s == float("inf")]

    def _was_troubled(self, first_s: float, last_s: float, *, raises: Any = ...) -> bool:
        """Return whether any fault, or one that raises this, was there at some time between two times."""
        return any(
            trouble.first_s <= last_s and trouble.last_s >= first_s and raises in (..., trouble.fault.raises)
            for trouble in self.troubles
        )

    def _goes_on(self) -> bool:
        return self._now_s() < self._until_s

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


def run_store(seed: int) -> tuple[int, int]:
    """Run the scenario by a seed, and return how many answers were right and how many calls failed for a reason."""

    async def scenario(simulation: Simulation) -> tuple[int, int]:
        share = simulation.random.choice([0.15, 0.5, 1.0])
        faults = [fault for fault in FAULTS if simulation.random.random() < share]
        run = StoreScenario(simulation, faults, simulation.random.random() < 0.3)
        await run.run()
        return run.answers, run.failures

    several_commands = patch.object(commands, "KEYS_PER_COMMAND", 4 if seed % 2 else 1_000)
    with several_commands, patch.object(server, "_LONGEST_VALUE", MAX_ENTRY_BYTES):
        return simulate(scenario, seed=seed)


def _shown(error: BaseException | None) -> str:
    """Return what a traceback shows of an error and of those that led to it."""
    shown = ""
    while error is not None:
        shown += f"{error!r}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown


def _packed(entry: Any) -> bytes:
    packed: bytes = msgpack.packb(entry)
    return packed


def _chain(coroutine: Any) -> list[str]:
    """Return where a coroutine waits, from outside to inside."""
    found: list[str] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None:
            found.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        coroutine = getattr(coroutine, "cr_await", None)
    return found
