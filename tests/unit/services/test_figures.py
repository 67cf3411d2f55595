"""The main figures of an entry."""

from __future__ import annotations

from typing import Any

import pytest

from statcore.model.statistics import UNBOUNDED
from statcore.services.figures import Figures
from statcore.statistics import sum_kernels


def metric(pct: str, capacity: str | None) -> dict[str, Any]:
    """Return the map of a metric as agents write it."""
    return {"current": "90", "capacity": capacity, "pct": pct, "unit_hint": "percent"}


@pytest.mark.parametrize("capacity", [None, "0", "NaN", "Infinity", UNBOUNDED])
def test_a_zero_without_a_capacity_is_not_known(capacity: str | None) -> None:
    """Agents write 0.00 then, though the accelerator may be busy."""
    figures = Figures.of_entry({"cuda_util": metric("0.00", capacity), "cpu_util": metric("0.00", capacity)})
    assert (None, None, None) == (figures.accelerator_pct, figures.cpu_pct, figures.problem)


def test_a_percentage_with_a_capacity_is_known() -> None:
    """A zero is one; a number above zero needs no capacity, which its writer knew."""
    assert (0.0, 90.0) == (
        Figures.of_entry({"cpu_util": metric("0.00", "1000")}).cpu_pct,
        Figures.of_entry({"cpu_util": metric("90", None)}).cpu_pct,
    )


def test_the_cpu_use_of_a_session_is_not_known_without_the_capacity_of_a_kernel() -> None:
    """It is not zero; the sorted list would have a busy session at its end."""
    summed, faults = sum_kernels([{"cpu_util": metric("150", "1000")}, {"cpu_util": metric("0.00", None)}])
    assert (None, []) == (Figures.of_entry(summed).cpu_pct, faults)


def test_a_percentage_that_is_no_number_is_a_problem() -> None:
    """With a capacity or without one."""
    for capacity in ("1000", None):
        problem = Figures.of_entry({"cpu_util": metric("much", capacity)}).problem
        assert problem is not None
        assert "cpu_util.pct is 'much'" in problem
