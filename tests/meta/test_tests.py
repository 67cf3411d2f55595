"""Rules for the tests themselves."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from functools import cache

import pytest
from tests.support.environments import ROOT

TESTS = (ROOT / "tests", *ROOT.glob("plugins/*/tests"))
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROVES = ("assert", "raises", "check", "expect", "fail", "verify")


@cache
def _tests() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for folder in TESTS
        for path in folder.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    ]


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


def test_signals_reach_a_test_and_its_child() -> None:
    """An interrupt raises in the test, and a child ends by each signal that ends programs."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    for number in ENDING:
        child = subprocess.run(
            [sys.executable, "-c", f"import signal; signal.raise_signal({number:d})"], capture_output=True, check=False
        )
        assert -number == child.returncode


def test_signals_reach_tests_where_the_runner_ignores_them() -> None:
    """A shell script that runs pytest in the background lets it ignore SIGINT, and `nohup` SIGHUP."""
    ignoring = "; ".join(f"signal.signal({number:d}, signal.SIG_IGN)" for number in ENDING)
    program = f"import pytest, signal, sys; {ignoring}; sys.exit(pytest.main(sys.argv[1:]))"
    test = f"{__file__}::{test_signals_reach_a_test_and_its_child.__name__}"
    done = subprocess.run(
        [sys.executable, "-c", program, "-p", "no:cacheprovider", test],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout


def test_the_rules_see_the_tests() -> None:
    """The two rules above read this very file, and tell a bare test from one that proves something."""
    names = [where for where, _ in _tests()]
    assert any("test_the_rules_see_the_tests" in name for name in names)
    assert any(name.startswith("plugins/") for name in names)
    bare = ast.parse("def test_x():\n    run()").body[0]
    assert isinstance(bare, ast.FunctionDef)
    assert not _proves_something(bare)
