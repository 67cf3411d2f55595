"""Runs a scenario by a seed, and shows the seed and the last events when it fails."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from statcore.testing.expectations import expect
from statcore.testing.simulation.event_loop import NothingLeftError, SimulatedLoop
from statcore.testing.simulation.network import Network

_KEPT_EVENTS: Final = 40
_SETTLE_S: Final = 0.01
_SETTLINGS: Final = 100
_LONGEST_S: Final = 7 * 86_400.0
TRACE: Final = "SIMULATION_TRACE"
"""With this environment variable, every event is written to standard error when it happens."""

_Result = TypeVar("_Result")
_Keep: TypeAlias = Callable[[float, str], None]


@attrs.frozen(eq=False)
class Simulation:
    """What a scenario gets.

    Attributes:
        network: the hosts and their connections.
        random: chooses what happens; nothing else may, so that a seed is one run.
        record: keeps a line about an event, shown when the run fails.
    """

    network: Network
    random: Random
    record: Callable[[str], None]


@attrs.define(eq=False)
class SimulationSteps:
    """A simulation that goes on whenever a coroutine is run; tasks that were started go on with it."""

    simulation: Simulation
    _runner: asyncio.Runner
    has_failed: bool = attrs.field(default=False, init=False)

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine to its end and return its result.

        Raises:
            AssertionError: it waits for something that never happens.
            Exception: its own error.
        """
        try:
            return self._runner.run(_bounded(coroutine))
        except BaseException:
            self.has_failed = True
            raise


@contextmanager
def simulation_steps(*, seed: int) -> Generator[SimulationSteps]:
    """Yield a simulation that a test runs step by step, such as a state machine; the end of the block is checked.

    Args:
        seed: as in `simulate`.

    Raises:
        AssertionError: as in `simulate`, unless a step has failed.
    """
    with _noted_events(seed) as keep, _own_chance(seed), _steps(seed, keep) as steps:
        yield steps


def simulate(scenario: Callable[[Simulation], Coroutine[Any, Any, _Result]], *, seed: int) -> _Result:
    """Run a scenario in a `SimulatedLoop` and return its result; the same seed makes the same run in every process.

    Tasks and futures of a set have one order, and connections that are closed together end in one order. A set of other
    objects whose hashes are addresses of memory has another order in each process: code that goes through one should use a
    dict, or sort it.

    Args:
        scenario: starts its servers and clients, and closes both before it returns.
        seed: chooses everything that is left to chance, also by the module `random`.

    Raises:
        AssertionError: the scenario left a task, a connection of a client or a warning, an error was logged by the event
            loop, or nothing could happen any more.
        Exception: an error of the scenario. Each has a note with the seed and the last events.
    """

    def run(keep: _Keep) -> _Result:
        with _steps(seed, keep) as steps:
            return steps.run(scenario(steps.simulation))

    with _noted_events(seed) as keep, _own_chance(seed):
        return run(keep)  # whose frame is gone when the garbage of the run is collected


@contextmanager
def _steps(seed: int, keep: _Keep) -> Generator[SimulationSteps]:
    source = Random(seed)  # noqa: S311 - a seed, no secret
    network = Network(source, keep)
    errors: list[str] = []
    with _strict_warnings(), asyncio.Runner(loop_factory=lambda: SimulatedLoop(network)) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, found: errors.append(f"{found['message']}: {found.get('exception')!r}"))
        steps = SimulationSteps(Simulation(network, source, network.record), runner)
        try:
            yield steps
            if not steps.has_failed:
                runner.run(_expect_nothing_left(network))
                gc.collect()  # calls `__del__` of what was dropped, while its warnings are errors
        finally:
            for connection in network.ends():
                connection.abort()
    expect([], errors, "errors that the event loop logged")
    network.forget_hosts()


@contextmanager
def _noted_events(seed: int) -> Generator[_Keep]:
    """Yield what keeps an event; an error gets a note with the last ones."""
    events: deque[str] = deque(maxlen=_KEPT_EVENTS)
    is_traced = bool(os.environ.get(TRACE))

    def keep(time_s: float, event: str) -> None:
        line = f"{time_s:14.6f}  {event}"
        events.append(line)
        if is_traced:
            sys.stderr.write(f"{line}\n")

    try:
        yield keep
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}; {TRACE}=1 shows every event; the last ones:", *events]))
        raise


async def _bounded(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    timer = asyncio.timeout(_LONGEST_S)
    try:
        async with timer:
            return await coroutine
    except TimeoutError as error:
        if timer.expired():
            raise NothingLeftError("a task still waits after a week of simulated time") from error
        raise


async def _expect_nothing_left(network: Network) -> None:
    left = [end for end in network.ends() if end.is_client]
    expect([], left, "connections that are left open")
    for _ in range(_SETTLINGS):
        if not list(network.ends()):
            break
        await network.settle()
        await asyncio.sleep(_SETTLE_S)  # servers see the end of their connections
    left = list(network.ends())
    expect([], left, "connections that servers keep when their clients are gone")
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    expect([], tasks, "tasks that are left")


@contextmanager
def _own_chance(seed: int) -> Generator[None]:
    """Seed the module `random`, and keep the garbage collector from choosing moments of its own."""
    state, had_collector = random.getstate(), gc.isenabled()
    random.seed(seed)
    gc.disable()
    gc.freeze()  # so that the collection at the end looks only at objects of this run
    try:
        yield
    finally:
        gc.collect()  # what the run held to its end; the next run would freeze it
        gc.unfreeze()
        random.setstate(state)
        if had_collector:
            gc.enable()


@contextmanager
def _strict_warnings() -> Generator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        warnings.simplefilter("always", RuntimeWarning)
        yield
    expect([], [str(warning.message) for warning in caught], "warnings")
