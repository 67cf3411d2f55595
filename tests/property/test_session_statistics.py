"""Sums of a session's kernels, for any entries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch, decimal_text, has_bound
from statcore.model.statistics import METRICS_OF_EVERY_KERNEL
from statcore.statistics import session_entry, sum_kernels
from statcore.testing.strategies import metric_maps

numbers = st.decimals(min_value=-(10**12), max_value=10**12, places=3)
bounds = st.decimals(min_value="0.001", max_value=10**12, places=3)
NAMES = ("cpu_util", "cpu_used", "mem", "net_rx", "cuda_mem")
PROBLEMS = st.builds(Problem, st.sampled_from(ProblemKind), message=st.text(max_size=5), key=st.none() | st.just("k"))


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Return the map of a metric with finite numbers."""
    current, capacity, rate = draw(numbers), draw(bounds), draw(numbers)
    pct = current / capacity * 100
    return MetricValue(
        current=decimal_text(current),
        capacity=decimal_text(capacity),
        pct=decimal_text(pct, places=2),
        unit_hint="x",
        stats={"max": "7", "rate": decimal_text(rate)},
    ).to_map()


entries = st.dictionaries(st.sampled_from(NAMES), values(), max_size=4)
anything = metric_maps().map(lambda metrics: {name: value.to_map() for name, value in metrics.items()})


@given(st.lists(anything, min_size=2, max_size=5), st.randoms())
def test_the_order_of_kernels_does_not_matter(kernels: list[dict[str, Any]], random: Any) -> None:
    """Numbers may be large, small, or not finite."""
    shuffled = list(kernels)
    random.shuffle(shuffled)
    expected, found = sum_kernels(kernels), sum_kernels(shuffled)
    assert expected[0] == found[0]
    assert [fault.partition(":")[0] for fault in expected[1]] == [fault.partition(":")[0] for fault in found[1]]


@given(anything)
def test_a_single_kernel_is_the_session(kernel: dict[str, Any]) -> None:
    """All of its entry is kept, finite or not."""
    assert (kernel, []) == sum_kernels([kernel])


@given(st.lists(entries, min_size=2, max_size=5))
def test_metrics_are_summed(kernels: list[dict[str, Any]]) -> None:
    """Sums are over the kernels with the metric; `pct` is of the sums, for `cpu_util` the sum."""
    found, faults = sum_kernels(kernels)
    assert len(lacking(kernels)) == len(faults)
    assert {name for kernel in kernels for name in kernel} == set(found)
    for metric, fields in found.items():
        of = [kernel[metric] for kernel in kernels if metric in kernel]
        current, capacity, pct, rate = (
            sum((Decimal(value[name]) for value in of), Decimal(0)) for name in ("current", "capacity", "pct", "stats.rate")
        )
        assert current == Decimal(fields["current"])
        assert rate == Decimal(fields["stats.rate"])
        assert "stats.max" not in fields
        assert "x" == fields["unit_hint"]
        if has_bound(metric):
            assert capacity == Decimal(fields["capacity"])
            expected = pct if metric == "cpu_util" else current / capacity * 100
            assert abs(expected - Decimal(fields["pct"])) <= Decimal("0.005")
        else:
            assert (None, "0.00") == (fields["capacity"], fields["pct"])


@given(st.lists(anything, min_size=2, max_size=4))
def test_a_metric_is_summed_or_named_as_left_out(kernels: list[dict[str, Any]]) -> None:
    """A metric that is not finite in one kernel is left out, and no other."""
    found, faults = sum_kernels(kernels)
    named = {fault.partition(" ")[0] for fault in faults if "is left out" in fault}
    assert {name for kernel in kernels for name in kernel} == set(found) | named
    assert not set(found) & named


@given(st.lists(entries, min_size=2, max_size=5))
def test_a_sum_that_lacks_a_kernel_is_named(kernels: list[dict[str, Any]]) -> None:
    """Metrics of accelerators may be of one kernel alone; the others are of each kernel, and their sum is too low."""
    _, faults = sum_kernels(kernels)
    assert lacking(kernels) == {fault.partition(" ")[0] for fault in faults}


def lacking(kernels: list[dict[str, Any]]) -> set[str]:
    """Return the metrics of every kernel that some of several kernels have, and not all."""
    some = {name for kernel in kernels for name in kernel if name in METRICS_OF_EVERY_KERNEL}
    return {name for name in some if not all(name in kernel for kernel in kernels)}


@given(st.lists(st.tuples(st.none() | entries, st.none() | PROBLEMS), min_size=1, max_size=5))
def test_a_session_has_what_its_kernels_have(kernels: list[tuple[Any, Problem | None]]) -> None:
    """It has an entry if a kernel has one, and a problem if a kernel has none or has a problem."""
    ids = [f"k{number}" for number in range(len(kernels))]
    problems = {position: problem for position, (_, problem) in enumerate(kernels, start=1) if problem}
    batch = session_entry(ids, StatisticsBatch([None, *(entry for entry, _ in kernels)], problems=problems))
    (entry,) = batch
    present = [found for found, _ in kernels if found is not None]
    assert (entry is not None) == bool(present)
    if entry is not None:
        assert {name for found in present for name in found} == set(entry)
    is_short = len(present) > 1 and bool(lacking(present))
    assert bool(batch.problems) == (bool(problems) or 0 < len(present) < len(kernels) or is_short)
    for position, (found, problem) in enumerate(kernels):
        if batch.problems and (problem or found is None):
            assert f"kernel {ids[position]}" in batch.problems[0].message
