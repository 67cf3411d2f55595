"""What the documents say is true as far as a program can tell."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "examples").glob("**/*.md")])
WRITTEN = {"statcore_rack"}  # what a reader is told to write, and imports then
_FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
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


def test_there_are_documents_with_code() -> None:
    """The rules above read something."""
    assert {"README.md", "CONTRIBUTING.md", "migration.md", "plugins.md"} <= {document.name for document in DOCUMENTS}
    assert all(_blocks(ROOT / name) for name in ("README.md", "docs/migration.md", "docs/plugins.md"))
