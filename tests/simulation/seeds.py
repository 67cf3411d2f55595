"""The seeds of a test: some in the gate, and those of `SIMULATION_SEEDS=FIRST-LAST` in long runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

import pytest

SEEDS: Final = "SIMULATION_SEEDS"
RecordProperty: TypeAlias = Callable[[str, object], None]
_SEEDS_PER_TEST: Final = 5
"""In the gate: few enough for the time limit of a test on a slow machine.

In long runs each seed is a test, so that the report names those that fail.
"""


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


def check_answers(run: Callable[[int], tuple[int, int]], part: range, record_property: RecordProperty) -> None:
    """Run a scenario by each seed, check that each run has right answers, and let the report count them.

    `run` returns how many answers were right, and how many errors had a reason. Scenarios of one store and of metrics count
    calls. Those of clusters and sentinels count ids of calls, since one call may have an answer for some ids and none for
    others.
    """
    counts = [run(seed) for seed in part]
    assert [] == [seed for seed, (answers, _) in zip(part, counts, strict=True) if not answers]
    record_property("right answers", sum(answers for answers, _ in counts))
    record_property("errors with a reason", sum(failures for _, failures in counts))
