"""Decisions of auto-scaling, for any rules and observations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from statcore.consumers import (
    Abstention,
    Comparator,
    ComparatorRule,
    Observation,
    PartialMean,
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


@st.composite  # type: ignore[arg-type]  # mypy does not match `**common`
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
    limits: dict[str, Any] = draw(bounds())
    return draw(forms(**limits, cooldown_s=draw(seconds), last_triggered_at=last))


observed_rules = st.lists(st.tuples(rules(), numbers | not_data), max_size=5)


def decided(observed: Sequence[tuple[ScalingRule, Observation]], replicas: int) -> ScalingDecision:
    """Decide on pairs of a rule and what it observed."""
    return decide([rule for rule, _ in observed], [value for _, value in observed], replicas=replicas, now=NOW)


def direction(decision: ScalingDecision) -> int:
    """Return the sign of the change."""
    return (decision.replicas > decision.previous) - (decision.replicas < decision.previous)


def wish(rule: ScalingRule, value: Observation) -> int:
    """Return the direction of the step that a rule asks for at a value, were there no cool-down."""
    step = rule.step_at(value)[0] if isinstance(value, Decimal) and value.is_finite() else 0
    return (step > 0) - (step < 0)


@given(observed_rules, counts)
def test_a_change_ends_within_the_bounds(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """The bounds are those of the rule that decided, in the direction of its step; without one there is no change."""
    decision = decided(observed, replicas)
    assert replicas == decision.previous
    assert decision.changed == (replicas != decision.replicas)
    if decision.changed:
        assert decision.rule is not None
        assert (decision.rule.min_replicas or 0) <= decision.replicas
        assert decision.rule.max_replicas is None or decision.replicas <= decision.rule.max_replicas
        assert direction(decision) == wish(*next(one for one in observed if one[0] is decision.rule))


@given(observed_rules, counts)
def test_the_first_rule_that_triggers_alone_decides(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """As if there were no other but those that cool down before it, and none of these asks for the opposite.

    Blind rules after it are told, too, and hold a step down back; the result is then that of no rule.
    """
    alone = [decided([one], replicas) for one in observed]
    against = [
        {wish(*other) for other, result in zip(observed[:n], alone, strict=False) if not result.rule}
        for n in range(len(observed))
    ]
    triggers = [
        result.rule is not None and -wish(*one) not in against[n]
        for n, (one, result) in enumerate(zip(observed, alone, strict=True))
    ]
    winner = triggers.index(True) if any(triggers) else None
    decision = decided(observed, replicas)
    blind = [wish_of for wish_of in alone if wish_of.outcomes[0].verdict is Verdict.ABSTAINED]
    last = len(observed) if winner is None else winner + 1
    told_later = [one for one in alone[last:] if one in blind]
    held = winner is not None and bool(blind) and alone[winner].replicas < replicas
    assert (replicas if winner is None or held else alone[winner].replicas) == decision.replicas
    assert last + len(told_later) == len(decision.outcomes)
    assert all(outcome.reason for outcome in decision.outcomes)
    assert [outcome.rule for outcome in decision.outcomes if outcome.verdict is Verdict.TRIGGERED] == (
        [] if winner is None or held else [decision.rule]
    )
    assert "\n" not in decision.reason


@given(st.lists(st.tuples(rules(), not_data)), counts)
def test_nothing_changes_without_data(observed: list[tuple[ScalingRule, Observation]], replicas: int) -> None:
    """Data is missing, or is not a finite number."""
    decision = decided(observed, replicas)
    assert (replicas, None, False) == (decision.replicas, decision.rule, decision.changed)
    assert [Verdict.ABSTAINED] * len(observed) == [outcome.verdict for outcome in decision.outcomes]


@given(rules(), numbers, counts)
def test_a_rule_rests_for_exactly_its_cool_down(rule: ScalingRule, value: Decimal, replicas: int) -> None:
    """It acts again from the very moment at which the cool-down ends."""
    (outcome,) = decided([(rule, value)], replicas).outcomes
    rests = rule.last_triggered_at is not None and NOW < rule.last_triggered_at + timedelta(seconds=rule.cooldown_s)
    assert (
        (Verdict.COOLING_DOWN if rests else Verdict.TRIGGERED) if wish(rule, value) else Verdict.QUIET
    ) == outcome.verdict


@st.composite
def rulesets(draw: st.DrawFn, *, step: int | None = None) -> tuple[list[ScalingRule], int]:
    """Return agreeing rules that share their bounds, of which some cool down, and a number of replicas."""
    shared: dict[str, Any] = draw(bounds())
    cooling = st.sampled_from([{}, {"cooldown_s": 60, "last_triggered_at": NOW}])
    rule = cooling.flatmap(lambda cooldown: forms(agreeing=True, step=step, **shared, **cooldown))
    return draw(st.lists(rule, min_size=1, max_size=4)), draw(counts)


def at_both(ruleset: list[ScalingRule], replicas: int, values: Sequence[Decimal]) -> list[ScalingDecision]:
    """Return the decisions at the lower and at the higher value, which is that of one metric for all of the rules."""
    return [decided([(rule, value) for rule in ruleset], replicas) for value in sorted(values)]


@given(rulesets(), st.tuples(numbers, numbers))
def test_a_higher_value_never_turns_the_direction_down(
    given_rules: tuple[list[ScalingRule], int], values: tuple[Decimal, Decimal]
) -> None:
    """This holds for rules on one metric that share their bounds, even if the number of replicas is outside these."""
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
def test_quiet_rules_count_as_absent(
    observed: list[tuple[ScalingRule, Observation]], replicas: int, data: st.DataObject
) -> None:
    """They may be anywhere among the rules that trigger, whose order stays. Rules that cool down do not count as absent."""
    alone = [(one, decided([one], replicas).outcomes[0].verdict) for one in observed]
    quiet = [one for one, verdict in alone if verdict is Verdict.QUIET]
    triggering = [one for one, verdict in alone if verdict is Verdict.TRIGGERED]
    shuffled = list(triggering)
    for one in data.draw(st.permutations(quiet)):
        shuffled.insert(data.draw(st.integers(0, len(shuffled))), one)
    expected = decided(triggering, replicas)
    found = decided(shuffled, replicas)
    assert (expected.replicas, expected.rule) == (found.replicas, found.rule)


@given(observed_rules, st.tuples(rules(), not_data), counts, st.data())
def test_a_blind_rule_never_lowers_the_result(
    observed: list[tuple[ScalingRule, Observation]],
    blind: tuple[ScalingRule, Observation],
    replicas: int,
    data: st.DataObject,
) -> None:
    """It may be anywhere among the rules; a step up stays the same, and the decision has an outcome for it."""
    without = decided(observed, replicas)
    place = data.draw(st.integers(0, len(observed)))
    decision = decided([*observed[:place], blind, *observed[place:]], replicas)
    assert decision.replicas == max(without.replicas, replicas)
    assert Verdict.ABSTAINED in {outcome.verdict for outcome in decision.outcomes}


@given(observed_rules, rules(), numbers | not_data, counts, st.data())
def test_a_void_rule_changes_no_decision(
    observed: list[tuple[ScalingRule, Observation]],
    rule: ScalingRule,
    value: Observation,
    replicas: int,
    data: st.DataObject,
) -> None:
    """The decision is the same without it, whatever was observed, and says that the rule is void."""
    void = attrs.evolve(rule, metric_name="net_rx")
    place = data.draw(st.integers(0, len(observed)))
    without, decision = (
        decided(some, replicas) for some in (observed, [*observed[:place], (void, value), *observed[place:]])
    )
    assert (without.replicas, without.rule) == (decision.replicas, decision.rule)
    assert [void] == [outcome.rule for outcome in decision.outcomes if outcome.verdict is Verdict.VOID]
    assert "void: net_rx has no bound" in decision.reason


percentages = st.lists(st.integers(0, 100).map(Decimal), min_size=1, max_size=6)


@given(rules(), percentages, percentages, counts)
def test_missing_data_never_cause_a_step_that_full_data_might_not(
    rule: ScalingRule, known: list[Decimal], hidden: list[Decimal], replicas: int
) -> None:
    """If data of replicas is removed, the step is one that any data in its place would give."""
    partial = decided([(rule, PartialMean(tuple(known), len(hidden)))], replicas)
    if partial.outcomes[0].verdict is not Verdict.QUIET:
        full = decided([(rule, PartialMean((*known, *hidden), 0).mean(Decimal()))], replicas)
        assert (full.replicas, full.outcomes[0].verdict) == (partial.replicas, partial.outcomes[0].verdict)
