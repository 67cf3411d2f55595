"""Observations: values that rules look at, and reasons why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from tests.support.lazy_entries import Lazy
from tests.unit.consumers.cluster import cpu, loads, running

from statcore.consumers import Abstention, PartialMean
from statcore.consumers.observation import current_per_replica, mean_pct, only_sample
from statcore.errors import MalformedEntryError, QueryRejectedError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.model.statistics import UNBOUNDED


def unreadable(metric: str) -> Lazy:
    """Return an entry whose metric cannot be decoded."""
    return Lazy({metric: MalformedEntryError(f"metric {metric!r} is garbage", key="k", metric=metric)})


def mean(*entries: Mapping[str, Any] | None, **problems: Problem) -> Decimal | PartialMean | str:
    """Return the mean of `cpu_util` over replicas of one kernel, called k0, k1, …, or the reason why there is none."""
    return mean_of([[position] for position in range(len(entries))], *entries, **problems)


def mean_of(
    replicas: Sequence[Sequence[int]], *entries: Mapping[str, Any] | None, **problems: Problem
) -> Decimal | PartialMean | str:
    """Return the mean over replicas of several kernels."""
    batch = StatisticsBatch(entries, problems={int(name[1:]): problem for name, problem in problems.items()})
    observed = mean_pct("cpu_util", replicas, [f"k{number}" for number in range(len(entries))], batch)
    return observed.reason if isinstance(observed, Abstention) else observed


def per_replica(
    entry: Mapping[str, Any] | None, active: int = 1, problem: Problem | None = None
) -> Decimal | PartialMean | str:
    """Return `running` for each replica, or the reason why there is none."""
    batch = StatisticsBatch([entry], problems={} if problem is None else {0: problem})
    observed = current_per_replica("running", batch, active=active)
    return observed.reason if isinstance(observed, Abstention) else observed


def test_a_replica_without_data_is_missing() -> None:
    """It has no entry, not the metric, or no known kernels. A zero is data."""
    found = (Decimal(90), Decimal(30))
    assert PartialMean(found, 3) == mean(cpu("90"), None, {"mem": {"pct": "1.00"}}, {}, cpu("30"))
    assert PartialMean(found, 1) == mean_of([[0], [], [1]], cpu("90"), cpu("30"))
    assert Decimal("30.05") == mean(cpu("60.10"), cpu("0.00"))


def test_a_kernel_may_lack_the_metric_if_another_of_its_replica_has_it() -> None:
    """It is left out. A kernel without an entry always lacks data."""
    metrics = (cpu("90"), {"mem": {"pct": "1.00"}}, None, cpu("30"))
    assert Decimal(60) == mean_of([[0, 1], [3]], *metrics)
    assert PartialMean((Decimal(90), Decimal(30)), 1) == mean_of([[0, 2], [3]], *metrics)
    assert PartialMean((Decimal(30),), 2) == mean_of([[2, 2], [3]], *metrics)
    assert PartialMean((Decimal(30),), 1) == mean_of([[1], [3]], *metrics)


def test_the_mean_is_over_all_kernels() -> None:
    """It is exact, in decimal."""
    assert Decimal("0.1") == mean(*[cpu("0.1")] * 10)
    assert Decimal(0) == mean(cpu("-0"))


def test_without_a_kernel_with_the_metric_there_is_no_mean() -> None:
    """An endpoint without kernels has none, either."""
    assert "none of 3 kernels has cpu_util" == mean(None, {}, {"mem": {"pct": "1.00"}})
    assert "none of 0 kernels has cpu_util" == mean()


@pytest.mark.parametrize("kind", ProblemKind)
@pytest.mark.parametrize("entry", [None, cpu("50")])
def test_a_kernel_with_a_problem_is_named(kind: ProblemKind, entry: Mapping[str, Any] | None) -> None:
    """It may have an entry nevertheless."""
    problem = Problem(kind, message="look here", key="k1")
    assert f"kernel k1 has {kind} data: look here" == mean(cpu("50"), entry, k1=problem)


def test_a_metric_that_cannot_be_decoded_is_a_malformed_kernel() -> None:
    """It is decoded when it is read."""
    assert "kernel k1 has malformed data: metric 'cpu_util' is garbage" == mean(cpu("50"), unreadable("cpu_util"))


@pytest.mark.parametrize("fields", [5, "50", None, [("pct", "50")]])
def test_a_metric_that_is_not_a_map_is_malformed(fields: Any) -> None:
    """Some stores return whatever was stored."""
    assert f"kernel k1 has malformed data: cpu_util is {fields!r}" == mean(cpu("50"), {"cpu_util": fields})
    assert f"the endpoint has malformed data: running is {fields!r}" == per_replica({"running": fields}, 1)


@pytest.mark.parametrize("pct", ["NaN", "Infinity", "-Infinity", "", "x", "٣", None, 5, 5.0, "1E+400"])
def test_a_percentage_that_is_not_finite_names_its_kernel(pct: Any) -> None:
    """A number that is not text is refused, too, since agents write text."""
    assert f"kernel k1 has no finite cpu_util: pct is {pct!r}" == mean(cpu("50"), cpu(pct), cpu("50"))


@pytest.mark.parametrize("capacity", [None, "0", "0.000", "NaN", "", UNBOUNDED])
def test_a_zero_without_a_capacity_is_not_a_percentage(capacity: str | None) -> None:
    """It would scale down a loaded endpoint; any other percentage counts."""
    assert "kernel k1 has no capacity of cpu_util, and so no percentage" == mean(cpu("50"), cpu("0.00", capacity))
    assert Decimal(50) == mean(cpu("50", capacity))


@pytest.mark.parametrize(("active", "expected"), [(0, 30), (1, 30), (2, 15), (4, Decimal("7.5"))])
def test_an_endpoints_value_is_divided_by_its_active_replicas(active: int, expected: Decimal) -> None:
    """It is divided by one if there is none."""
    assert expected == per_replica(running("30"), active)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "the endpoint has no running"),
        ({}, "the endpoint has no running"),
        (unreadable("running"), "the endpoint has malformed data: metric 'running' is garbage"),
        (running({"1": "5"}, "HISTOGRAM"), "running is a histogram, which has no single current value"),
        (running({"1": "5"}, ""), "running is a histogram, which has no single current value"),
        (running("5", "HISTOGRAM"), "running is a histogram, which has no single current value"),
        (running("NaN"), "the endpoint has no finite running: current is 'NaN'"),
        (running(None), "the endpoint has no finite running: current is None"),
        ({"running": {}}, "the endpoint has no finite running: current is None"),
    ],
)
def test_an_endpoint_without_a_number_has_a_reason(entry: Mapping[str, Any] | None, reason: str) -> None:
    """No number is made up."""
    assert reason == per_replica(entry)


@pytest.mark.parametrize("kind", ProblemKind)
def test_an_endpoint_with_a_problem_has_it_as_the_reason(kind: ProblemKind) -> None:
    """It may have an entry nevertheless."""
    expected = f"the endpoint has {kind} data: look here"
    assert expected == per_replica(running("5"), problem=Problem(kind, message="look here"))


def test_a_query_must_find_exactly_one_sample() -> None:
    """The answer must be complete, too."""
    assert Decimal("0.1") == only_sample(loads(0.1))
    assert Abstention("the query found nothing") == only_sample(loads())
    several = Abstention("the query found 2 samples; the query of a rule must result in a single series")
    assert several == only_sample(loads(1.0, 1.0))
    assert Abstention("the answer may lack data: a; b") == only_sample(loads(1.0, warnings=("a", "b")))
    assert Abstention("the answer may lack data: it is partial") == only_sample(loads(1.0, partial=True))


def test_a_failed_query_has_its_error_as_the_reason() -> None:
    """It has no value."""
    expected = Abstention("the query failed: QueryRejectedError: parse error")
    assert expected == only_sample(QueryRejectedError("parse error"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_sample_may_be_not_finite(value: float) -> None:
    """The decision refuses it; it does not become another number before."""
    observed = only_sample(loads(value))
    assert isinstance(observed, Decimal)
    assert not observed.is_finite()
