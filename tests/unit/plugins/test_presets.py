"""Presets of plugins, really installed: found by name, in conflict, and broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.plugins.plugin_modules import HEAD, querier, report_of

from statcore.errors import InputError, PluginError
from statcore.plugins import PluginRegistry, PluginStatus, Preset

Install = Callable[..., Path]


def presets(*names: str, template: str = "sum(up{${{ labels }}})") -> str:
    """Return a module that offers presets."""
    return f"""{HEAD}
from statcore.plugins import Preset
@hookimpl
def statcore_presets():
    more = {{"template": {template!r}, "filter_labels": ["job"]}}
    return [Preset(name=name, description="d of " + name, **more) for name in {names!r}]
"""


def test_presets_are_found_by_name(install: Install) -> None:
    """In alphabetical order, with the plugin that offers them, and beside a querier of the same name."""
    install("acme-load", version="2.1", load=presets("node", "load") + querier("node").removeprefix(HEAD))

    registry = PluginRegistry.discover()

    assert ["load", "node"] == list(registry.presets)
    assert registry.presets["load"] is registry.preset("load")
    assert (Preset, "d of load") == (type(registry.preset("load")), registry.preset("load").description)
    assert "series_node" == registry.queriers["node"].series
    assert "acme-load 2.1" == registry.preset_origin("load").source
    assert ("preset load", "preset node", "querier node") == report_of(registry, "load").offers


def test_an_unknown_preset_lists_the_known(install: Install) -> None:
    """With those that the caller knows of beside."""
    install("acme-load", load=presets("load"))
    registry = PluginRegistry.discover()

    with pytest.raises(InputError, match=r"^there is no preset busy; known are: load$"):
        registry.preset("busy")
    with pytest.raises(InputError, match=r"^there is no preset busy; known are: idle, load$"):
        registry.preset("busy", others=["idle"])
    with pytest.raises(InputError, match="there is no preset busy"):
        registry.preset_origin("busy")


def test_two_plugins_with_one_preset_are_both_named(install: Install) -> None:
    """Neither wins by order, and nothing else of theirs is lost."""
    install("acme-one", one=presets("load", "one"))
    install("acme-two", two=presets("load", "two"))

    registry = PluginRegistry.discover()

    expected = r"preset load is offered by 'one' of acme-one 1\.0 and 'two' of acme-two 1\.0"
    with pytest.raises(PluginError, match=expected):
        registry.preset("load")
    assert ["one", "two"] == list(registry.presets)
    assert PluginStatus.REJECTED is report_of(registry, "one").status
    assert "load" in PluginRegistry.discover(disabled=["two"]).presets


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (presets("load", template="sum("), "InputError: the template is no PromQL"),
        (presets("load", template="up"), "InputError: filter_labels are job, but the template has no ${{ labels }}"),
        (presets("load", "load"), "ValueError: statcore_presets offers preset load twice"),
        (presets("lo\nad"), "InputError: name must be text on one line"),
        (f"{HEAD}\n@hookimpl\ndef statcore_presets(): return ['up']", "a list with 'up', which is not a Preset"),
    ],
)
def test_a_bad_preset_breaks_its_plugin_when_it_is_loaded(install: Install, source: str, error: str) -> None:
    """The report says why; asking for a preset that it may have does, too."""
    install("acme-load", load=source)

    registry = PluginRegistry.discover()

    report = report_of(registry, "load")
    assert PluginStatus.BROKEN is report.status
    assert error in (report.error or "")
    with pytest.raises(PluginError, match="there is no preset load; known are: none; it may belong to 'load' of acme-load"):
        registry.preset("load")


def test_without_the_parser_the_remedy_is_to_install_it(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin itself is in order."""
    install("acme-load", load=presets("load"))
    monkeypatch.setitem(sys.modules, "promql_parser", None)

    report = report_of(PluginRegistry.discover(), "load")

    assert PluginStatus.BROKEN is report.status
    assert "this needs the extra 'presets'" in (report.error or "")
    assert "pip install 'statcore[presets]', or switch it off: STATCORE_DISABLE_PLUGINS=load" == report.remedy
