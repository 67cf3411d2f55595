"""Rules for the tests themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TESTS = (ROOT / "tests", *ROOT.glob("plugins/*/tests"))
PROVES = ("assert", "raises", "check", "expect", "fail", "verify")


def _tests() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in (path for folder in TESTS for path in folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def _proves_something(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    calls = (ast.unparse(node.func) for node in ast.walk(test) if isinstance(node, ast.Call))
    return any(isinstance(node, ast.Assert) for node in ast.walk(test)) or any(
        word in call for call in calls for word in PROVES
    )


def test_every_test_asserts() -> None:
    """No test passes merely because nothing raised."""
    assert [] == [where for where, test in _tests() if not _proves_something(test)]


def test_every_test_says_what_it_shows() -> None:
    """Every test has a docstring."""
    assert [] == [where for where, test in _tests() if not ast.get_docstring(test)]


def test_the_rules_see_the_tests() -> None:
    """The two rules above read this very file, and tell a bare test from one that proves something."""
    names = [where for where, _ in _tests()]
    assert any("test_the_rules_see_the_tests" in name for name in names)
    assert any(name.startswith("plugins/") for name in names)
    bare = ast.parse("def test_x():\n    run()").body[0]
    assert isinstance(bare, ast.FunctionDef)
    assert not _proves_something(bare)
