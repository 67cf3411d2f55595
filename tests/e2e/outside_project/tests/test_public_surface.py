"""Every exported name, parameter, member, GraphQL field and option of the old commit is still there."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema as parse_schema
from graphql import find_breaking_changes

from statcore.plugins import API_VERSION
from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema

HERE = Path(__file__).parent
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def promises() -> Iterator[tuple[str, str, list[str]]]:
    """Read the surface: package, name with its parameters, and members with theirs; names without either share a line."""
    package = ""
    for line in (HERE / "public_surface.txt").read_text(encoding="utf-8").replace("\n    ", " ").splitlines():
        if line.startswith("["):
            package = line.strip("[]")
        elif line:
            name, *members = line.split(" | ")
            names = [name] if members or "(" in name else name.rstrip(",").split(", ")
            yield from ((package, name, members) for name in names)


SURFACE = list(promises())


def name_of(promise: str) -> str:
    """Return the name in a promise such as `read(ids)`."""
    return promise.partition("(")[0]


def check_accepts(parameters: str, found: Any) -> None:
    """Fail unless whatever could be called with the promised parameters still can be."""
    promised = inspect.signature(eval(f"lambda {parameters}: None")).parameters.values()  # noqa: S307 - our own file
    fixed = [parameter for parameter in promised if parameter.kind in {*POSITIONAL, *NAMED}]
    signature = inspect.signature(found)
    for given in (fixed, [parameter for parameter in fixed if parameter.default is parameter.empty]):
        for by_position in (POSITIONAL, (inspect.Parameter.POSITIONAL_ONLY,)):
            args = [parameter.name for parameter in given if parameter.kind in by_position]
            kwargs = {parameter.name: parameter.name for parameter in given if parameter.kind not in by_position}
            bound = signature.bind(*args, **kwargs).arguments
            named = {parameter.name for parameter in given if parameter.kind in NAMED}
            assert {name: name for name in named} == {name: bound.get(name) for name in named}


def check_promise(promise: str, found: Any) -> None:
    """Fail unless parameters are accepted, where the promise has any."""
    _, parenthesis, parameters = promise.partition("(")
    if parenthesis:
        check_accepts(parameters.removesuffix(")"), found)


@pytest.mark.parametrize(("package", "name", "members"), SURFACE, ids=[f"{row[0]}.{name_of(row[1])}" for row in SURFACE])
def test_a_public_name_keeps_its_promise(package: str, name: str, members: list[str]) -> None:
    """It is exported, takes the arguments that it took, and has the members that it had."""
    module = import_module(package)
    found = getattr(module, name_of(name))
    assert name_of(name) in getattr(module, "__all__", dir(module))
    if name == "CHECKS":
        assert set(members) <= {check.__name__.removeprefix("check_") for check in found}
        return
    check_promise(name, found)
    for member in members:
        attribute = getattr(found, name_of(member))
        is_method = inspect.isfunction(inspect.getattr_static(found, name_of(member)))
        check_promise(member, partial(attribute, None) if is_method else attribute)


def test_the_version_of_the_hooks_is_the_one_that_plugins_were_written_for() -> None:
    """Another one would reject every plugin."""
    assert 1 == API_VERSION


def test_the_graphql_schema_breaks_no_client() -> None:
    """No type, field or argument is gone, and no argument is newly required."""
    old = parse_schema((HERE / "schema.graphql").read_text(encoding="utf-8"))
    new = parse_schema(build_schema(DataLoaderManager()).as_str())
    assert [] == find_breaking_changes(old, new)


@pytest.mark.parametrize("line", (HERE / "commands.txt").read_text(encoding="utf-8").splitlines())
def test_a_command_keeps_its_options(line: str) -> None:
    """`--help` lists each, those of this project's queriers included."""
    command, _, options = line.partition(":")
    shown = subprocess.run(
        [sys.executable, "-m", "statcore_cli", *command.split(), "--help"], capture_output=True, text=True, check=True
    )
    assert set(options.split()) <= set(re.findall(r"(?<![\w-])--[a-z-]+", shown.stdout))


def test_the_command_line_writes_our_queriers_text() -> None:
    """Options are the fields of the class; the answer alone is on standard output."""
    words = ["promql", "battery", "--metric-name", "energy", "--maker", 'V"', "--rate-interval", "1m"]
    shown = subprocess.run([sys.executable, "-m", "statcore_cli", *words], capture_output=True, text=True, check=True)
    assert ('sum by (battery_id)(rate(battery_energy{maker="V\\""}[1m]))\n', "") == (shown.stdout, shown.stderr)
