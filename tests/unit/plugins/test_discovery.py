"""Finding the distributions on the path that are plugins, some of which cannot be read."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.plugins.plugin_modules import querier, report_of

from statcore.plugins import PluginRegistry, PluginStatus

Install = Callable[..., Path]


@pytest.mark.parametrize(
    "entry_points", [b"[statcore]\nno equals sign\n", b"[console_scripts]\nlatin = caf\xe9\n"], ids=["no entry", "no text"]
)
def test_an_unreadable_entry_point_file_costs_nothing_but_itself(install: Install, entry_points: bytes) -> None:
    """It is reported, since a plugin may be in it; the others go on."""
    install("acme-nodes", nodes=querier("node"))
    site = install("acme-garbage")
    (site / "acme_garbage-1.0.dist-info" / "entry_points.txt").write_bytes(entry_points)

    registry = PluginRegistry.discover()

    report = report_of(registry, "acme-garbage")
    assert PluginStatus.BROKEN is report.status
    assert "its entry points cannot be read" in (report.error or "")
    assert {"container", "node"} <= set(registry.queriers)


def test_a_distribution_without_plugins_has_no_report(install: Install) -> None:
    """Its entry points may be damaged."""
    before = PluginRegistry.discover().reports
    install("acme-garbage", entry_points="[console_scripts]\nno equals sign\n")

    assert before == PluginRegistry.discover().reports


@pytest.mark.parametrize("newer", ["[console_scripts]\n", "[statcore]\nno equals sign\n"], ids=["no plugin", "unreadable"])
def test_a_distribution_that_is_no_plugin_any_more_shadows_too(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newer: str
) -> None:
    """The modules of the newer one are imported, so the entry points of the older one do not count."""
    older = install("acme-nodes", nodes=querier("node")).rename(tmp_path / "older")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older)])
    (tmp_path / "site").mkdir()
    install("acme-nodes", version="2.0", entry_points=newer, nodes="")

    reports = PluginRegistry.discover().reports

    of_nodes = [(report.name, report.version) for report in reports if report.distribution == "acme-nodes"]
    assert ([("acme-nodes", "2.0")] if "statcore" in newer else []) == of_nodes


def test_a_remnant_of_an_upgrade_is_ignored(install: Install) -> None:
    """Installers rename the old folder until the upgrade is done."""
    site = install("acme-nodes", nodes="")
    (site / "acme_nodes-1.0.dist-info").rename(site / "~cme_nodes-1.0.dist-info")
    install("acme-nodes", version="2.0", nodes=querier("node"))

    assert "2.0" == report_of(PluginRegistry.discover(), "nodes").version


@pytest.mark.parametrize("folder", ["site", "in_front"])
def test_a_remnant_of_an_uninstallation_shadows_nothing(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """The empty folder is beside the plugin's own, or before it on the path."""
    install("acme-nodes", nodes=querier("node"))
    (tmp_path / folder / "acme_nodes-0.9.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / folder)

    assert ("acme-nodes", "1.0") == ((report := report_of(PluginRegistry.discover(), "nodes")).distribution, report.version)


def test_a_plugin_under_development_is_one(install: Install) -> None:
    """Older tools write a folder of another name, with the metadata in another file."""
    site = install("acme-nodes", nodes=querier("node"))
    folder = (site / "acme_nodes-1.0.dist-info").rename(site / "acme_nodes.egg-info")
    (folder / "METADATA").rename(folder / "PKG-INFO")

    report = report_of(PluginRegistry.discover(), "nodes")

    assert (PluginStatus.OK, "acme-nodes", "1.0") == (report.status, report.distribution, report.version)


def test_damaged_metadata_costs_its_name_alone(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin works, and its distribution is unknown."""
    site = install("acme-nodes", nodes=querier("node"))
    archive = tmp_path / "site.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for file in site.rglob("*"):
            written.write(file, file.relative_to(site))
    archive.write_bytes(archive.read_bytes().replace(b"Metadata-Version: 2.1", b"Metadata-Version: 2.2", 1))
    monkeypatch.setattr(sys, "path", [*(folder for folder in sys.path if folder != str(site)), str(archive)])

    report = report_of(PluginRegistry.discover(), "nodes")

    assert (PluginStatus.OK, "unknown") == (report.status, report.distribution)
    with pytest.raises(zipfile.BadZipFile):
        (zipfile.Path(archive) / "acme_nodes-1.0.dist-info" / "METADATA").read_text()


def test_a_shadowed_distribution_does_not_count(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the first distribution of a name on the path are imported."""
    site = install("acme-nodes", nodes=querier("node"))
    shadowed = shutil.copytree(site, tmp_path / "shadowed")
    headers = shadowed / "acme_nodes-1.0.dist-info" / "METADATA"
    headers.write_text(headers.read_text().replace("Name: acme-nodes", "Name: Acme_Nodes"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(shadowed)])

    assert PluginStatus.OK is report_of(PluginRegistry.discover(), "nodes").status


@pytest.mark.parametrize("headers", [b"", b"Name: \xff\xfe\nVersion: 1.0\n"], ids=["empty", "no text"])
def test_metadata_that_says_nothing_does_not_matter(install: Install, headers: bytes) -> None:
    """The plugin of a distribution without a readable name works."""
    site = install("acme-nodes", nodes=querier("node"))
    (site / "acme_nodes-1.0.dist-info" / "METADATA").write_bytes(headers)

    report = report_of(PluginRegistry.discover(), "nodes")

    assert (PluginStatus.OK, "unknown", "unknown") == (report.status, report.distribution, report.version)
