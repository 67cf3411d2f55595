"""Decisions and the words for them, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.consumers.cluster import NOW, inference_rule, kernel_rule, query_rule

from statcore.consumers import Abstention, Observation, Verdict, decide
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
    """Not skipped, and never turned round; a rule that does not trigger enforces no bounds."""
    decision = decide([kernel_rule(step_size=2, **bounds)], [Decimal(value)], replicas=replicas, now=NOW)
    assert (expected, replicas, expected != replicas) == (decision.replicas, decision.previous, decision.changed)
    assert [reason] == [outcome.reason for outcome in decision.outcomes]


def test_an_overloaded_endpoint_at_its_maximum_is_not_scaled_down_by_a_later_rule() -> None:
    """The rule at its bound wins with no change."""
    rules = [kernel_rule(max_replicas=5), query_rule()]
    decision = decide(rules, [Decimal(95), Decimal(0)], replicas=5, now=NOW)
    assert (5, False, rules[0]) == (decision.replicas, decision.changed, decision.rule)
    assert [Verdict.TRIGGERED] == [outcome.verdict for outcome in decision.outcomes]
    decision = decide(rules, [Decimal(95), Decimal(0)], replicas=4, now=NOW)
    assert (5, True, rules[0]) == (decision.replicas, decision.changed, decision.rule)


def test_nor_while_the_first_rule_cools_down() -> None:
    """What cools down still asks for more: a later rule may add replicas, and not remove any, whose metric is low."""
    cooling = kernel_rule(cooldown_s=60, last_triggered_at=NOW - timedelta(seconds=10), max_replicas=5)
    fewer = kernel_rule(name="memory", metric_name="mem")
    decision = decide([cooling, fewer], [Decimal(95), Decimal(5)], replicas=5, now=NOW)
    assert (5, None) == (decision.replicas, decision.rule)
    assert [Verdict.COOLING_DOWN, Verdict.HELD_BACK] == [outcome.verdict for outcome in decision.outcomes]
    assert "mem 5 < 20: -1, but 'cpu' asks for the opposite while it cools down" == decision.outcomes[1].reason
    assert 6 == decide([cooling, fewer], [Decimal(95), Decimal(95)], replicas=5, now=NOW).replicas
    assert 4 == decide([cooling, fewer], [Decimal(50), Decimal(5)], replicas=5, now=NOW).replicas


def test_rules_that_abstain_rest_or_are_quiet_leave_the_decision_to_the_next() -> None:
    """And each says why; the rules after the one that triggers are not looked at."""
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


def test_a_cool_down_may_be_longer_than_there_are_dates() -> None:
    """No date is reckoned for its end."""
    rule = kernel_rule(cooldown_s=1e300, last_triggered_at=datetime.max.replace(microsecond=0, tzinfo=UTC))
    assert 3 == decide([rule], [Decimal(95)], replicas=3, now=datetime.min.replace(tzinfo=UTC)).replicas


@pytest.mark.parametrize(
    ("observed", "replicas", "now", "message"),
    [
        ([], 1, NOW, "there are 0 observations for 1 rules"),
        ([Decimal(1), Decimal(1)], 1, NOW, "2 observations for 1 rules"),
        ([Decimal(1)], -1, NOW, "replicas must be a whole number from 0 up, not -1"),
        ([Decimal(1)], 1, datetime(2026, 11, 22), "a time without a zone"),  # noqa: DTZ001 - it is to be refused
    ],
)
def test_what_cannot_be_decided_on_is_refused(
    observed: list[Observation], replicas: int, now: datetime, message: str
) -> None:
    """One observation a rule, a count of replicas, and a time with a zone."""
    with pytest.raises(InputError, match=message):
        decide([kernel_rule()], observed, replicas=replicas, now=now)
