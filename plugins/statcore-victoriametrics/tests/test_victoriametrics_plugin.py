"""The spec and its description in README.md, public names, and that discovery needs no driver."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from statcore.errors import MissingExtraError
from statcore.plugins import API_VERSION
from statcore_victoriametrics import plugin

README = Path(__file__).parent.parent / "README.md"


def test_it_is_a_backend_with_two_schemes() -> None:
    """The schemes are one with TLS and one without; the driver is that of Prometheus."""
    (spec,) = plugin.statcore_metric_backends()
    assert (API_VERSION, "prometheus") == (plugin.STATCORE_PLUGIN_API, spec.extra)
    assert ("victoriametrics", "victoriametrics+https") == spec.schemes


def test_the_read_me_lists_the_differences_of_the_spec() -> None:
    """Check by check, in the same words."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", README.read_text(), re.MULTILINE)
    assert list(plugin.SPEC.differences.items()) == rows


def test_it_uses_public_names_alone() -> None:
    """Every module imports only names that `__all__` of a package of statcore lists."""
    folder = Path(plugin.__file__).parent
    imports = [
        (node.module, alias.name)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and re.match(r"statcore(_prometheus)?\b", node.module)
        for alias in node.names
    ]
    assert ("statcore.plugins", "MetricBackendSpec") in imports
    listed = {module: getattr(importlib.import_module(module), "__all__", ()) for module, _ in imports}
    assert [] == [(module, name) for module, name in imports if name not in listed[module]]


def test_finding_it_imports_no_driver() -> None:
    """A new interpreter imports neither aiohttp nor the client."""
    code = (
        "import sys, statcore_victoriametrics.plugin; "
        "print({'aiohttp', 'msgspec', 'statcore_prometheus', 'statcore_victoriametrics.client'} & sys.modules.keys())"
    )
    path = str(Path(plugin.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": path}
    )
    assert "set()" == done.stdout.strip()


async def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the module whose import failed, too."""
    for name in list(sys.modules):
        if re.match(r"statcore_prometheus\b|statcore_victoriametrics\.client$", name):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtraError, match=r"statcore\[prometheus\]") as caught:
        await plugin.open_victoriametrics("victoriametrics://127.0.0.1:1", {})
    assert "aiohttp" == caught.value.module
