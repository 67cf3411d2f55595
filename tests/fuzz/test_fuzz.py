"""Every target over its seeds, over inputs made from them, and over bytes of any kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS, Target
from tests.support.environments import ROOT


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """Return a seed with some parts replaced by other bytes, or by parts of other seeds."""
    short = st.sampled_from([seed for seed in target.seeds if len(seed) <= 5_000])
    data = draw(short)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        other = draw(st.binary(max_size=4) | short)
        begin = draw(st.integers(0, len(other)))
        data = data[:start] + other[begin : begin + draw(st.integers(0, 20))] + data[start + draw(st.integers(0, 8)) :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_keep_the_promises(name: str) -> None:
    """Usual inputs, and inputs that broke a promise once; a target fails by an assertion or another error."""
    target = TARGETS[name]
    assert target.seeds
    for seed in target.seeds:
        target.check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_keep_the_promises(name: str) -> None:
    """Seeds with changes, and bytes of any kind."""
    target = TARGETS[name]
    checked: list[bytes] = []

    @given(mutated(target) | st.binary())
    def check(data: bytes) -> None:
        target.check(data)
        checked.append(data)

    check()
    assert checked


def run_again(file: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    """Run the program with an input from a file, as it tells its users to."""
    words = [sys.executable, str(ROOT / "scripts" / "fuzz.py"), "--input", str(file), *targets]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_an_input_runs_again_without_atheris(tmp_path: Path) -> None:
    """The program names a target that it does not know, and an input that breaks no promise is no failure."""
    file = tmp_path / "input"
    file.write_bytes(TARGETS["codec"].seeds[2])
    assert 0 == run_again(file, "codec").returncode
    for targets in ((), ("nothing",)):
        done = run_again(file, *targets)
        assert 2 == done.returncode
        assert "target" in done.stderr
