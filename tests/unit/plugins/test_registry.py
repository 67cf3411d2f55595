"""Discovery and look-up, with distributions that are really installed in a folder on sys.path."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, PluginReport, PluginStatus
from statcore.queriers import ContainerMetricQuerier

Install = Callable[..., Path]

HEAD = """
from statcore.plugins import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec, hookimpl
from statcore.queriers import ContainerMetricQuerier
STATCORE_PLUGIN_API = 1
async def nothing(url, options):
    raise NotImplementedError
"""


def querier(name: str) -> str:
    """Return a module that offers one querier."""
    return f"""{HEAD}
@hookimpl
def statcore_queriers():
    return [QuerierSpec(name={name!r}, summary="s", querier=ContainerMetricQuerier, series="series_{name}")]
"""


def store(scheme: str) -> str:
    """Return a module that offers one store and one backend, both for one scheme."""
    return f"""{HEAD}
@hookimpl
def statcore_statistics_stores():
    return (StatisticsStoreSpec(name="store", summary="s", schemes=({scheme!r}, "both"), open=nothing),)
@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="backend", summary="s", schemes=({scheme!r},), open=nothing)]
"""


def report_of(registry: PluginRegistry, name: str) -> PluginReport:
    """Return the one report on a plugin."""
    (report,) = [report for report in registry.reports if report.name == name]
    return report


def test_first_party_queriers_come_through_the_same_entry_points() -> None:
    """What statcore itself offers is found as any plugin is."""
    registry = PluginRegistry.discover()

    report = report_of(registry, "builtin")
    assert (PluginStatus.OK, ("querier container",)) == (report.status, report.offers)
    assert "statcore" == report.distribution
    assert ContainerMetricQuerier is registry.querier("container").querier


def test_a_plugin_appears_under_its_names(install: Install) -> None:
    """Queriers are found by name, stores and backends by any of their URL schemes."""
    install("acme-nodes", version="2.1", nodes=querier("node"))
    install("acme-store", shelf=store("acme"))

    registry = PluginRegistry.discover()

    assert "series_node" == registry.querier("node").series
    assert "series_node" == registry.queriers["node"].series
    assert sorted(registry.queriers) == list(registry.queriers)
    assert "store" == registry.statistics_store("acme").name
    assert registry.statistics_store("both") is registry.statistics_store("acme")
    assert "backend" == registry.metric_backend("acme").name
    assert PluginReport(
        name="nodes", distribution="acme-nodes", version="2.1", status=PluginStatus.OK, offers=("querier node",)
    ) == report_of(registry, "nodes")
    assert ("metric backend acme:", "statistics store acme:", "statistics store both:") == report_of(
        registry, "shelf"
    ).offers


def test_registries_share_nothing(install: Install) -> None:
    """What one instance disables another still has."""
    install("acme-nodes", nodes=querier("node"))

    without = PluginRegistry.discover(disabled=["nodes"])

    assert "node" in PluginRegistry.discover().queriers
    assert "node" not in without.queriers


def test_what_is_disabled_is_no_single_text() -> None:
    """Or every name inside it would be disabled, too."""
    with pytest.raises(InputError, match="one text: 'node,agent'"):
        PluginRegistry.discover(disabled="node,agent")


def test_a_disabled_plugin_is_not_even_imported(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Its report says blocked, nothing is logged about it, and asking for what it had says that it is disabled."""
    install("acme-nodes", nodes="raise AssertionError('imported')")

    registry = PluginRegistry.discover(disabled=["nodes"])

    assert PluginStatus.BLOCKED is report_of(registry, "nodes").status
    assert "nodes" not in caplog.text
    with pytest.raises((InputError, PluginError), match="disabled plugins: nodes"):
        registry.querier("node")


BROKEN = {
    "import error": ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
    "syntax error": ("def", "SyntaxError: invalid syntax"),
    "exception at import": ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    "exit at import": ("import sys; sys.exit('bye')", "SystemExit: bye"),
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
    "things that are no specs": (
        f"{HEAD}\n@hookimpl\ndef statcore_queriers(): return [ContainerMetricQuerier]",
        "which is no QuerierSpec",
    ),
    "specs of another hook": (
        store("acme").replace("statcore_metric_backends", "statcore_queriers"),
        "which is no QuerierSpec",
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
        "InputError: querier must be a class that implements UtilizationMetricQuerier",
    ),
    "no summary": (querier("node").replace('"s"', "''"), "InputError: summary must be a non-empty text, not ''"),
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
        "implements statcore_querier,",
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
    """It has a report with cause and remedy and one warning; the next works; what it may own names it and the cause."""
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


def test_an_interrupt_is_not_a_plugins_fault(install: Install) -> None:
    """Ctrl-C while a plugin is imported ends the program as it should."""
    install("acme-bad", bad="raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        PluginRegistry.discover()


def test_a_hook_for_a_newer_statcore_may_be_optional(install: Install) -> None:
    """A plugin that says that an unknown hook is optional keeps working."""
    install("acme-nodes", nodes=querier("node") + "\n@hookimpl(optionalhook=True)\ndef statcore_future(): return []")

    assert ("querier node",) == report_of(PluginRegistry.discover(), "nodes").offers


@pytest.mark.parametrize("ask", ["querier", "statistics_store", "metric_backend"])
def test_an_unknown_name_lists_the_known(install: Install, ask: str) -> None:
    """With no broken plugin about, it is plainly the caller's mistake."""
    install("acme-nodes", nodes=querier("node") + store("acme").removeprefix(HEAD))
    first_party = [report.name for report in PluginRegistry.discover().reports if report.distribution == "statcore"]
    registry = PluginRegistry.discover(disabled=first_party)

    with pytest.raises(InputError, match=r"there is no .* none:?; known are: (node|acme:, both:|acme:); disabled"):
        getattr(registry, ask)("none")


@pytest.mark.parametrize(
    ("source", "ask", "wanted"), [(querier("it"), "querier", "it"), (store("it"), "metric_backend", "it")]
)
def test_two_plugins_of_one_name_are_both_named(install: Install, source: str, ask: str, wanted: str) -> None:
    """Neither wins by order: asking raises, both reports say it, and nothing else of theirs is lost."""
    install("acme-one", one=source)
    install("acme-two", two=source)

    registry = PluginRegistry.discover()

    with pytest.raises(PluginError, match=r"it:? is offered by 'one' of acme-one 1\.0 and 'two' of acme-two 1\.0"):
        getattr(registry, ask)(wanted)
    for name in ("one", "two"):
        report = report_of(registry, name)
        assert PluginStatus.REJECTED is report.status
        assert "acme-one" in (report.error or "")
        assert "acme-two" in (report.error or "")
    assert "it" not in registry.queriers
    assert "container" in registry.queriers
    alone = PluginRegistry.discover(disabled=["two"])
    assert PluginStatus.OK is report_of(alone, "one").status
    assert getattr(alone, ask)(wanted) is not None


def test_two_distributions_with_one_entry_point_are_both_named(install: Install) -> None:
    """Neither is imported, and both reports name both."""
    install("acme-one", nodes="raise AssertionError('imported')")
    install("acme-two", nodes="raise AssertionError('imported')")

    registry = PluginRegistry.discover()

    errors = [report.error for report in registry.reports if report.name == "nodes"]
    assert 2 * ["the plugin name is taken more than once, by 'nodes' of acme-one 1.0 and 'nodes' of acme-two 1.0"] == errors
    with pytest.raises(PluginError, match="'nodes' of acme-two"):
        registry.querier("node")


def test_an_unreadable_entry_point_file_costs_nothing_but_itself(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution that is not even a plugin takes nothing away, and shadowed ones stay shadowed."""
    site = install("acme-nodes", nodes=querier("node"))
    shadowed = shutil.copytree(site, tmp_path / "shadowed")
    monkeypatch.setattr(sys, "path", [*sys.path, str(shadowed)])
    install("acme-garbage", entry_points="[console_scripts]\nno equals sign\n")

    registry = PluginRegistry.discover()

    report = report_of(registry, "acme-garbage")
    assert PluginStatus.BROKEN is report.status
    assert "its entry points cannot be read" in (report.error or "")
    assert {"container", "node"} <= set(registry.queriers)


@pytest.mark.parametrize("headers", [b"", b"Name: \xff\xfe\nVersion: 1.0\n"], ids=["empty", "no text"])
def test_metadata_that_says_nothing_does_not_matter(install: Install, headers: bytes) -> None:
    """A distribution without a readable name still has its plugin."""
    site = install("acme-nodes", nodes=querier("node"))
    (site / "acme_nodes-1.0.dist-info" / "METADATA").write_bytes(headers)

    report = report_of(PluginRegistry.discover(), "nodes")

    assert (PluginStatus.OK, "unknown", "unknown") == (report.status, report.distribution, report.version)


def test_an_entry_point_of_no_distribution_does_not_matter(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Custom importers may provide entry points that belong to nothing."""
    install("acme-nodes", nodes=querier("node"))
    alone = metadata.EntryPoint("nodes", "acme_nodes_nodes", "statcore")
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints([alone]).select(group=group))

    (report,) = PluginRegistry.discover().reports

    assert (PluginStatus.OK, "unknown") == (report.status, report.distribution)
