"""The spec, public names, and that discovery needs no driver; these tests run without valkey-glide, too."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from statcore import MissingExtraError
from statcore.plugins import API_VERSION
from statcore_glide import plugin

FOLDER: Final = Path(plugin.__file__).parent
IN_SIGNATURES: Final = {("statcore.concurrency", "Deadline")}
"""A public name of a module that has others: a parameter of `statcore_valkey.Node.exchange`."""


def test_it_is_a_store_to_read_and_to_write() -> None:
    """The schemes are one server and a cluster, each with and without TLS."""
    (spec,) = plugin.statcore_statistics_stores()
    assert (API_VERSION, None) == (plugin.STATCORE_PLUGIN_API, spec.extra)
    assert {"glide", "glides", "glide+cluster", "glides+cluster"} == {*spec.schemes}
    assert (plugin.open_statistics, plugin.open_sink) == (spec.open, spec.open_sink)


def test_it_uses_public_names_alone() -> None:
    """Every module imports only names that `__all__` of a package of statcore lists."""
    imports = {
        (node.module, alias.name)
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and re.match(r"statcore(_(?!glide)\w+)?(\.|$)", node.module)
        for alias in node.names
    }
    assert ("statcore_valkey", "Keyspace") in imports
    listed = {module: getattr(importlib.import_module(module), "__all__", ()) for module, _ in imports}
    assert IN_SIGNATURES == {(module, name) for module, name in imports if name not in listed[module]}


def test_finding_it_imports_no_driver() -> None:
    """A new interpreter imports neither glide nor redis-py."""
    code = (
        "import sys, statcore_glide.plugin; "
        "print({'glide', 'redis', 'msgspec', 'statcore_valkey', 'statcore_glide.stores'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(FOLDER.parent)},
    )
    assert "set()" == done.stdout.strip()


@pytest.mark.parametrize("open_", [plugin.open_statistics, plugin.open_sink])
async def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, open_: object) -> None:
    """The error names the module whose import failed, and the distribution that installs it."""
    for name in list(sys.modules):
        if re.match(r"statcore_glide\.(?!plugin)", name):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "glide", None)
    assert callable(open_)
    with pytest.raises(MissingExtraError, match=r"no module named 'glide'.*pip install 'statcore-glide'"):
        await open_("glide://127.0.0.1:1", {})
