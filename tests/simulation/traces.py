"""The events of a simulated run in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.environments import ROOT

from statcore.testing.simulation import TRACE


def traced(program: str, *, hash_seed: int) -> list[str]:
    """Run a program in which simulations run, with other hashes of text for each `hash_seed`, and return every event."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), TRACE: "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [*done.stderr.splitlines(), done.stdout]
