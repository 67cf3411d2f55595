"""Packages that import their public names on first use behave like packages that import them at once."""

from __future__ import annotations

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import statcore
from statcore.imports import on_demand

PACKAGES = [
    *("statcore", "statcore.model", "statcore.ports", "statcore.promql", "statcore.queriers"),
    *("statcore.statistics", "statcore_memory", "statcore_prometheus", "statcore_valkey", "statcore_web"),
]
FORGET = "for module in [module for module in sys.modules if module.startswith('statcore')]: del sys.modules[module]"


def in_new_interpreter(source: str) -> list[str]:
    """Run a program and return the words that it prints."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert "" == done.stderr
    return done.stdout.split()


def source_of(package: str) -> ast.Module:
    """Return the syntax tree of a package's `__init__.py`."""
    return ast.parse(Path(str(importlib.import_module(package).__file__)).read_text(encoding="utf-8"))


def names_for_type_checkers(package: str) -> dict[str, list[str]]:
    """Return the imports under `if TYPE_CHECKING`: by module of the package, its names."""
    (block,) = [node for node in source_of(package).body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {str(node.module).removeprefix(f"{package}."): [alias.name for alias in node.names] for node in imports}


def names_at_run_time(package: str) -> dict[str, list[str]]:
    """Return the table that the package passes to `on_demand`."""
    (table,) = [
        ast.literal_eval(node.args[1])
        for node in ast.walk(source_of(package))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == on_demand.__name__
    ]
    return {home: names.split() for home, names in table.items()}


def test_every_package_with_names_on_demand_is_tested() -> None:
    """The list above is complete."""
    roots = {package.partition(".")[0] for package in PACKAGES}
    folders = [Path(str(importlib.import_module(root).__file__)).parent for root in sorted(roots)]
    found = [
        ".".join(file.relative_to(folder.parent).parent.parts)
        for folder in folders
        for file in folder.rglob("__init__.py")
        if "on_demand(" in file.read_text(encoding="utf-8")
    ]
    assert sorted(PACKAGES) == sorted(found)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_has_what_type_checkers_see(package: str) -> None:
    """Both have the same names from the same modules, and `__all__` exports them."""
    table = names_at_run_time(package)
    assert names_for_type_checkers(package) == table
    assert {name for names in table.values() for name in names} <= set(importlib.import_module(package).__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_and_module_is_there_without_another_import(package: str) -> None:
    """Each is looked up where nothing else of statcore is imported yet, so none depends on the import of another."""
    program = f"""
import importlib, sys
package = importlib.import_module({package!r})
for name in (*package.__all__, *{list(names_at_run_time(package))!r}):
    {FORGET}
    getattr(importlib.import_module({package!r}), name)
"""
    assert [] == in_new_interpreter(program)


@pytest.mark.parametrize("package", PACKAGES)
def test_listing_and_star_import_have_every_name(package: str) -> None:
    """The interpreter is new: no name is there before it is used."""
    listed, imported = in_new_interpreter(f"""
import {package}
print(','.join(name for name in dir({package}) if name in {package}.__all__))
from {package} import *
print(','.join(sorted(name for name in {package}.__all__ if name in globals())))
""")
    assert sorted(importlib.import_module(package).__all__) == listed.split(",") == imported.split(",")
    assert {"__all__", "__doc__", "__name__"} <= set(dir(importlib.import_module(package)))


def test_a_name_is_the_object_of_its_module() -> None:
    """It is looked up once, and pickling and `isinstance` see one class."""
    kind = statcore.QueryTimeRange
    value = kind(start="2026-01-01T00:00:00Z", end="2026-01-01T01:00:00Z", step="1m")
    assert kind is vars(statcore)["QueryTimeRange"]
    assert isinstance(pickle.loads(pickle.dumps(value)), importlib.import_module("statcore.model.time").QueryTimeRange)  # noqa: S301


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("name", ["NoSuchName", "__path_of_no_package__"])
def test_an_unknown_name_is_an_attribute_error(package: str, name: str) -> None:
    """The error names the package and the name, as Python's own does."""
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute '{name}'"):
        getattr(module, name)
    with pytest.raises(ImportError, match=f"cannot import name '{name}' from '{package}'"):
        exec(f"from {package} import {name}", {})  # noqa: S102


def test_an_error_of_a_module_reaches_whoever_uses_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is not taken for unknown."""
    monkeypatch.setitem(sys.modules, "broken_package", ModuleType("broken_package"))
    load, _ = on_demand("broken_package", {"missing": "Name"})
    with pytest.raises(ModuleNotFoundError, match="broken_package"):
        load("Name")
