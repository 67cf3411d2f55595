"""The life of runtimes against a plain model: opened, used, cancelled and closed in any order, while ports misbehave."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.conftest import PROFILE
from tests.support.runtime_hosts import KINDS, WELL, Kind, Life, answer_or_error, ended_with, error_of, host
from tests.support.scripted_adapters import SCRIPTED, ScriptedPort, Way, plugin_source

from statcore.errors import ClosedError, InputError, PluginError, StatcoreError
from statcore.plugins import PluginRegistry, PluginStatus
from statcore.runtime import Settings, open_runtime

TURNS: Final = 150
"""In so many turns of the event loop, all that does not hang has ended."""
OK: Final[st.SearchStrategy[Way]] = st.just("ok")
_MOST_CANCELLATIONS: Final = 3
"""A host hangs while it opens or is open, and again while it closes each of its two ports."""
MOST_OVER: Final = 2
"""How many hosts that have ended are remembered."""
FEW_TURNS: Final = st.integers(0, 30)
OURS: Final[tuple[Way, ...]] = (*WELL, "hang", "unavailable")
"""What an adapter of statcore may do; opening and closing may also fail with any other exception."""
OPENINGS: Final[tuple[Way, ...]] = (*OURS, "foreign", "exit", "nothing", "bare", "odd", "not async")
CLOSINGS: Final[tuple[Way, ...]] = (*OURS, "foreign", "exit")
ANSWERS: Final[tuple[Way, ...]] = (*OURS, "foreign", "exit", "nothing")
_HANGS_S: Final = 1.0
"""How long a plugin hangs; the others have a quarter of it to load, and on a busy machine another try."""
_ATTEMPTS: Final = 5
"""A machine may be too busy to load a plugin beside one that hangs."""
FAULTS: Final = {
    "import": "import nothing_of_this_name",
    "exit": "raise SystemExit(3)",
    "hang": f"import threading; threading.Event().wait({_HANGS_S})",
    "old": "STATCORE_PLUGIN_API = 0",
    "no hook": "STATCORE_PLUGIN_API = 1",
    "raise": plugin_source("life").replace("    return [Metric", "    1 / 0\n    return [Metric"),
    "misspelt": plugin_source("life").replace("statcore_metric_backends", "statcore_metric_backend"),
}
"""Modules of plugins that cannot be used, by what is wrong."""
_numbers: Final = count()


def mostly_well(ways: Sequence[Way]) -> st.SearchStrategy[Way]:
    """Return one of some ways, and as often "ok"."""
    return OK | st.sampled_from(ways)


def is_running(life: Life) -> bool:
    """Return whether the host has not ended."""
    return life.phase != "over"


def is_open(life: Life) -> bool:
    """Return whether the host is in its block."""
    return life.phase == "open"


def is_usable(life: Life) -> bool:
    """Return whether there is a runtime that is open, or hangs while it closes."""
    return is_running(life) and life.runtime is not None


def usable(registry: PluginRegistry) -> set[str]:
    """Return the names of the plugins that can be used."""
    return {report.name for report in registry.reports if report.status is PluginStatus.OK}


@attrs.frozen(eq=False)
class Use:
    """A call that hangs, and the port that it waits for."""

    kind: Kind
    task: asyncio.Task[Any]
    port: ScriptedPort

    def answer_when_closed(self, life: Life) -> Any:
        """Return what the call answers or raises when the port is closed."""
        return self.kind.answer_for(ClosedError, is_second=self.port is not self.kind.ports(life)[0])


class RuntimeLife(RuleBasedStateMachine):
    """Hosts that open, use, leave and close runtimes in one event loop, several of them at a time."""

    def __init__(self) -> None:
        """Start without plugins and runtimes."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.complaints: list[dict[str, Any]] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
        self.folder = TemporaryDirectory()
        self.paths: list[str] = []
        self.lives: list[Life] = []
        self.uses: list[tuple[Life, Use]] = []
        self.refusal: type[StatcoreError] | None = None
        self.is_checked = False
        """Whether nothing has happened since the last comparison with the model, which found no difference."""
        self.ours = self.install("statcore", plugin_source("ours"))
        self.reload("none")

    def install(self, distribution: str, source: str) -> str:
        """Install a distribution with one plugin in a new folder, and return the plugin's name."""
        name = f"life_plugin_{next(_numbers)}"
        site = Path(self.folder.name, name)
        information = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[statcore]\n{name} = {name}\n")
        (site / f"{name}.py").write_text(source)
        self.paths.append(str(site))
        return name

    def reload(self, fault: str) -> None:
        """Discover the plugins again after the one of another distribution was changed; there are no others."""
        del self.paths[1:]
        plugins: list[str] = []
        if fault != "gone":
            plugins.append(self.install("acme-life", FAULTS.get(fault, plugin_source("life"))))
        if fault == "twice":
            plugins.append(self.install("acme-again", plugin_source("life")))
        disabled = plugins if fault == "disabled" else ()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", self.paths)
            timeout_s = _HANGS_S / 4 if fault == "hang" else 60
            for _ in range(_ATTEMPTS):
                self.registry = PluginRegistry.discover(disabled=disabled, timeout_s=timeout_s)
                if self.ours in usable(self.registry):
                    break
            else:
                raise AssertionError(f"statcore's own plugin cannot be loaded: {self.registry.reports}")
        refusals = {"none": None, "gone": InputError, "disabled": InputError}
        self.refusal = refusals.get(fault, PluginError)

    def run_for(self, turns: int) -> None:
        """Let the event loop turn."""
        self.is_checked = False

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.runner.run(turn())

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task without a turn of the event loop."""
        return self.runner.get_loop().create_task(coroutine)

    def begin(self, data: st.DataObject, *, is_ours: bool, needs_promql: bool = False) -> Life:
        """Start a host with ports that behave as drawn, mostly well."""
        refusal = None if is_ours else self.refusal
        life = Life(is_ours=is_ours, needs_promql=needs_promql, refusal=refusal, registry=self.registry)
        openings: Sequence[Way] = (*OURS, "foreign", "exit") if is_ours else OPENINGS
        for name in ("store", "backend"):
            opening = data.draw(OK | mostly_well(openings), label=f"opening the {name}")
            closing = data.draw(mostly_well(CLOSINGS), label=f"closing the {name}")
            setattr(life, name, ScriptedPort(opening, closing, note=life.noted.append))
        url = f"{'ours' if is_ours else 'life'}://{next(_numbers)}"
        SCRIPTED[f"{url}/store"], SCRIPTED[f"{url}/backend"] = life.store, life.backend
        life.host = self.start(host(life, url))
        over = [life for life in self.lives if life.phase == "over"]
        for old in over[:-MOST_OVER]:
            self.lives.remove(old)
        self.lives.append(life)
        return life

    def cancel_to_the_end(self, life: Life) -> None:
        """Cancel a host wherever it is, and again where it hangs while it closes."""
        was_running = life.host.cancel()
        if not was_running:
            life.advance()
            return
        for _ in range(2):
            self.run_for(TURNS)
            life.host.cancel()
        self.run_for(TURNS)
        life.end_cancelled()

    def draw_life(self, data: st.DataObject, is_fit: Callable[[Life], bool]) -> Life:
        """Draw a life for which a condition holds."""
        return data.draw(st.sampled_from([life for life in self.lives if is_fit(life)]), label="life")

    def begin_use(self, data: st.DataObject, name: str) -> tuple[Life, Kind, asyncio.Task[Any]]:
        """Start a use of a runtime whose ports answer as drawn."""
        life = self.draw_life(data, is_usable)
        answers: Sequence[Way] = OURS if life.is_ours else ANSWERS
        for port in (life.store, life.backend):
            port.answer(
                data.draw(mostly_well(answers), label="answering"),
                good_calls=data.draw(st.sampled_from([0, 0, 1, 2]), label="good calls"),
            )
        kind = KINDS[name]
        assert life.runtime is not None
        return life, kind, self.start(kind.call(life.runtime, life.registry))

    def end_use(self, life: Life, kind: Kind, task: asyncio.Task[Any]) -> None:
        """Compare what a use has answered or raised; one that hangs is kept."""
        for number, port in enumerate(kind.ports(life)):
            if port in life.noted:
                error: type[StatcoreError] | None = ClosedError
            elif not port.was_called:
                error = None
            elif port.answering == "hang":
                assert not task.done()
                self.uses.append((life, Use(kind, task, port)))
                return
            else:
                error = kind.error_of(port.answering)
            if error is not None:
                assert kind.answer_for(error, is_second=number == 1) == answer_or_error(task)
                return
        assert kind.answer == answer_or_error(task)

    @initialize(data=st.data(), is_ours=st.booleans())
    def open_first(self, data: st.DataObject, is_ours: bool) -> None:  # noqa: FBT001 - drawn by name
        """A runtime is opened, which most of the other rules need."""
        self.open(data, is_ours=is_ours, needs_promql=False)

    @rule(fault=st.sampled_from(["none", "none", "gone", "twice", "disabled", *FAULTS]))
    def reload_plugins(self, fault: str) -> None:
        """Plugins are discovered again; runtimes that are open go on."""
        self.reload(fault)

    @rule(data=st.data(), is_ours=st.booleans(), needs_promql=st.sampled_from([False] * 5 + [True]))
    def open(self, data: st.DataObject, is_ours: bool, needs_promql: bool) -> None:  # noqa: FBT001 - drawn by name
        """A runtime is opened; each step may hang or fail."""
        life = self.begin(data, is_ours=is_ours, needs_promql=needs_promql)
        life.advance()
        self.run_for(TURNS)

    @rule(data=st.data(), is_ours=st.booleans(), turns=FEW_TURNS)
    def open_and_cancel(self, data: st.DataObject, is_ours: bool, turns: int) -> None:  # noqa: FBT001 - drawn by name
        """A runtime is opened, and its host cancelled after some turns."""
        life = self.begin(data, is_ours=is_ours)
        self.run_for(turns)
        self.cancel_to_the_end(life)

    @precondition(lambda self: any(map(is_open, self.lives)))
    @rule(data=st.data(), fails=st.booleans(), turns=st.none() | FEW_TURNS)
    def leave(self, data: st.DataObject, fails: bool, turns: int | None) -> None:  # noqa: FBT001 - drawn by name
        """A host leaves its block, perhaps with an error of its own, and perhaps it is cancelled after some turns."""
        life = self.draw_life(data, is_open)
        life.host_fails = fails
        life.is_left.set()
        if turns is None:
            life.advance()
            self.run_for(TURNS)
        else:
            self.run_for(turns)
            self.cancel_to_the_end(life)
        self.use_after_closing(life)

    @precondition(lambda self: any(map(is_running, self.lives)))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A host is cancelled where it hangs or waits."""
        life = self.draw_life(data, is_running)
        assert life.host.cancel()
        life.cancel()
        self.run_for(TURNS)
        self.use_after_closing(life)

    def use_after_closing(self, life: Life) -> None:
        """Use a runtime in each way, if there was one, and its host has ended."""
        if life.phase == "over" and life.runtime is not None:
            for kind in KINDS.values():
                task = self.start(kind.call(life.runtime, life.registry))
                self.run_for(TURNS)
                assert kind.answer_for(ClosedError, is_second=False) == answer_or_error(task)

    @precondition(lambda self: any(map(is_usable, self.lives)))
    @rule(data=st.data(), kinds=st.lists(st.sampled_from([*KINDS]), min_size=1, max_size=6))
    def use(self, data: st.DataObject, kinds: list[str]) -> None:
        """Runtimes are used, perhaps while they are closed, and perhaps while other calls hang."""
        for kind in kinds:
            life, called, task = self.begin_use(data, kind)
            self.run_for(TURNS)
            self.end_use(life, called, task)

    @precondition(lambda self: any(map(is_usable, self.lives)))
    @rule(data=st.data(), kind=st.sampled_from([*KINDS]), turns=FEW_TURNS)
    def use_and_cancel(self, data: st.DataObject, kind: str, turns: int) -> None:
        """A call is cancelled after some turns."""
        life, called, task = self.begin_use(data, kind)
        self.run_for(turns)
        was_running = task.cancel()
        self.run_for(TURNS)
        if was_running:
            assert task.cancelled()
        else:
            self.end_use(life, called, task)

    @precondition(lambda self: bool(self.uses))
    @rule(data=st.data())
    def cancel_use(self, data: st.DataObject) -> None:
        """A call that hangs is cancelled."""
        _, use = self.uses.pop(data.draw(st.integers(0, len(self.uses) - 1), label="use"))
        assert use.task.cancel()
        self.run_for(TURNS)
        assert use.task.cancelled()

    @precondition(lambda self: any(life.runtime for life in self.lives))
    @rule(data=st.data(), name=st.sampled_from(["store", "backend"]))
    def close_by_hand(self, data: st.DataObject, name: str) -> None:
        """A host closes a port itself, before the runtime does or afterwards; the runtime closes it all the same."""
        life = self.draw_life(data, lambda life: life.runtime is not None)
        port: ScriptedPort = getattr(life, name)
        if life.is_ours and port.closing in {"foreign", "exit"}:
            return  # no adapter of statcore does this
        assert life.runtime is not None
        task = self.start((life.runtime.statistics if port is life.store else life.runtime.metrics).aclose())
        self.run_for(TURNS)
        life.closed_by_host.append(port)
        if port.closing == "hang":
            assert task.cancel()
            self.run_for(TURNS)
            assert task.cancelled()
        else:
            assert error_of(port.closing) is ended_with(task)

    @precondition(lambda self: any(map(is_usable, self.lives)))
    @rule(data=st.data(), kind=st.sampled_from([*KINDS]))
    def use_in_a_second_loop(self, data: st.DataObject, kind: str) -> None:
        """A call of another event loop is refused, and so is closing there; the first loop goes on."""
        life = self.draw_life(data, is_usable)
        runtime, called = life.runtime, KINDS[kind]
        assert runtime is not None

        async def call() -> None:
            task = asyncio.create_task(called.call(runtime, life.registry))
            await asyncio.wait([task])
            assert called.answer_for(ClosedError, is_second=False) == answer_or_error(task)
            if life.store not in life.noted:
                with pytest.raises(ClosedError):
                    await runtime.statistics.aclose()

        with asyncio.Runner() as second:
            second.run(call())

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """Ports are open or closed once, errors are statcore's, calls of closed ports have ended, and no task remains."""
        for life in self.lives:
            life.check()
        for life, use in [*self.uses]:
            assert use.task.done() == (use.port in life.noted)
            if use.task.done():
                self.uses.remove((life, use))
                assert use.answer_when_closed(life) == answer_or_error(use.task)
        running = {life.host for life in self.lives if is_running(life)} | {use.task for _, use in self.uses}
        if self.uses:  # a call may have tasks of its own while it runs
            assert running <= asyncio.all_tasks(self.runner.get_loop())
        else:
            assert running == asyncio.all_tasks(self.runner.get_loop())
        assert [] == self.complaints
        self.is_checked = True

    def teardown(self) -> None:
        """After all hosts have ended, the next one opens, reads and closes as the first."""
        try:
            if self.is_checked:
                for life in filter(is_running, self.lives):
                    self.cancel_to_the_end(life)
                self.all_is_as_the_model_says()
                self.runner.run(self.live_well())
        finally:
            self.end_tasks()
            self.runner.close()
            for name in [name for name in sys.modules if name.startswith("life_plugin_")]:
                del sys.modules[name]
            self.folder.cleanup()
            SCRIPTED.clear()

    def end_tasks(self) -> None:
        """End the hosts and uses that are left where a rule could not draw all of its values, or has failed."""
        for _ in range(_MOST_CANCELLATIONS):
            for task in asyncio.all_tasks(self.runner.get_loop()):
                task.cancel()
            self.run_for(TURNS)

    async def live_well(self) -> None:
        """Open a runtime without faults, use it, and leave it."""
        self.reload("none")
        noted: list[ScriptedPort] = []
        ports = [ScriptedPort("ok", "ok", note=noted.append) for _ in range(2)]
        SCRIPTED["life://a"], SCRIPTED["life://b"] = ports
        async with open_runtime(Settings(statistics_url="life://a", metrics_url="life://b"), self.registry) as runtime:
            for kind in KINDS.values():
                assert kind.answer == await kind.call(runtime, self.registry)
            assert [] == noted
        assert ports[::-1] == noted


class LongRuntimeLife(RuntimeLife):
    """The same with many and long lives."""


RuntimeLife.TestCase.settings = settings(PROFILE, max_examples=60)
LongRuntimeLife.TestCase.settings = settings(PROFILE, max_examples=1_000, stateful_step_count=100)
TestRuntimeLife = RuntimeLife.TestCase
TestLongRuntimeLife = pytest.mark.long(pytest.mark.timeout(7_200)(LongRuntimeLife.TestCase))


class _Drawn:
    """Draws ports that open, and hang while they are closed."""

    def draw(self, _: object, *, label: str) -> Way:
        """Return how a port behaves."""
        return "hang" if label.startswith("closing") else "ok"


def test_a_machine_ends_where_a_rule_could_not_draw_its_values() -> None:
    """Hypothesis stops a rule in the middle; the hosts of the machine end though their ports hang while they close."""
    machine = RuntimeLife()
    data: Any = _Drawn()
    life = machine.begin(data, is_ours=False)
    machine.run_for(TURNS)
    assert not life.host.done()
    machine.teardown()
    assert life.host.done()
