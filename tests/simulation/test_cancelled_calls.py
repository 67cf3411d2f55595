"""Every public coroutine is cancelled at its moments: the call ends, nothing is left, and the next answers are right."""

from __future__ import annotations

import pytest
from tests.simulation import (
    cancelled_graphql,
    cancelled_metrics,
    cancelled_readers,
    cancelled_runtime,
    cancelled_statistics,
)
from tests.simulation.cancelled_cases import Case
from tests.simulation.public_coroutines import public_coroutines
from tests.simulation.seeds import RecordProperty, seeds

MODULES = cancelled_statistics, cancelled_metrics, cancelled_readers, cancelled_graphql, cancelled_runtime
CASES = [case for module in MODULES for subject in module.SUBJECTS for case in subject.cases()]


def test_every_public_coroutine_has_a_case() -> None:
    """A new one needs a case, and a case is of one that exists."""
    assert public_coroutines() == {case.coroutine for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_that_is_cancelled_leaves_nothing(case: Case) -> None:
    """It is cancelled at one moment, and then once more while it cleans up; the seed chooses both."""
    assert case.cancel(seed=1, most=1)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_call_that_is_cancelled_at_any_moment_leaves_nothing(case: Case, record_property: RecordProperty) -> None:
    """All moments of the call are tried; `SIMULATION_SEEDS` runs more seeds than one."""
    moments = [case.cancel(seed=seed, most=None) for seed in seeds(1)]
    assert all(moments)
    record_property("cancellations", sum(moments))
