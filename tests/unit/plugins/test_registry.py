"""Look-up in a registry of distributions that are really installed in a folder on sys.path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.plugins.plugin_modules import HEAD, presets, querier, report_of, store

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, PluginReport, PluginStatus
from statcore.queriers import ContainerMetricQuerier

Install = Callable[..., Path]


def test_first_party_queriers_come_through_the_same_entry_points() -> None:
    """The container querier is found like any plugin."""
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


def test_disabled_names_are_a_collection() -> None:
    """A text is a collection of characters, and would disable nothing."""
    with pytest.raises(InputError, match="one text: 'node,agent'"):
        PluginRegistry.discover(disabled="node,agent")


def test_an_unknown_disabled_name_is_logged(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Users would not notice a misspelt name; the name of a distribution is not that of a plugin."""
    install("acme-nodes", nodes=querier("node"))

    registry = PluginRegistry.discover(disabled=["acme-nodes", "nodes"])

    assert "no plugin is called 'acme-nodes', which the settings disable; the plugins are 'builtin', " in caplog.text
    assert "node" not in registry.queriers


def test_a_disabled_plugin_is_not_even_imported(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Its report says `blocked`, nothing is logged, and the error for an unknown kind says that it is disabled."""
    install("acme-nodes", nodes="raise AssertionError('imported')")

    registry = PluginRegistry.discover(disabled=["nodes"])

    assert PluginStatus.BLOCKED is report_of(registry, "nodes").status
    assert "nodes" not in caplog.text
    with pytest.raises((InputError, PluginError), match="disabled plugins: nodes"):
        registry.querier("node")


@pytest.mark.parametrize("look_up", ["querier", "statistics_store", "metric_backend", "preset"])
def test_an_unknown_name_lists_the_known(install: Install, look_up: str) -> None:
    """It is a mistake of the caller, since no plugin is broken."""
    sources = (querier("node"), store("acme"), presets("load"))
    install("acme-nodes", nodes=HEAD + "".join(source.removeprefix(HEAD) for source in sources))
    first_party = [report.name for report in PluginRegistry.discover().reports if report.distribution == "statcore"]
    registry = PluginRegistry.discover(disabled=first_party)

    with pytest.raises(InputError, match=r"there is no .* none:?; known are: (node|acme:, both:|acme:|load); disabled"):
        getattr(registry, look_up)("none")
    with pytest.raises(InputError, match=r"there is no preset none; known are: idle, load; disabled"):
        registry.preset("none", others=["idle"])
    with pytest.raises(InputError, match="there is no preset none"):
        registry.preset_origin("none")


@pytest.mark.parametrize(
    ("source", "look_up", "name"),
    [(querier("it"), "querier", "it"), (store("it"), "metric_backend", "it"), (presets("it"), "preset", "it")],
)
def test_two_plugins_of_one_name_are_both_named(install: Install, source: str, look_up: str, name: str) -> None:
    """Look-up raises, both reports have the conflict, and their other offers work."""
    install("acme-one", one=source)
    install("acme-two", two=source)

    registry = PluginRegistry.discover()

    with pytest.raises(PluginError, match=r"it:? is offered by 'one' of acme-one 1\.0 and 'two' of acme-two 1\.0"):
        getattr(registry, look_up)(name)
    for plugin in ("one", "two"):
        report = report_of(registry, plugin)
        assert PluginStatus.REJECTED is report.status
        assert "acme-one" in (report.error or "")
        assert "acme-two" in (report.error or "")
    assert "it" not in registry.queriers
    assert "container" in registry.queriers
    with pytest.raises(InputError, match=r"there is no [a-z ]+ other:?; known are: (?!.*\bit\b)"):
        getattr(registry, look_up)("other")  # neither of the two is to blame
    alone = PluginRegistry.discover(disabled=["two"])
    assert PluginStatus.OK is report_of(alone, "one").status
    assert getattr(alone, look_up)(name) is not None


def test_the_rest_of_a_plugin_that_shares_a_name_has_its_report(install: Install) -> None:
    """`origin` returns the report that the registry lists, with the conflict."""
    install("acme-one", one=querier("it"))
    install("acme-two", two=querier("it").replace("return [", "return [ContainerMetricQuerier, "))

    registry = PluginRegistry.discover(disabled=["builtin"])

    assert report_of(registry, "two") == registry.origin("container")
    assert PluginStatus.REJECTED is registry.origin("container").status


def test_two_distributions_with_one_entry_point_are_both_named(install: Install) -> None:
    """No module is imported, and both reports name both distributions."""
    install("acme-one", nodes="raise AssertionError('imported')")
    install("acme-two", nodes="raise AssertionError('imported')")

    registry = PluginRegistry.discover()

    errors = [report.error for report in registry.reports if report.name == "nodes"]
    assert 2 * ["the plugin name is taken more than once, by 'nodes' of acme-one 1.0 and 'nodes' of acme-two 1.0"] == errors
    with pytest.raises(PluginError, match="'nodes' of acme-two"):
        registry.querier("node")
