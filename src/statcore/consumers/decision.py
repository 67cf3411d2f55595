"""Decision: from rules and their observations to a number of replicas. A pure function, without I/O and clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import attrs

from statcore.consumers.observation import Abstention, Observation, PartialMean
from statcore.consumers.rules import ScalingRule
from statcore.errors import InputError
from statcore.model.time import parse_time


class Verdict(StrEnum):
    """What became of a rule."""

    TRIGGERED = "triggered"
    """It decided. Of the rules after it, only blind and void rules have an outcome."""
    QUIET = "quiet"
    """It asks for no step at its value."""
    COOLING_DOWN = "cooling-down"
    """It asks for a step while it cools down. It changes nothing, and no later rule may take the opposite step."""
    HELD_BACK = "held-back"
    """An earlier rule that cools down asks for the opposite step, or the step removes replicas while a rule is blind."""
    ABSTAINED = "abstained"
    """It is blind: it has no value to decide on. While a rule is blind, no rule removes replicas."""
    VOID = "void"
    """It can never decide, and is treated as absent."""


@attrs.frozen
class RuleOutcome:
    """Outcome of a rule: the verdict, and the reason in words."""

    rule: ScalingRule
    verdict: Verdict = attrs.field(kw_only=True)
    reason: str = attrs.field(kw_only=True)


@attrs.frozen(kw_only=True)
class ScalingDecision:
    """Decision on an endpoint: the desired number of replicas, the number before, and the reasons.

    Args:
        replicas: the desired number.
        previous: the number before.
        rule: the rule that triggered, even if its bounds leave nothing to change; None if no rule did.
        outcomes: in order, one for each rule up to the rule that decided, and for each later rule that is blind or void.
    """

    replicas: int
    previous: int
    rule: ScalingRule | None
    outcomes: tuple[RuleOutcome, ...]

    @property
    def changed(self) -> bool:
        """Whether the number is to change."""
        return self.replicas != self.previous

    @property
    def reason(self) -> str:
        """The reason in one line: that of the rule that decided and of void rules, or of every rule if none decided."""
        shown = {Verdict.TRIGGERED, Verdict.VOID} if self.rule else set(Verdict)
        reasons = [f"{outcome.rule.name}: {outcome.reason}" for outcome in self.outcomes if outcome.verdict in shown]
        change = f"{self.previous} to {self.replicas}" if self.changed else f"stays at {self.replicas}"
        return " ".join(f"{change}: {'; '.join(reasons) or 'there are no rules'}".split())


def decide(
    rules: Sequence[ScalingRule], observations: Sequence[Observation], *, replicas: int, now: datetime
) -> ScalingDecision:
    """Return the number of replicas after the step of the first rule that triggers, within the bounds of that rule.

    A rule triggers if it asks for a step, does not cool down, and is not held back. It also triggers if its bounds leave
    nothing to change: a later rule must not scale down an endpoint that is overloaded at its maximum. A rule is held back
    if an earlier rule that cools down asks for the opposite step; later rules may still trigger then. It is also held back
    if its step removes replicas while any rule is blind; no later rule triggers then. A void rule counts as absent.

    Args:
        rules: an earlier rule has precedence.
        observations: for each rule its value, or why it has none.
        replicas: how many there are.
        now: an aware datetime; a rule cools down if its cool-down ends after it.

    Raises:
        InputError: the numbers of observations and rules differ, replicas is below zero, or `now` has no zone.
    """
    moment = parse_time(now)
    if len(rules) != len(observations):
        raise InputError(f"there are {len(observations)} observations for {len(rules)} rules")
    if replicas < 0:
        raise InputError(f"replicas must be a whole number from 0 up, not {replicas}")
    unseen = {position: _blind_or_void(*pair) for position, pair in enumerate(zip(rules, observations, strict=True))}
    outcomes = {position: outcome for position, outcome in unseen.items() if outcome is not None}
    blind = [outcome.rule.name for outcome in outcomes.values() if outcome.verdict is Verdict.ABSTAINED]
    cooling: list[tuple[ScalingRule, int]] = []
    desired, decided_by = replicas, None
    for position, (rule, observed) in enumerate(zip(rules, observations, strict=True)):
        if position in outcomes or isinstance(observed, Abstention):
            continue
        step, comparison = _step(rule, observed)
        opposed = next((other for other, other_step in cooling if other_step * step < 0), None)
        if not step:
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.QUIET, reason=comparison)
        elif (remaining_s := rule.rests_for_s(moment)) > 0:
            cooling.append((rule, step))
            reason = f"{comparison}: {step:+d}, but cooling down for another {remaining_s:.6g} s"
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.COOLING_DOWN, reason=reason)
        elif opposed:
            reason = f"{comparison}: {step:+d}, but {opposed.name!r} asks for the opposite while it cools down"
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.HELD_BACK, reason=reason)
        else:
            bounded, held = _within_bounds(rule, replicas, step)
            if bounded < replicas and blind:
                reason = (
                    f"{comparison}: {step:+d}, but nothing is scaled down while these rules are blind: {', '.join(blind)}"
                )
                outcomes[position] = RuleOutcome(rule, verdict=Verdict.HELD_BACK, reason=reason)
            else:
                desired, decided_by = bounded, rule
                outcomes[position] = RuleOutcome(rule, verdict=Verdict.TRIGGERED, reason=f"{comparison}: {step:+d}{held}")
            break
    in_order = tuple(outcomes[position] for position in sorted(outcomes))
    return ScalingDecision(replicas=desired, previous=replicas, rule=decided_by, outcomes=in_order)


def _blind_or_void(rule: ScalingRule, observed: Observation) -> RuleOutcome | None:
    """Return the outcome of a rule that is void or blind, None for a rule with a value."""
    if rule.void_reason:
        return RuleOutcome(rule, verdict=Verdict.VOID, reason=f"void: {rule.void_reason}")
    if isinstance(observed, Abstention):
        return RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: {observed.reason}")
    if isinstance(observed, Decimal) and not observed.is_finite():
        return RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: the value is {observed}")
    return None


def _step(rule: ScalingRule, observed: Decimal | PartialMean) -> tuple[int, str]:
    """Return the step that a rule asks for, and its value and comparison in words."""
    if isinstance(observed, Decimal):
        step, comparison = rule.step_at(observed)
        return step, f"{rule.subject} {observed:.12g} {comparison}"
    step, comparison = rule.step_with_missing(observed)
    low, high = (observed.mean(end) for end in observed.missing_range)
    known = len(observed.values)
    data = f"{observed.missing} of {known + observed.missing} without data"
    return step, f"{rule.subject} {low:.12g} to {high:.12g} ({data}) {comparison}"


def _within_bounds(rule: ScalingRule, replicas: int, step: int) -> tuple[int, str]:
    """Return the number of replicas after a step, and how the rule's bounds changed it, in words."""
    unbounded = replicas + step
    # The original scheduler skips a rule whose result is out of bounds; here the bounds clamp the result.
    bound = rule.clamp(unbounded)
    if bound == unbounded:
        return unbounded, ""
    limit = f"its {'maximum' if bound < unbounded else 'minimum'} {bound}"
    if (bound - replicas) * step < 0:
        return replicas, f", but already beyond {limit}"
    return bound, f", held at {limit}"
