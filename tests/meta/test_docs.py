"""What the documents say is true as far as a program can tell."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.support.environments import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "examples").glob("**/*.md")])
WRITTEN = {"statcore_rack"}  # what a reader is told to write, and imports then
_FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`((?:tests|plugins/[\w-]+/tests)/[\w/]+\.py)::((?:\w+::)?test_\w+)`")
_PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks|scripts|plugins)/[\w./-]+)`")


def _blocks(document: Path) -> list[str]:
    return _FENCE.findall(document.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_documents_imports_what_exists(document: Path) -> None:
    """Every block parses, and every name of ours that it imports is there."""
    missing = [
        f"{node.module}.{alias.name}"
        for block in _blocks(document)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("statcore") and node.module not in WRITTEN
        for alias in node.names
        if not hasattr(importlib.import_module(node.module or ""), alias.name)
    ]
    assert [] == missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_documents_exist(document: Path) -> None:
    """A file that is named is there."""
    named = _PATH.findall(document.read_text(encoding="utf-8"))
    assert [] == [path for path in named if "NAME" not in path and not (ROOT / path).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_in_documents_exist(document: Path) -> None:
    """A test is named as pytest names it, without parameters; each row of a table with a column `test` names one."""
    text = document.read_text(encoding="utf-8")
    named = _TEST.findall(text)
    assert text.count("::test_") == len(named), "a test is not written as `tests/FILE.py::test_NAME`"
    assert [] == [f"{path}::{name}" for path, name in named if name not in _tests_of(ROOT / path)]
    assert [] == [row for row, tests in _rows_with_tests(text) if not _TEST.search(tests)]


@cache
def _tests_of(file: Path) -> set[str]:
    """Return the names of the tests in a file, `test_NAME` or `CLASS::test_NAME`; a file that is missing has none."""
    module = ast.parse(file.read_text(encoding="utf-8") if file.exists() else "")
    classes = {f"{node.name}::": node for node in module.body if isinstance(node, ast.ClassDef)}
    return {
        prefix + node.name
        for prefix, scope in ({"": module} | classes).items()
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _rows_with_tests(text: str) -> Iterator[tuple[str, str]]:
    """Yield the rows of tables that have a column `test`, each with its cell in that column."""
    column: int | None = None
    heading: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and set(line) <= set("|-: "):
            column = heading.index("test") if "test" in heading else None
        elif cells and column is not None:
            yield line, cells[column]
        elif not cells:
            column = None
        heading = cells


def test_there_are_documents_with_code() -> None:
    """The rules above read something."""
    assert {"README.md", "CONTRIBUTING.md", "migration.md", "plugins.md"} <= {document.name for document in DOCUMENTS}
    assert all(_blocks(ROOT / name) for name in ("README.md", "docs/migration.md", "docs/plugins.md"))


def test_each_claim_of_the_threat_model_has_its_test() -> None:
    """The rule about tables reads the claims, and finds one without a test, or with a test that does not exist."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert 40 <= len(list(_rows_with_tests(text)))
    (bare,) = _rows_with_tests("| claim | test |\n|---|---|\n| it holds | |\n\n| other |\n|---|\n| row |")
    assert ("| it holds | |", "") == bare
    assert "test_gone" not in _tests_of(Path(__file__))


def test_each_promise_of_reliability_has_one_row() -> None:
    """The rule about tables reads the promises, so that each has a test that exists; none is missing or there twice."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert list(range(1, 49)) == [
        int(number) for row, _ in _rows_with_tests(text) if (number := row.split("|")[1].strip()).isdigit()
    ]
