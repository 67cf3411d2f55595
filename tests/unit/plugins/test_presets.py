"""Presets of plugins that are really installed, and of files: found by name, in conflict, and broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.plugins.plugin_modules import HEAD, presets, querier, report_of

from statcore.errors import InputError, MissingExtraError, PluginError
from statcore.plugins import PluginRegistry, PluginStatus, Preset, PresetCatalog

Install = Callable[..., Path]


def test_presets_are_found_by_name(install: Install) -> None:
    """They are in alphabetical order and know their plugin; a querier may have the same name."""
    install("acme-load", version="2.1", load=presets("node", "load") + querier("node").removeprefix(HEAD))

    registry = PluginRegistry.discover()

    assert ["load", "node"] == list(registry.presets)
    assert registry.presets["load"] is registry.preset("load")
    assert (Preset, "d of load") == (type(registry.preset("load")), registry.preset("load").description)
    assert "series_node" == registry.queriers["node"].series
    assert "acme-load 2.1" == registry.preset_origin("load").source
    assert ("preset load", "preset node", "querier node") == report_of(registry, "load").offers


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (presets("load", template="sum("), "InputError: the template is not PromQL"),
        (presets("load", template="up"), "InputError: filter_labels are job, but the template has no ${{ labels }}"),
        (presets("load", "load"), "ValueError: statcore_presets offers preset load twice"),
        (presets("lo\nad"), "InputError: name must be text on one line"),
        (f"{HEAD}\n@hookimpl\ndef statcore_presets(): return ['up']", "a list with 'up', which is not a Preset"),
    ],
)
def test_a_bad_preset_breaks_its_plugin_when_it_is_loaded(install: Install, source: str, error: str) -> None:
    """The report has the fault, and so has the error for a preset that may be its own."""
    install("acme-load", load=source)

    registry = PluginRegistry.discover()

    report = report_of(registry, "load")
    assert PluginStatus.BROKEN is report.status
    assert error in (report.error or "")
    with pytest.raises(PluginError, match="there is no preset load; known are: none; it may belong to 'load' of acme-load"):
        registry.preset("load")


def test_without_the_parser_the_remedy_is_to_install_it(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin itself has no fault."""
    install("acme-load", load=presets("load"))
    monkeypatch.setitem(sys.modules, "promql_parser", None)

    report = report_of(PluginRegistry.discover(), "load")

    assert PluginStatus.BROKEN is report.status
    assert "this needs the extra 'presets'" in (report.error or "")
    assert "pip install 'statcore[presets]', or switch it off: STATCORE_DISABLE_PLUGINS=load" == report.remedy


FILE = """
[presets.busy]
description = "Work done, in pieces a second"
template = '''
sum by (${{ group_by }})(
  rate(x_total{${{ labels }}}[${{ window }}])
)'''
filter_labels = ["kernel_id"]
group_labels = ["agent_id", "kernel_id"]
window = "1h"

[presets.up]
description = "What is up"
template = "up"
"""


def read(text: str) -> list[Preset]:
    """Return the presets of a file called f.toml, by name."""
    return list(PresetCatalog.read(PluginRegistry.discover(), {"f.toml": text}).presets.values())


def test_a_table_is_a_preset() -> None:
    """Its keys are the fields of `Preset`; lists and window may be left out."""
    busy, up = read(FILE)

    assert busy == Preset(
        name="busy",
        description="Work done, in pieces a second",
        template="sum by (${{ group_by }})(\n  rate(x_total{${{ labels }}}[${{ window }}])\n)",
        filter_labels=["kernel_id"],
        group_labels=["agent_id", "kernel_id"],
        window="1h",
    )
    assert Preset(name="up", description="What is up", template="up") == up
    assert [] == read("")


def preset(line: str = "", *, name: str = "a", template: str = "template = 'up'") -> str:
    """Return a file with one preset."""
    return f"[presets.{name}]\ndescription = 'd'\n{template}\n{line}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= x", "f.toml is not TOML: "),
        ("[preset.a]", "f.toml: preset is unknown; a file of presets has tables [presets.NAME] alone"),
        ("presets = 5", "f.toml: presets: expected a table, not int"),
        ("[presets]\na = 'up'", "f.toml: preset a: expected a table, not str"),
        ("[presets.a]", "f.toml: preset a: description, template is missing"),
        ("[presets.a]\ntemplate = 'up'", "f.toml: preset a: description is missing"),
        (preset("colour = 1"), "f.toml: preset a: colour is unknown; known are description, template, filter_labels, "),
        (preset("name = 'b'"), "f.toml: preset a: name is unknown"),
        (preset("filter_labels = 'b'"), "f.toml: preset a: filter_labels must be a list of label names"),
        (
            preset("group_labels = [['a']]"),
            "f.toml: preset a: group_labels: expected a collection of label names, not (['a'],)",
        ),
        (preset("filter_labels = [{}]"), "f.toml: preset a: filter_labels: expected a collection of label names"),
        ("a = " + "[" * 5000, "f.toml is not TOML: "),
        (preset("window = 'often'"), "f.toml: preset a: window: not a duration: 'often'"),
        (preset(name='"a\\nb"'), "f.toml: preset a\nb: name must be text on one line"),
    ],
)
def test_the_error_about_a_bad_file_names_file_preset_and_key(text: str, message: str) -> None:
    """The message begins with file, preset and key."""
    with pytest.raises(InputError) as raised:
        read(text)
    assert str(raised.value).startswith(message)


def test_files_add_to_what_plugins_have(install: Install) -> None:
    """All are in alphabetical order, and each knows its origin."""
    install("acme-load", version="2.1", load=presets("load"))

    catalog = PresetCatalog.read(PluginRegistry.discover(), {"one.toml": FILE, "two.toml": preset()})

    assert ["a", "busy", "load", "up"] == list(catalog.presets)
    assert {"a": "two.toml", "busy": "one.toml", "load": "acme-load 2.1", "up": "one.toml"} == {
        name: catalog.origin(name) for name in catalog.presets
    }
    assert all(preset is catalog.preset(name) for name, preset in catalog.presets.items())


def test_an_unknown_preset_lists_the_known(install: Install) -> None:
    """The error lists the presets of files, too, and names the broken plugin that may have it."""
    registry = PluginRegistry.discover()
    with pytest.raises(InputError, match=r"^there is no preset idle; known are: busy, up$"):
        PresetCatalog.read(registry, {"f.toml": FILE}).preset("idle")

    install("acme-bad", bad="1 / 0")
    catalog = PresetCatalog.read(PluginRegistry.discover(), {"f.toml": FILE})
    with pytest.raises(PluginError, match="known are: busy, up; it may belong to 'bad' of acme-bad"):
        catalog.preset("idle")
    with pytest.raises(PluginError, match="there is no preset idle"):
        catalog.origin("idle")
    assert "busy" == catalog.preset("busy").name


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"f.toml": preset(name="load")},
            "f.toml: the preset load is also in plugin 'load' of acme-load 1.0; rename one of the two",
        ),
        ({"f.toml": preset(), "g.toml": FILE + preset()}, "g.toml: the preset a is also in f.toml; rename one of the two"),
    ],
)
def test_a_name_that_is_taken_names_both_origins(install: Install, files: dict[str, str], message: str) -> None:
    """A file never replaces a preset of a plugin or of another file."""
    install("acme-load", load=presets("load"))
    with pytest.raises(InputError) as raised:
        PresetCatalog.read(PluginRegistry.discover(), files)
    assert message == str(raised.value)


def test_a_bad_preset_of_a_file_fails_alone_where_files_are_not_strict() -> None:
    """It is among the faults, and only asking for it raises."""
    files = {"f.toml": FILE + preset("colour = 1")}

    catalog = PresetCatalog.read(PluginRegistry.discover(), files, strict=False)

    assert (["a"], ["busy", "up"]) == (list(catalog.faults), list(catalog.presets))
    with pytest.raises(InputError, match="preset a: colour is unknown"):
        catalog.preset("a")


def test_a_missing_parser_is_an_error_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra, not the file."""
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'statcore\[presets\]'"):
        read(FILE)
