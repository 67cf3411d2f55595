"""Loading plugins that are really installed: a plugin that fails or hangs is left out, and the others go on."""

from __future__ import annotations

import decimal
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.unit.plugins.plugin_modules import HEAD, querier, report_of, store

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, PluginStatus

Install = Callable[..., Path]

BROKEN = {
    "import error": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "syntax error": ("def", "SyntaxError: invalid syntax"),
    "exception at import": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "exit at import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "an interrupt of its own": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "no Exception at all": ("raise BaseException", "BaseException"),
    "cancelled at import": ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
    "unreadable exception": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "Odd: (it has no readable message)",
    ),
    "terminal codes": ("raise ValueError('\\x1b[2Jgone')", "ValueError: \\x1b[2Jgone"),
    "attribute access raises": (
        f"{HEAD}\ndel STATCORE_PLUGIN_API\ndef __getattr__(name): raise OSError(name)",
        "OSError: ",
    ),
    "exception in a hook": (
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): return 1 / 0",
        "ZeroDivisionError: division by zero",
    ),
    "exit in a hook": (f"{HEAD}\n@hookimpl\ndef statcore_queriers(): raise SystemExit(3)", "SystemExit: 3"),
    "None from a hook": (
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): pass",
        "TypeError: statcore_queriers returned NoneType, not a list of QuerierSpec",
    ),
    "a generator": (
        f"{HEAD}\n@hookimpl(wrapper=True)\ndef statcore_queriers(): yield",
        "TypeError: statcore_queriers returned generator, not a list of QuerierSpec",
    ),
    "an async hook": (
        f"{HEAD}\n@hookimpl\nasync def statcore_queriers(): return []",
        "TypeError: statcore_queriers returned coroutine, not a list of QuerierSpec",
    ),
    "a message that exits": (
        "class Odd(Exception):\n    def __str__(self): raise SystemExit\nraise Odd",
        "Odd: (it has no readable message)",
    ),
    "things that are no specs": (
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): return [ContainerMetricQuerier.name]",
        "which is not a QuerierSpec",
    ),
    "specs of another hook": (
        store("acme").replace("statcore_metric_backends", "statcore_queriers"),
        "which is not a QuerierSpec",
    ),
    "one name twice": (
        querier("node").replace("return [", "return 2 * ["),
        "ValueError: statcore_queriers offers querier node twice",
    ),
    "a bad name": (
        querier("Node Metrics"),
        "InputError: name must be a lower-case word such as container, not 'Node Metrics'",
    ),
    "an abstract class": (
        querier("node").replace("=ContainerMetricQuerier,", "=ContainerMetricQuerier.__base__,"),
        "must implement UtilizationMetricQuerier, but lacks group_by_labels, labels, name, query_strategy; at ",
    ),
    "no querier": (
        querier("node").replace("=ContainerMetricQuerier,", "=int,"),
        "InputError: querier must be a class that implements UtilizationMetricQuerier, not <class 'int'>; at ",
    ),
    "no summary": (querier("node").replace('"s"', "''"), "InputError: summary must be text on one line"),
    "schemes that are one text": (
        store("acme").replace("('acme', \"both\")", "'acme'"),
        "InputError: schemes must be a tuple of lower-case URL schemes, not 'acme'",
    ),
    "no function": (
        store("acme").replace("open=nothing", "open='nothing'"),
        "InputError: open must be a function of a URL and options, not 'nothing'",
    ),
}

REJECTED = {
    "no API version": (querier("node").replace("STATCORE_PLUGIN_API = 1", ""), "STATCORE_PLUGIN_API = 1 is missing"),
    "another API version": (querier("node").replace("API = 1", "API = 2"), "it was written for plugin API 2, this is 1"),
    "a misspelt hook": (
        querier("node").replace("def statcore_queriers", "def statcore_querier"),
        "implements the unknown hook statcore_querier; did you mean statcore_queriers?",
    ),
    "no marker": (
        querier("node").replace("@hookimpl", ""),
        "statcore_queriers is not marked with @statcore.plugins.hookimpl",
    ),
    "no hook": (HEAD, "it implements none of the hooks statcore_queriers, "),
    "arguments": (querier("node").replace("queriers():", "queriers(registry):"), "PluginValidationError: "),
}

FAULTS = [
    *(pytest.param(PluginStatus.BROKEN, *case, id=name) for name, case in BROKEN.items()),
    *(pytest.param(PluginStatus.REJECTED, *case, id=name) for name, case in REJECTED.items()),
]


@pytest.mark.parametrize(("status", "source", "error"), FAULTS)
def test_one_bad_plugin_costs_nothing_but_itself(
    install: Install, caplog: pytest.LogCaptureFixture, status: PluginStatus, source: str, error: str
) -> None:
    """It has a report with cause and remedy, and one warning; the next plugin works; an unknown kind may be its own."""
    install("acme-bad", version="0.3", bad=source)
    install("acme-good", good=querier("good"))

    with caplog.at_level(logging.WARNING, "statcore.plugins"):
        registry = PluginRegistry.discover()

    report = report_of(registry, "bad")
    assert (status, "acme-bad", "0.3", ()) == (report.status, report.distribution, report.version, report.offers)
    assert error in (report.error or "")
    assert "\n" not in (report.error or "")
    assert "STATCORE_DISABLE_PLUGINS=bad" in (report.remedy or "")
    (warning,) = [record.getMessage() for record in caplog.records if "acme-bad" in record.getMessage()]
    assert error in warning
    assert PluginStatus.OK is report_of(registry, "good").status
    assert "series_good" == registry.querier("good").series
    with pytest.raises(PluginError, match="there is no querier node; known are: container, good") as raised:
        registry.querier("node")
    assert error in str(raised.value)
    assert "bad" in raised.value.plugin.split(", ")


@pytest.mark.parametrize(
    "source",
    [
        querier("node") + "\n@hookimpl(optionalhook=True)\ndef statcore_future(): return []",
        querier("node").replace("@hookimpl", "@hookimpl(optionalhook=True)"),
    ],
    ids=["unknown", "known"],
)
def test_a_hook_may_be_marked_as_optional(install: Install, source: str) -> None:
    """A plugin with a hook for a newer statcore keeps working; an optional hook that is known is called like any other."""
    install("acme-nodes", nodes=source)

    assert ("querier node",) == report_of(PluginRegistry.discover(), "nodes").offers


def test_an_error_tells_the_last_line_of_the_plugin(install: Install) -> None:
    """It is not a line of statcore or of the import system; where another module fails to import, it is a line of that."""
    install("acme-spec", spec=querier("node").replace('"s"', "''"))
    install("acme-missing", missing="import acme_helper_it")
    install("acme-series", series=querier("node").replace("series_node", ""))
    install("acme-gone", entry_points="[statcore]\ngone = no_such_module_anywhere\n")
    site = install("acme-helper", entry_points="[other]\n", it="\n\nimport no_such_module_anywhere")

    registry = PluginRegistry.discover()

    line = (
        querier("node")
        .splitlines()
        .index("    return [QuerierSpec(" + querier("node").partition("[QuerierSpec(")[2].strip())
        + 1
    )
    assert (report_of(registry, "spec").error or "").endswith(f"; at {site}/acme_spec_spec.py:{line}")
    assert (report_of(registry, "series").error or "").endswith(f"; at {site}/acme_series_series.py:{line}")
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" == report_of(registry, "gone").error
    assert (report_of(registry, "missing").error or "").endswith(f"; at {site}/acme_helper_it.py:3")


def test_settings_of_a_plugins_thread_do_not_reach_the_next_plugin(install: Install) -> None:
    """The precision of decimals that a plugin sets does not reach the next plugin."""
    install("acme-a", a=querier("node") + "\nimport decimal; decimal.getcontext().prec = 2")
    install("acme-b", b=querier("thing") + "\nimport decimal; PRECISION = decimal.getcontext().prec")

    assert PluginStatus.OK is report_of(PluginRegistry.discover(), "a").status

    assert decimal.getcontext().prec == sys.modules["acme_b_b"].PRECISION


def test_objects_that_answer_to_nothing_do_no_harm(install: Install) -> None:
    """A module may hold proxies that raise on every access, as some frameworks have."""
    proxy = "class Proxy:\n    def __getattr__(self, name): raise RuntimeError('no request')\nrequest = Proxy()\n"
    install("acme-nodes", nodes=proxy + querier("node"))

    assert PluginStatus.OK is report_of(PluginRegistry.discover(), "nodes").status


def test_the_report_on_an_entry_point_to_a_class_advises_the_module(install: Install) -> None:
    """Authors often name the class."""
    install("acme-nodes", entry_points="[statcore]\nnodes = acme_nodes_it:ContainerMetricQuerier\n", it=querier("node"))

    report = report_of(PluginRegistry.discover(), "nodes")

    assert PluginStatus.REJECTED is report.status
    assert "its entry point names the class ContainerMetricQuerier; name the module that has the hooks" == report.error


@pytest.mark.parametrize("answer", ["raise RuntimeError('no request')", "return True"])
def test_an_entry_point_to_an_object_costs_nothing_but_itself(install: Install, answer: str) -> None:
    """The object may be a proxy with any result of `==`."""
    install(
        "acme-app",
        entry_points="[statcore]\napp = acme_app_app:app\n",
        app=f"class Proxy:\n    __hash__ = None\n    def __eq__(self, other): {answer}\napp = Proxy()\n",
    )
    install("acme-nodes", nodes=querier("node"))

    registry = PluginRegistry.discover()

    assert (
        "its entry point names an object of Proxy; name the module that has the hooks" == report_of(registry, "app").error
    )
    assert ["app"] == [report.name for report in registry.reports if report.status is not PluginStatus.OK]


def test_one_module_is_one_plugin(install: Install) -> None:
    """The report on a second entry point to it names the first."""
    install("acme-nodes", entry_points="[statcore]\na = acme_nodes_it\nb = acme_nodes_it\n", it=querier("node"))

    registry = PluginRegistry.discover()

    assert PluginStatus.OK is report_of(registry, "a").status
    assert "ValueError: its module is a plugin already, by the entry point a" == report_of(registry, "b").error


ENOUGH_S = 2.0
"""In so many seconds a plugin that does not hang is loaded, also on a busy machine."""
HANGING = {
    "import": f"import acme_gate\nacme_gate.opened.wait(60)\n{querier('late')}",
    "hook": f"{HEAD}\nimport acme_gate\n@hookimpl\ndef statcore_queriers(): acme_gate.opened.wait(60)",
}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An event that hanging plugins wait for; it is set at the end, so that their threads end."""
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
    """It is reported as broken, with a remedy; the next plugin works; an unknown kind may be its own."""
    install("acme-bad", version="0.3", bad=source)
    install("acme-good", good=querier("good"))

    registry = PluginRegistry.discover(timeout_s=ENOUGH_S)

    report = report_of(registry, "bad")
    assert (PluginStatus.BROKEN, "acme-bad", "0.3") == (report.status, report.distribution, report.version)
    assert re.fullmatch(r"it was not loaded within 2 s; it is at .*acme_bad_bad\.py:\d+", report.error or "")
    assert "upgrade or uninstall acme-bad, or switch it off: STATCORE_DISABLE_PLUGINS=bad" == report.remedy
    assert "good" in registry.queriers
    with pytest.raises(PluginError, match=r"it may belong to 'bad' of acme-bad 0\.3 is broken: it was not loaded"):
        registry.querier("late")


@pytest.mark.usefixtures("gate")
def test_each_plugin_has_the_whole_deadline(install: Install) -> None:
    """Two plugins that take more than half of it each are both loaded."""
    for name in ("first", "second"):
        install(f"acme-{name}", **{name: f"import acme_gate\nacme_gate.opened.wait({1.2 * ENOUGH_S})\n{querier(name)}"})

    assert {"first", "second"} <= set(PluginRegistry.discover(timeout_s=2 * ENOUGH_S).queriers)


@pytest.mark.usefixtures("gate")
def test_a_plugin_that_waits_for_one_that_hangs_names_its_line(install: Install) -> None:
    """Only one thread at a time imports a module: the report on the second plugin has the line of the first."""
    install("acme-shared", shared="import acme_gate; acme_gate.opened.wait(60)")
    install("acme-bad", bad=f"import acme_shared_shared\n{querier('late')}")

    reports = {report.name: report for report in PluginRegistry.discover(timeout_s=ENOUGH_S).reports}

    assert "acme_shared_shared.py:1" in (reports["bad"].error or "")
    assert {PluginStatus.BROKEN} == {reports["bad"].status, reports["shared"].status}


def test_offers_after_the_deadline_are_ignored(install: Install, gate: threading.Event) -> None:
    """A registry does not change; the next one loads the plugin again."""
    install("acme-bad", bad=HANGING["import"])
    registry = PluginRegistry.discover(timeout_s=0.1)
    gate.set()
    (left_behind,) = [thread for thread in threading.enumerate() if thread.name == "bad"]
    left_behind.join(10)

    assert "late" not in registry.queriers
    assert "late" in PluginRegistry.discover().queriers


def test_a_thread_that_was_given_up_loads_no_other_plugin(install: Install, gate: threading.Event) -> None:
    """Another thread loads each of the plugins after it, once."""
    install("acme-bad", bad=HANGING["import"])
    counting = "import acme_gate; acme_gate.calls = [*getattr(acme_gate, 'calls', []), 1]\n    return ["
    install("acme-good", good=querier("good").replace("return [", counting))
    registry = PluginRegistry.discover(timeout_s=ENOUGH_S)
    (left_behind,) = [thread for thread in threading.enumerate() if thread.name == "bad"]
    gate.set()
    left_behind.join(10)

    assert "good" in registry.queriers
    assert [1] == sys.modules["acme_gate"].calls


@pytest.mark.usefixtures("gate")
def test_no_program_waits_for_a_plugin_that_hangs(install: Install) -> None:
    """Its thread is a daemon, so the interpreter can end."""
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
def test_a_plugin_that_discovers_plugins_is_broken(install: Install, when: str) -> None:
    """It would wait for itself for ever."""
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
    """Any other value would report plugins that work as broken."""
    with pytest.raises(InputError, match=r"timeout_s must be a number above zero and at most [0-9]+, not "):
        PluginRegistry.discover(timeout_s=timeout_s)
