"""The seeds of a test: some in the gate, and those of `SIMULATION_SEEDS=FIRST-LAST` in long runs."""

from __future__ import annotations

import os
from typing import Final

import pytest

SEEDS: Final = "SIMULATION_SEEDS"
_SEEDS_PER_TEST: Final = 25
"""In the gate; in long runs each seed is a test, so that the report names those that fail."""


def seeds(count: int) -> range:
    """Return the seeds of the environment, or else the first `count`."""
    if chosen := os.environ.get(SEEDS):
        first, last = map(int, chosen.split("-"))
        return range(first, last + 1)
    return range(count)


def for_seeds(count: int) -> pytest.MarkDecorator:
    """Return a parametrization of a test by `part`, a range of seeds; the parts are those of `seeds(count)`."""
    every, size = seeds(count), 1 if SEEDS in os.environ else _SEEDS_PER_TEST
    parts = [every[start : start + size] for start in range(0, len(every), size)]
    return pytest.mark.parametrize("part", parts, ids=[f"seeds-{part[0]}-{part[-1]}" for part in parts])
