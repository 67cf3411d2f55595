"""A store and a sink on one simulated Valkey, in any order of steps, against a plain model of the keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import msgpack
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import PROFILE
from tests.simulation import planting
from tests.simulation.seeds import SEEDS
from tests.simulation.store_faults import MALFORMED, WatchedValkey
from tests.simulation.store_model import MAX_ENTRY_BYTES, Question, Span, kernels

from statcore.errors import ClosedError, StatcoreError, TimedOutError, UnavailableError
from statcore.model import MetricValue
from statcore.testing.simulation import SimulationSteps, simulation_steps
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

KEYS: Final = ["a", "b", "c", "d"]
OPTIONS: Final = ValkeyOptions(timeout_s=2.0, pool_size=2, max_entry_bytes=MAX_ENTRY_BYTES)
_MOMENT_S: Final = 0.001
_RETRY_S: Final = 1.5
_keys: Final = st.lists(st.sampled_from(KEYS), min_size=1, max_size=6)
_seconds: Final = st.sampled_from([0.0, 0.0005, 0.003, 0.5, 1.0, 3.0])


class Read:
    """A read that goes on in the background."""

    def __init__(self, question: Question, store: ValkeyStatistics) -> None:
        """Start it; the event loop runs."""
        self.question = question
        self.first_s = _now_s()
        self.last_s = float("inf")
        self.task = asyncio.ensure_future(question.call(store))
        self.task.add_done_callback(self._end)

    def _end(self, _: object) -> None:
        self.last_s = _now_s()


class StoreMachine(RuleBasedStateMachine):
    """What may happen to a store, and what must follow from it."""

    reads = Bundle("reads")

    @initialize(seed=st.integers(0, 2**32 - 1))
    def start(self, seed: int) -> None:
        """Start the server and open a store and a sink; nothing is sent."""
        self._stack = ExitStack()
        self.steps: SimulationSteps = self._stack.enter_context(simulation_steps(seed=seed))
        self._number = 0
        self._running: list[Read] = []
        self._health: list[tuple[float, bool]] = []
        self.steps.run(self._open())

    async def _open(self) -> None:
        self.server = WatchedValkey(self.steps.simulation.network, "store")
        self.server.start()
        self.store = ValkeyStatistics.from_url("valkey://store", options=OPTIONS)
        self.sink = ValkeyStatisticsSink.from_url("valkey://store", options=OPTIONS)

    def teardown(self) -> None:
        """Close the store and the sink; the simulation checks that nothing is left."""
        if hasattr(self, "steps") and not self.steps.has_failed:
            self.steps.run(self._close())
        if hasattr(self, "_stack"):
            self._stack.close()

    async def _close(self) -> None:
        await self.store.aclose()
        await self.sink.aclose()
        for read in self._running:
            await asyncio.wait([read.task], timeout=OPTIONS.timeout_s + _MOMENT_S)  # it may be about to connect
            assert read.task.done(), "a read goes on in a closed store"
            self._judge(read, is_closed=True)

    # What the server holds

    @rule(key=st.sampled_from(KEYS), ttl_s=st.sampled_from([None, 0.5, 3.0, 86_400.0]))
    def publish(self, key: str, ttl_s: float | None) -> None:
        """An agent writes an entry."""
        self._do(lambda: self.server.publish(key, msgpack.packb(self._entry(key)), ttl_s=ttl_s))

    @rule(key=st.sampled_from(KEYS), payload=st.sampled_from(MALFORMED))
    def spoil(self, key: str, payload: bytes) -> None:
        """Something that is no entry is written."""
        self._do(lambda: self.server.publish(key, payload))

    @rule(key=st.sampled_from(KEYS))
    def plant_list(self, key: str) -> None:
        """Another type is written."""
        self._do(lambda: self.server.plant_list(key))

    @rule(keys=_keys)
    def write(self, keys: list[str]) -> None:
        """The sink writes entries: they are there afterwards, or an error says that they may not be."""
        entries = {key: self._entry(key) for key in keys}
        values = {
            key: {"value": MetricValue(current=entry["value"]["current"], unit_hint=key)} for key, entry in entries.items()
        }
        if self._try(self.sink.store_kernel_statistics(values)):
            for key, entry in entries.items():
                (state,) = self.server.history.possible(key, self._now_s(), self._now_s())
                assert entry["value"]["current"] == state.entry["value"]["current"]

    @rule(keys=_keys)
    def remove(self, keys: list[str]) -> None:
        """The sink removes entries."""
        if self._try(self.sink.remove(keys)):
            for key in keys:
                (state,) = self.server.history.possible(key, self._now_s(), self._now_s())
                assert state.kind == "none"

    # What is read

    @rule(keys=_keys)
    def read(self, keys: list[str]) -> None:
        """A store that is reached answers what its keys hold; otherwise the call fails at its deadline."""
        question, first_s = kernels(keys), self._now_s()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await question.call(self.store))

        if self._try(ask()):
            fault = question.check(self.server.history, answers[0], Span(first_s, self._now_s()))
            assert fault is None, fault

    @rule(target=reads, keys=_keys)
    def start_read(self, keys: list[str]) -> Read:
        """A read begins, and goes on while other things happen."""

        async def begin() -> Read:
            return Read(kernels(keys), self.store)

        read = self.steps.run(begin())
        self._running.append(read)
        return read

    @rule(target=reads, read=consumes(reads), seconds=_seconds)
    def cancel(self, read: Read, seconds: float) -> Any:
        """A read that runs is cancelled: it ends at once, whatever it waits for."""
        self.advance(seconds)
        if read.task.done():
            self._finish(read)
            return multiple()

        async def end() -> None:
            read.task.cancel()
            await asyncio.wait([read.task], timeout=_MOMENT_S)

        self.steps.run(end())
        assert read.task.cancelled(), f"a cancelled read goes on, or returns: {read.task}"
        self._running.remove(read)
        return multiple()

    @rule(read=consumes(reads))
    def finish(self, read: Read) -> None:
        """A read is waited for."""
        self._finish(read)

    def _finish(self, read: Read) -> None:
        if read not in self._running:
            return

        async def wait() -> None:
            await asyncio.wait([read.task], timeout=OPTIONS.timeout_s + _MOMENT_S)

        self.steps.run(wait())
        assert read.task.done(), "a read is late"
        self._running.remove(read)
        self._judge(read)

    def _judge(self, read: Read, *, is_closed: bool = False) -> None:
        took_s = read.last_s - read.first_s
        assert took_s <= OPTIONS.timeout_s + _MOMENT_S, f"a read took {took_s} s"
        error = read.task.exception()
        if error is None:
            fault = read.question.check(self.server.history, read.task.result(), Span(read.first_s, read.last_s))
            assert fault is None, fault
        elif not (is_closed and isinstance(error, ClosedError)):
            self._check_failure(error, took_s)
            first_s = max(read.first_s, read.last_s - _RETRY_S)
            assert not self._was_well(first_s, read.last_s), f"without a reason: {error!r}"

    # What goes wrong

    @rule(seconds=_seconds)
    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.steps.run(asyncio.sleep(seconds))

    @rule(empty=st.booleans())
    @precondition(lambda self: self.server.is_running)
    def kill(self, empty: bool) -> None:  # noqa: FBT001 - a rule
        """The server is killed, perhaps together with its data."""

        def end() -> None:
            self.server.crash()
            if empty:
                self.server.flush()

        self._do(end)

    @rule()
    @precondition(lambda self: not self.server.is_running)
    def restart(self) -> None:
        """It is started again."""
        self._do(self.server.start)

    @rule()
    def reset(self) -> None:
        """All its connections are reset."""

        def abort() -> None:
            for end in self.server.host.connections():
                end.abort()

        self._do(abort)

    @rule(fault=st.sampled_from(["hung", "cut", "loading"]))
    def harm(self, fault: str) -> None:
        """It hangs, is cut off, or loads its data."""
        if fault == "hung":
            self._do(self.server.hang)
        elif fault == "cut":
            self._do(self.server.host.cut)
        else:
            self.server.is_loading = True

    @rule(piece_bytes=st.sampled_from([1, 7, None]))
    def cut_into_pieces(self, piece_bytes: int | None) -> None:
        """Bytes arrive in pieces from now on."""
        self.server.host.path.piece_bytes = piece_bytes

    @rule()
    def heal(self) -> None:
        """All is well again."""

        def mend() -> None:
            self.server.host.heal()
            self.server.heal()

        self._do(mend)

    @rule()
    def reopen(self) -> None:
        """The store and the sink are closed, while reads may run, and new ones are opened."""

        async def renew() -> None:
            await self._close()
            self._running = []
            self.store = ValkeyStatistics.from_url("valkey://store", options=OPTIONS)
            self.sink = ValkeyStatisticsSink.from_url("valkey://store", options=OPTIONS)

        self.steps.run(renew())

    # What always holds

    @invariant()
    def connections_are_few(self) -> None:
        """No more connections are open than the pools of the store and the sink may have."""
        if hasattr(self, "steps"):
            clients = [end for end in self.steps.simulation.network.ends() if end.is_client]
            assert len(clients) <= 2 * OPTIONS.pool_size

    @property
    def is_well(self) -> bool:
        """Whether the server answers."""
        is_reached = self.server.is_running and not self.server.host.path.is_cut
        return is_reached and not self.server.is_hung and not self.server.is_loading

    @invariant()
    def health_is_noted(self) -> None:
        """Keep whether the server answers from now on."""
        if hasattr(self, "steps"):
            self._health.append((self._now_s(), self.is_well))

    def _was_well(self, first_s: float, last_s: float) -> bool:
        """Return whether the server answered all the time between two times."""
        before = [is_well for since_s, is_well in self._health if since_s <= first_s]
        return all(before[-1:]) and all(is_well for since_s, is_well in self._health if first_s <= since_s <= last_s)

    def _try(self, call: Coroutine[Any, Any, object]) -> bool:
        """Return whether a call succeeded: it does if the server answers, and otherwise it fails at its deadline."""
        first_s = self._now_s()
        error = self.steps.run(_error_of(call))
        took_s = self._now_s() - first_s
        if self.is_well:
            assert error is None, f"the server answers, but a call failed: {error!r}"
            assert took_s < OPTIONS.timeout_s, f"a call took {took_s} s"
        else:
            self._check_failure(error, took_s)
        return self.is_well

    def _check_failure(self, error: BaseException | None, took_s: float) -> None:
        assert isinstance(error, UnavailableError | TimedOutError), f"not the error for it: {error!r}"
        assert abs(took_s - OPTIONS.timeout_s) <= _MOMENT_S, f"a call failed after {took_s} s: {error!r}"

    def _entry(self, key: str) -> dict[str, dict[str, str]]:
        """Return an entry that no other write had."""
        self._number += 1
        return {"value": {"current": str(self._number), "unit_hint": key}}

    def _do(self, change: Callable[[], object]) -> None:
        """Change something in the loop; no time passes."""

        async def now() -> None:
            change()

        self.steps.run(now())

    def _now_s(self) -> float:
        async def now() -> float:
            return _now_s()

        return self.steps.run(now())


async def _error_of(call: Coroutine[Any, Any, object]) -> StatcoreError | None:
    try:
        await call
    except StatcoreError as error:
        return error
    return None


def _now_s() -> float:
    return asyncio.get_running_loop().time()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = (
    settings(PROFILE, max_examples=1_000, stateful_step_count=80)
    if os.environ.get(SEEDS)
    else settings(PROFILE, max_examples=40, stateful_step_count=30)
)


@pytest.mark.parametrize(
    "plant",
    [
        planting.a_failure_is_nothing,
        planting.a_cancellation_is_swallowed,
        planting.the_deadline_is_late,
        planting.another_type_is_nothing,
        planting.connections_stay_open,
    ],
    ids=lambda plant: plant.__name__,
)
def test_the_machine_finds_a_planted_fault(plant: planting.Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails where the adapter has a fault."""
    plant(monkeypatch)
    find = settings(PROFILE, max_examples=500, stateful_step_count=30, phases=[Phase.generate], database=None)
    assert planting.is_found(partial(run_state_machine_as_test, StoreMachine, settings=find))
