"""Plugins that do not come back: discovery goes on without them."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.unit.plugins.plugin_modules import HEAD, querier, report_of

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, PluginStatus

Install = Callable[..., Path]
HANGING = {
    "import": f"import acme_gate\nacme_gate.opened.wait(60)\n{querier('late')}",
    "hook": f"{HEAD}\nimport acme_gate\n@hookimpl\ndef statcore_queriers(): acme_gate.opened.wait(60)",
}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What hanging plugins wait for; opened at the end, so that their threads do."""
    module = ModuleType("acme_gate")
    opened = threading.Event()
    monkeypatch.setattr(module, "opened", opened, raising=False)
    monkeypatch.setitem(sys.modules, "acme_gate", module)
    yield opened
    opened.set()
    for thread in threading.enumerate():
        if thread.name == "bad":
            thread.join(10)


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("source", HANGING.values(), ids=HANGING)
def test_a_plugin_that_hangs_is_left_behind(install: Install, source: str) -> None:
    """It is reported as broken with what to do, the next one works, and what it may own names it."""
    install("acme-bad", version="0.3", bad=source)
    install("acme-good", good=querier("good"))

    registry = PluginRegistry.discover(timeout_s=0.5)

    report = report_of(registry, "bad")
    assert (PluginStatus.BROKEN, "acme-bad", "0.3") == (report.status, report.distribution, report.version)
    assert re.fullmatch(r"it was not loaded within 0\.5 s; it is at .*acme_bad_bad\.py:\d+", report.error or "")
    assert "upgrade or uninstall acme-bad, or switch it off: STATCORE_DISABLE_PLUGINS=bad" == report.remedy
    assert "good" in registry.queriers
    with pytest.raises(PluginError, match=r"it may belong to 'bad' of acme-bad 0\.3 is broken: it was not loaded"):
        registry.querier("late")


@pytest.mark.usefixtures("gate")
def test_whoever_waits_for_a_plugin_that_hangs_is_told_where(install: Install) -> None:
    """Python lets one thread at a time import a module: that line is in the second one's report."""
    install("acme-shared", shared="import acme_gate; acme_gate.opened.wait(60)")
    install("acme-bad", bad=f"import acme_shared_shared\n{querier('late')}")

    reports = {report.name: report for report in PluginRegistry.discover(timeout_s=0.5).reports}

    assert "acme_shared_shared.py:1" in (reports["bad"].error or "")
    assert {PluginStatus.BROKEN} == {reports["bad"].status, reports["shared"].status}


def test_what_comes_after_the_deadline_is_not_taken(install: Install, gate: threading.Event) -> None:
    """A plugin is in or out for the life of a registry; the next one asks it anew."""
    install("acme-bad", bad=HANGING["import"])
    registry = PluginRegistry.discover(timeout_s=0.1)
    gate.set()
    (left_behind,) = [thread for thread in threading.enumerate() if thread.name == "bad"]
    left_behind.join(10)

    assert "late" not in registry.queriers
    assert "late" in PluginRegistry.discover().queriers


def test_what_is_given_up_loads_no_other_plugin(install: Install, gate: threading.Event) -> None:
    """When the plugin that hung goes on at last, those behind it have been loaded by another thread, once."""
    install("acme-bad", bad=HANGING["import"])
    counting = "import acme_gate; acme_gate.asked = [*getattr(acme_gate, 'asked', []), 1]\n    return ["
    install("acme-good", good=querier("good").replace("return [", counting))
    registry = PluginRegistry.discover(timeout_s=0.5)
    (left_behind,) = [thread for thread in threading.enumerate() if thread.name == "bad"]
    gate.set()
    left_behind.join(10)

    assert "good" in registry.queriers
    assert [1] == sys.modules["acme_gate"].asked


@pytest.mark.usefixtures("gate")
def test_no_program_waits_for_a_plugin_that_hangs(install: Install) -> None:
    """Its thread does not keep the interpreter from ending."""
    install("acme-bad", bad=HANGING["import"])
    PluginRegistry.discover(timeout_s=0.1)

    assert [True] == [thread.daemon for thread in threading.enumerate() if thread.name == "bad"]


@pytest.mark.usefixtures("gate")
def test_an_interrupt_is_not_a_plugins_fault(install: Install) -> None:
    """Ctrl-C while a plugin hangs ends the program at once."""
    source = "import acme_gate, os, signal; os.kill(os.getpid(), signal.SIGINT); acme_gate.opened.wait(60)"
    install("acme-bad", bad=source)

    with pytest.raises(KeyboardInterrupt):
        PluginRegistry.discover(timeout_s=60)


@pytest.mark.parametrize("when", ["import", "hook"])
def test_a_plugin_that_discovers_plugins_is_told_so(install: Install, when: str) -> None:
    """It would wait for itself, and so for ever."""
    discover = "from statcore.plugins import PluginRegistry; PluginRegistry.discover()"
    install("acme-bad", bad=discover if when == "import" else f"{HEAD}\n@hookimpl\ndef statcore_queriers(): {discover}")
    before = threading.active_count()

    registry = PluginRegistry.discover(timeout_s=30)

    error = report_of(registry, "bad").error or ""
    assert error.startswith("PluginError: the plugin bad discovers plugins while it is loaded itself; at ")
    assert "container" in registry.queriers
    assert before >= threading.active_count() - 1  # which ends by itself


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan"), float("inf"), 1e12, "5"])
def test_a_deadline_is_above_zero(timeout_s: float) -> None:
    """Anything else would report plugins as broken that are not."""
    with pytest.raises(InputError, match=r"timeout_s must be a number above zero and at most [0-9]+, not "):
        PluginRegistry.discover(timeout_s=timeout_s)
