"""The decision of the auto-scaler, for any rules and whatever they observe."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from statcore.consumers import (
    Abstention,
    Comparator,
    ComparatorRule,
    Observation,
    ScalingDecision,
    ScalingRule,
    ThresholdRule,
    Verdict,
    decide,
)

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
RISING = (Comparator.GREATER_THAN, Comparator.GREATER_THAN_OR_EQUAL)

# So few numbers that a value often meets a threshold, and a count its bound.
numbers = st.sampled_from([Decimal(text) for text in ("-0", "0", "0.1", "50", "79.99", "80", "80.01", "1E+30")])
counts = st.integers(0, 8)
steps = st.integers(1, 4)
seconds = st.sampled_from([0, 0.5, 60, 3600])
not_data = st.builds(Abstention, st.text(min_size=1)) | st.sampled_from(
    [Decimal(text) for text in ("NaN", "sNaN", "Infinity", "-Infinity")]
)


@st.composite
def bounds(draw: st.DrawFn) -> dict[str, int | None]:
    """Return a minimum and a maximum, each of which may not be there."""
    lowest, highest = draw(st.none() | counts), draw(st.none() | counts)
    if lowest is not None and highest is not None:
        lowest, highest = sorted((lowest, highest))
    return {"min_replicas": lowest, "max_replicas": highest}


@st.composite
def forms(draw: st.DrawFn, *, agreeing: bool = False, step: int | None = None, **common: Any) -> ScalingRule:
    """Return a rule of either form; with `agreeing`, one that asks for more at higher values.

    A comparator rule that adds replicas below its threshold, or removes some above it, is the opposite by its nature.
    """
    size = step or draw(steps)
    if draw(st.booleans()):
        lower, upper = sorted((draw(numbers), draw(numbers)))
        kept = draw(st.sampled_from([{"lower_threshold"}, {"upper_threshold"}, {"lower_threshold", "upper_threshold"}]))
        thresholds = {"lower_threshold": lower, "upper_threshold": upper}
        chosen: dict[str, Any] = {name: number for name, number in thresholds.items() if name in kept}
        return ThresholdRule(name="r", source="kernel", metric_name="m", step_size=size, **chosen, **common)
    comparator = draw(st.sampled_from(Comparator))
    signed = size if comparator in RISING else -size
    return ComparatorRule(
        name="r",
        source="kernel",
        metric_name="m",
        threshold=draw(numbers),
        comparator=comparator,
        step_size=signed if agreeing else draw(st.sampled_from([size, -size])),
        **common,
    )


@st.composite
def rules(draw: st.DrawFn) -> ScalingRule:
    """Return a rule with bounds and a cool-down of its own, which may last."""
    ago = draw(st.none() | seconds)
    last = None if ago is None else NOW - timedelta(seconds=ago)
    return draw(forms(**draw(bounds()), cooldown_s=draw(seconds), last_triggered_at=last))


observed_rules = st.lists(st.tuples(rules(), numbers | not_data), max_size=5)


def decided(observed: Sequence[tuple[ScalingRule, Observation]], replicas: int) -> ScalingDecision:
    """Decide on pairs of a rule and what it observed."""
    return decide([rule for rule, _ in observed], [value for _, value in observed], replicas=replicas, now=NOW)


def direction(decision: ScalingDecision) -> int:
    """Return the sign of the change."""
    return (decision.replicas > decision.previous) - (decision.replicas < decision.previous)


@given(observed_rules, counts)
def test_a_move_ends_within_the_bounds(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """Of the rule that made it; never below zero; and without such a rule there is no move."""
    decision = decided(observed, replicas)
    assert replicas == decision.previous
    assert 0 <= decision.replicas
    if decision.rule is None:
        assert not decision.changed
        assert replicas == decision.replicas
    else:
        assert (decision.rule.min_replicas or 0) <= decision.replicas
        assert decision.rule.max_replicas is None or decision.replicas <= decision.rule.max_replicas


@given(observed_rules, counts)
def test_the_first_rule_that_triggers_alone_decides(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """As if there were no other; the rules before it are looked at, those after it are not, and each look says why."""
    alone = [decided([one], replicas) for one in observed]
    winner = next((position for position, one in enumerate(alone) if one.rule), None)
    decision = decided(observed, replicas)
    assert (replicas if winner is None else alone[winner].replicas) == decision.replicas
    looked_at = alone if winner is None else alone[: winner + 1]
    assert [outcome for one in looked_at for outcome in one.outcomes] == list(decision.outcomes)
    assert all(outcome.reason for outcome in decision.outcomes)
    assert [outcome.rule for outcome in decision.outcomes if outcome.verdict is Verdict.TRIGGERED] == (
        [] if winner is None else [decision.rule]
    )


@given(st.lists(st.tuples(rules(), not_data)), counts)
def test_nothing_moves_without_data(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """Whether there is none, or it is not a finite number."""
    decision = decided(observed, replicas)
    assert (replicas, None, False) == (decision.replicas, decision.rule, decision.changed)
    assert len(observed) == len(decision.outcomes)
    assert {Verdict.ABSTAINED, Verdict.COOLING_DOWN} >= {outcome.verdict for outcome in decision.outcomes}


@given(rules(), numbers | not_data, counts)
def test_a_rule_rests_for_exactly_its_cool_down(rule: ScalingRule, value: Observation, replicas: int) -> None:
    """Whatever it observes; from the very moment at which it ends, it acts again."""
    (outcome,) = decided([(rule, value)], replicas).outcomes
    rests = rule.last_triggered_at is not None and NOW < rule.last_triggered_at + timedelta(seconds=rule.cooldown_s)
    assert rests == (outcome.verdict is Verdict.COOLING_DOWN)


@st.composite
def rulesets(draw: st.DrawFn, *, step: int | None = None) -> tuple[list[ScalingRule], int]:
    """Return agreeing rules that share their bounds, and a number of replicas within these."""
    shared = draw(bounds())
    lowest, highest = shared["min_replicas"] or 0, shared["max_replicas"]
    replicas = draw(st.integers(lowest, 10 if highest is None else highest))
    return draw(st.lists(forms(agreeing=True, step=step, **shared), min_size=1, max_size=4)), replicas


def at_both(ruleset: list[ScalingRule], replicas: int, values: Sequence[Decimal]) -> list[ScalingDecision]:
    """Return the decisions at the lower and at the higher value, which is that of one metric for all of the rules."""
    return [decided([(rule, value) for rule in ruleset], replicas) for value in sorted(values)]


@given(rulesets(), st.tuples(numbers, numbers))
def test_a_higher_value_never_turns_the_direction_down(
    given_rules: tuple[list[ScalingRule], int], values: tuple[Decimal, Decimal]
) -> None:
    """For rules on one metric that share their bounds, which the number of replicas is within."""
    low, high = at_both(*given_rules, values)
    assert direction(low) <= direction(high)


@given(steps.flatmap(lambda step: rulesets(step=step)), st.tuples(numbers, numbers))
def test_a_higher_value_never_asks_for_fewer_replicas(
    given_rules: tuple[list[ScalingRule], int], values: tuple[Decimal, Decimal]
) -> None:
    """For a single rule, and for several that also share their step.

    With steps of their own, a first rule may answer a high value with a smaller step than the second a lower one.
    """
    low, high = at_both(*given_rules, values)
    assert low.replicas <= high.replicas


@given(observed_rules, counts, st.data())
def test_rules_that_do_not_trigger_are_as_good_as_absent(
    observed: list[tuple[ScalingRule, Observation]], replicas: int, data: st.DataObject
) -> None:
    """In any order, and at any place among those that do, which keep theirs."""
    triggering = [one for one in observed if decided([one], replicas).rule]
    shuffled = list(triggering)
    for one in data.draw(st.permutations([one for one in observed if not decided([one], replicas).rule])):
        shuffled.insert(data.draw(st.integers(0, len(shuffled))), one)
    expected = decided(triggering, replicas)
    for decision in (decided(observed, replicas), decided(shuffled, replicas)):
        assert (expected.replicas, expected.rule) == (decision.replicas, decision.rule)
