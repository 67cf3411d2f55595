"""The decision itself: from rules and what they observed to a number of replicas. Pure."""

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
    """It decided; of the rules after it only the blind and the void ones are told."""
    QUIET = "quiet"
    """Its value asks for no change."""
    COOLING_DOWN = "cooling-down"
    """It triggered too short a time ago. It moves nothing, and lets no later rule move against what its value asks for."""
    HELD_BACK = "held-back"
    """It would move against a rule before it that cools down, or take replicas away while a rule is blind."""
    ABSTAINED = "abstained"
    """It is blind: it had nothing to decide on. While a rule is, no rule takes replicas away."""
    VOID = "void"
    """It can never decide; it is as good as absent."""


@attrs.frozen
class RuleOutcome:
    """What became of a rule that was looked at, and why, in words."""

    rule: ScalingRule
    verdict: Verdict = attrs.field(kw_only=True)
    reason: str = attrs.field(kw_only=True)


@attrs.frozen(kw_only=True)
class ScalingDecision:
    """How many replicas there should be, how many there were, and why.

    Args:
        replicas: the desired number.
        previous: the number before.
        rule: the one that triggered, even where its bounds left nothing to change; None when none did.
        outcomes: one for each rule up to the one that decided, in order, and for each after it that is blind or void.
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
        """Why, in one line: what the rule that decided found, and which are void; where none did, what each rule found."""
        told = {Verdict.TRIGGERED, Verdict.VOID} if self.rule else set(Verdict)
        found = "; ".join(f"{outcome.rule.name}: {outcome.reason}" for outcome in self.outcomes if outcome.verdict in told)
        found = found or "there are no rules"
        moved = f"{self.previous} to {self.replicas}" if self.changed else f"stays at {self.replicas}"
        return " ".join(f"{moved}: {found}".split())


def decide(
    rules: Sequence[ScalingRule], observations: Sequence[Observation], *, replicas: int, now: datetime
) -> ScalingDecision:
    """Let the first rule that triggers change the number of replicas, within its bounds and never against its step.

    A rule that triggers and is already at its bound still wins: an endpoint that is overloaded at its maximum must not be
    scaled down by a later rule. Nor must it while that first rule cools down. While any rule is blind, a step down is held
    back, and with it the decision. A rule that is void counts as absent.

    Args:
        rules: the earlier one has precedence.
        observations: one for each rule: its value, or why it has none.
        replicas: how many there are.
        now: aware; what cool-downs are counted to.

    Raises:
        InputError: another number of observations than of rules, replicas below zero, or a time without a zone.
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
        step, found = _step(rule, observed)
        opposed = next((other for other, wish in cooling if wish * step < 0), None)
        if not step:
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.QUIET, reason=found)
        elif (rests_s := rule.rests_for_s(moment)) > 0:
            cooling.append((rule, step))
            reason = f"{found}: {step:+d}, but cooling down for another {rests_s:.6g} s"
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.COOLING_DOWN, reason=reason)
        elif opposed:
            reason = f"{found}: {step:+d}, but {opposed.name!r} asks for the opposite while it cools down"
            outcomes[position] = RuleOutcome(rule, verdict=Verdict.HELD_BACK, reason=reason)
        else:
            bounded, held = _within_bounds(rule, replicas, step)
            if bounded < replicas and blind:
                reason = f"{found}: {step:+d}, but nothing is scaled down while these rules are blind: {', '.join(blind)}"
                outcomes[position] = RuleOutcome(rule, verdict=Verdict.HELD_BACK, reason=reason)
            else:
                desired, decided_by = bounded, rule
                outcomes[position] = RuleOutcome(rule, verdict=Verdict.TRIGGERED, reason=f"{found}: {step:+d}{held}")
            break
    told = tuple(outcomes[position] for position in sorted(outcomes))
    return ScalingDecision(replicas=desired, previous=replicas, rule=decided_by, outcomes=told)


def _blind_or_void(rule: ScalingRule, observed: Observation) -> RuleOutcome | None:
    """Return the outcome of a rule that is void or blind, None for one that sees."""
    if rule.void_reason:
        return RuleOutcome(rule, verdict=Verdict.VOID, reason=f"void: {rule.void_reason}")
    if isinstance(observed, Abstention):
        return RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: {observed.reason}")
    if isinstance(observed, Decimal) and not observed.is_finite():
        return RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: the value is {observed}")
    return None


def _step(rule: ScalingRule, observed: Decimal | PartialMean) -> tuple[int, str]:
    """Return the step that a rule asks for, and what it found, in words."""
    if isinstance(observed, Decimal):
        step, comparison = rule.step_at(observed)
        return step, f"{rule.subject} {observed:.12g} {comparison}"
    step, comparison = rule.step_with_missing(observed)
    low, high = (observed.mean(end) for end in observed.missing_range)
    known = len(observed.values)
    data = f"{observed.missing} of {known + observed.missing} without data"
    return step, f"{rule.subject} {low:.12g} to {high:.12g} ({data}) {comparison}"


def _within_bounds(rule: ScalingRule, replicas: int, step: int) -> tuple[int, str]:
    """Return the number of replicas after a step, and what its bounds had to do with that."""
    wanted = replicas + step
    # Upstream skipped a rule whose result is out of bounds; here the bounds clamp it.
    bound = rule.clamp(wanted)
    if bound == wanted:
        return wanted, ""
    limit = f"its {'maximum' if bound < wanted else 'minimum'} {bound}"
    if (bound - replicas) * step < 0:
        return replicas, f", but already beyond {limit}"
    return bound, f", held at {limit}"
