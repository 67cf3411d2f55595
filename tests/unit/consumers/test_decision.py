"""Decisions and their reasons, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.consumers.cluster import NOW, inference_rule, kernel_rule, query_rule

from statcore.consumers import Abstention, Comparator, Observation, PartialMean, Verdict, decide
from statcore.errors import InputError


@pytest.mark.parametrize(
    ("bounds", "value", "replicas", "expected", "reason"),
    [
        ({}, "91.2", 4, 6, "cpu_util 91.2 > 80: +2"),
        ({}, "5", 4, 2, "cpu_util 5 < 20: -2"),
        ({}, "50", 4, 4, "cpu_util 50 <= 80 and >= 20"),
        ({"max_replicas": 5}, "91.2", 4, 5, "cpu_util 91.2 > 80: +2, held at its maximum 5"),
        ({"max_replicas": 6}, "91.2", 4, 6, "cpu_util 91.2 > 80: +2"),
        ({"max_replicas": 4}, "91.2", 4, 4, "cpu_util 91.2 > 80: +2, held at its maximum 4"),
        ({"min_replicas": 3}, "5", 4, 3, "cpu_util 5 < 20: -2, held at its minimum 3"),
        ({"min_replicas": 4}, "5", 4, 4, "cpu_util 5 < 20: -2, held at its minimum 4"),
        ({}, "5", 1, 0, "cpu_util 5 < 20: -2, held at its minimum 0"),
        ({"min_replicas": 9}, "91.2", 4, 9, "cpu_util 91.2 > 80: +2, held at its minimum 9"),
        ({"max_replicas": 3}, "91.2", 9, 9, "cpu_util 91.2 > 80: +2, but already beyond its maximum 3"),
        ({"min_replicas": 9}, "5", 4, 4, "cpu_util 5 < 20: -2, but already beyond its minimum 9"),
        ({"max_replicas": 3}, "5", 9, 3, "cpu_util 5 < 20: -2, held at its maximum 3"),
        ({"min_replicas": 9}, "50", 4, 4, "cpu_util 50 <= 80 and >= 20"),
        ({}, "91.233333333333333333", 4, 6, "cpu_util 91.2333333333 > 80: +2"),
        ({}, "1E+30", 4, 6, "cpu_util 1e+30 > 80: +2"),
        ({}, "NaN", 4, 4, "abstained: the value is NaN"),
        ({}, "Infinity", 4, 4, "abstained: the value is Infinity"),
    ],
)
def test_a_step_is_clamped_to_the_bounds(
    bounds: dict[str, Any], value: str, replicas: int, expected: int, reason: str
) -> None:
    """It is neither skipped nor reversed. A rule that does not trigger enforces no bounds."""
    decision = decide([kernel_rule(step_size=2, **bounds)], [Decimal(value)], replicas=replicas, now=NOW)
    assert (expected, replicas, expected != replicas) == (decision.replicas, decision.previous, decision.changed)
    assert [reason] == [outcome.reason for outcome in decision.outcomes]


def test_a_rule_that_cools_down_holds_opposite_steps_back() -> None:
    """A later rule may add replicas, but not remove any, while a rule that would add replicas cools down."""
    cooling = kernel_rule(cooldown_s=60, last_triggered_at=NOW - timedelta(seconds=10), max_replicas=5)
    fewer = kernel_rule(name="memory", metric_name="mem")
    decision = decide([cooling, fewer], [Decimal(95), Decimal(5)], replicas=5, now=NOW)
    assert (5, None) == (decision.replicas, decision.rule)
    assert [Verdict.COOLING_DOWN, Verdict.HELD_BACK] == [outcome.verdict for outcome in decision.outcomes]
    assert "mem 5 < 20: -1, but 'cpu' asks for the opposite while it cools down" == decision.outcomes[1].reason
    assert 6 == decide([cooling, fewer], [Decimal(95), Decimal(95)], replicas=5, now=NOW).replicas
    assert 4 == decide([cooling, fewer], [Decimal(50), Decimal(5)], replicas=5, now=NOW).replicas


def test_rules_that_do_not_decide_leave_the_decision_to_the_next() -> None:
    """Each says why; rules after the one that triggers have no outcome."""
    resting = kernel_rule(cooldown_s=300, last_triggered_at=NOW - timedelta(seconds=257.5))
    rules = [kernel_rule(), resting, kernel_rule(), inference_rule(), query_rule()]
    observed: list[Observation] = [Abstention("no data"), Decimal(95), Decimal(50), Decimal(10), Decimal(0)]
    decision = decide(rules, observed, replicas=3, now=NOW)
    assert (5, rules[3]) == (decision.replicas, decision.rule)
    assert rules[:4] == [outcome.rule for outcome in decision.outcomes]
    assert [
        (Verdict.ABSTAINED, "abstained: no data"),
        (Verdict.COOLING_DOWN, "cpu_util 95 > 80: +1, but cooling down for another 42.5 s"),
        (Verdict.QUIET, "cpu_util 50 <= 80 and >= 20"),
        (Verdict.TRIGGERED, "running 10 >= 10: +2"),
    ] == [(outcome.verdict, outcome.reason) for outcome in decision.outcomes]


def test_a_cool_down_may_end_after_the_last_date() -> None:
    """Its end is never computed as a date."""
    rule = kernel_rule(cooldown_s=1e300, last_triggered_at=datetime.max.replace(microsecond=0, tzinfo=UTC))
    assert 3 == decide([rule], [Decimal(95)], replicas=3, now=datetime.min.replace(tzinfo=UTC)).replicas


def test_the_reason_names_the_blind_rules_that_hold_a_step_down_back() -> None:
    """They may stand behind the rule that triggers."""
    rules = [kernel_rule(), kernel_rule(name="memory", metric_name="mem")]
    decision = decide(rules, [Decimal(5), Abstention("no data")], replicas=3, now=NOW)
    held = "cpu: cpu_util 5 < 20: -1, but nothing is scaled down while these rules are blind: memory"
    assert (3, True) == (decision.replicas, held in decision.reason)


def test_a_step_down_without_effect_is_not_held_back() -> None:
    """Its bounds leave nothing to remove, so the rule decides."""
    rules = [kernel_rule(min_replicas=3), query_rule()]
    decision = decide(rules, [Decimal(5), Abstention("no data")], replicas=3, now=NOW)
    assert (3, rules[0]) == (decision.replicas, decision.rule)


@pytest.mark.parametrize("metric", ["cpu_used", "net_rx", "net_tx", "io_read", "io_write"])
def test_rules_on_other_values_than_percentages_are_not_void(metric: str) -> None:
    """A framework's own metric of such a name has the framework's meaning."""
    assert kernel_rule(metric_name=metric).void_reason
    assert inference_rule(metric_name=metric).void_reason is None
    assert query_rule().void_reason is kernel_rule().void_reason is None


@pytest.mark.parametrize(
    ("comparator", "values", "missing", "expected"),
    [
        # Above 80 a missing value is taken for 0, below 80 for 100.
        ("greater-than", "100 100", 1, 0),
        ("greater-than", "100 100 100 100", 1, 0),
        ("greater-than", "100 100 100 100 100", 1, 1),
        ("greater-than-or-equal", "100 100 100", 1, 0),
        ("greater-than-or-equal", "100 100 100 100", 1, 1),
        ("less-than", "70", 1, 0),
        ("less-than", "60", 1, 0),
        ("less-than", "59", 1, 1),
        ("less-than-or-equal", "61", 1, 0),
        ("less-than-or-equal", "60", 1, 1),
        # A percentage of one core may be above 100, and so may that of a replica without data.
        ("less-than", "0 250", 1, 0),
        ("less-than", "0 100", 1, 1),
        ("greater-than", "400", 1, 1),
    ],
)
@pytest.mark.parametrize("step", [2, -2])
def test_missing_replicas_are_on_the_side_that_does_not_trigger(
    comparator: Comparator, values: str, missing: int, expected: int, step: int
) -> None:
    """This holds for each comparator, with a step up and a step down."""
    rule = inference_rule(source="kernel", metric_name="cpu_util", threshold=80, comparator=comparator, step_size=step)
    observed = PartialMean(tuple(map(Decimal, values.split())), missing)
    assert 5 + expected * step == decide([rule], [observed], replicas=5, now=NOW).replicas


@pytest.mark.parametrize(
    ("values", "missing", "expected", "reason"),
    [
        ("90", 1, 3, "cpu_util 45 to 95 (1 of 2 without data) depends on the missing values"),
        ("90 90", 7, 3, "cpu_util 20 to 97.7777777778 (7 of 9 without data) depends on the missing values"),
        ("100 100 100 100 100", 1, 4, "cpu_util 83.3333333333 to 100 (1 of 6 without data) > 80: +1"),
        ("0 0 0 0 0", 1, 2, "cpu_util 0 to 16.6666666667 (1 of 6 without data) < 20: -1"),
        ("0 0 0 0", 1, 3, "cpu_util 0 to 20 (1 of 5 without data) depends on the missing values"),
        ("50", 1, 3, "cpu_util 25 to 75 (1 of 2 without data) <= 80 and >= 20"),
    ],
)
def test_missing_replicas_trigger_neither_threshold(values: str, missing: int, expected: int, reason: str) -> None:
    """Each threshold has a side of its own; the reason has the range of the mean."""
    observed = PartialMean(tuple(map(Decimal, values.split())), missing)
    decision = decide([kernel_rule()], [observed], replicas=3, now=NOW)
    assert (expected, reason) == (decision.replicas, decision.outcomes[0].reason)


@pytest.mark.parametrize(
    ("comparator", "threshold"),
    [("less-than", 150), ("less-than-or-equal", 100), ("greater-than", -1), ("greater-than-or-equal", 0)],
)
def test_a_missing_percentage_never_triggers(comparator: Comparator, threshold: int) -> None:
    """If every percentage would trigger, the missing one is assumed not to: percentages of cores have no upper end."""
    rule = inference_rule(source="kernel", metric_name="cpu_util", threshold=threshold, comparator=comparator)
    assert 3 == decide([rule], [PartialMean((Decimal(50),), 1)], replicas=3, now=NOW).replicas
    assert 5 == decide([rule], [Decimal(50)], replicas=3, now=NOW).replicas


def test_a_decision_has_its_reason_in_one_line() -> None:
    """It is that of the rule that decided, or of every rule."""
    rules = [kernel_rule(), query_rule()]
    up = decide(rules, [Decimal(50), Decimal(9)], replicas=3, now=NOW)
    assert "3 to 4: load: load 9 > 5: +1" == up.reason
    none = decide(rules, [Decimal(50), Abstention("the query\nfound nothing")], replicas=3, now=NOW)
    quiet = "cpu: cpu_util 50 <= 80 and >= 20; load: abstained: the query found nothing"
    assert f"stays at 3: {quiet}" == none.reason
    assert "stays at 3: there are no rules" == decide([], [], replicas=3, now=NOW).reason


@pytest.mark.parametrize(
    ("observed", "replicas", "now", "message"),
    [
        ([], 1, NOW, "there are 0 observations for 1 rules"),
        ([Decimal(1), Decimal(1)], 1, NOW, "2 observations for 1 rules"),
        ([Decimal(1)], -1, NOW, "replicas must be a whole number from 0 up, not -1"),
        ([Decimal(1)], 1, datetime(2026, 11, 22), "a time without a zone"),  # noqa: DTZ001 - it is to be refused
    ],
)
def test_bad_arguments_are_refused(observed: list[Observation], replicas: int, now: datetime, message: str) -> None:
    """There must be one observation per rule, a number of replicas from 0 up, and a time with a zone."""
    with pytest.raises(InputError, match=message):
        decide([kernel_rule()], observed, replicas=replicas, now=now)
