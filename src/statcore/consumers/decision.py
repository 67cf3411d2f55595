"""The decision itself: from rules and what they observed to a number of replicas. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import attrs

from statcore.consumers.observation import Abstention, Observation
from statcore.consumers.rules import ScalingRule
from statcore.errors import InputError
from statcore.model.time_range import parse_time


class Verdict(StrEnum):
    """What became of a rule."""

    TRIGGERED = "triggered"
    """It decided; the rules after it were not looked at."""
    QUIET = "quiet"
    """Its value asks for no change."""
    COOLING_DOWN = "cooling-down"
    """It triggered too short a time ago. It moves nothing, and lets no later rule move against what its value asks for."""
    HELD_BACK = "held-back"
    """It would move against a rule before it that cools down."""
    ABSTAINED = "abstained"
    """It had nothing to decide on."""


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
        outcomes: one for each rule that was looked at, in order.
    """

    replicas: int
    previous: int
    rule: ScalingRule | None
    outcomes: tuple[RuleOutcome, ...]

    @property
    def changed(self) -> bool:
        """Whether the number is to change."""
        return self.replicas != self.previous


def decide(
    rules: Sequence[ScalingRule], observations: Sequence[Observation], *, replicas: int, now: datetime
) -> ScalingDecision:
    """Let the first rule that triggers change the number of replicas, within its bounds and never against its step.

    A rule that triggers and is already at its bound still wins: an endpoint that is overloaded at its maximum must not be
    scaled down by a later rule. Nor must it while that first rule cools down.

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
    outcomes: list[RuleOutcome] = []
    cooling: list[tuple[ScalingRule, int]] = []
    for rule, observed in zip(rules, observations, strict=True):
        if isinstance(observed, Abstention) or not observed.is_finite():
            reason = observed.reason if isinstance(observed, Abstention) else f"the value is {observed}"
            outcomes.append(RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: {reason}"))
            continue
        step, comparison = rule.step_at(observed)
        found = f"{rule.subject} {observed:.12g} {comparison}"
        opposed = next((other for other, wish in cooling if wish * step < 0), None)
        if not step:
            outcomes.append(RuleOutcome(rule, verdict=Verdict.QUIET, reason=found))
        elif (rests_s := rule.rests_for_s(moment)) > 0:
            cooling.append((rule, step))
            reason = f"{found}: {step:+d}, but cooling down for another {rests_s:.6g} s"
            outcomes.append(RuleOutcome(rule, verdict=Verdict.COOLING_DOWN, reason=reason))
        elif opposed:
            reason = f"{found}: {step:+d}, but {opposed.name!r} asks for the opposite while it cools down"
            outcomes.append(RuleOutcome(rule, verdict=Verdict.HELD_BACK, reason=reason))
        else:
            desired, held = _within_bounds(rule, replicas, step)
            outcomes.append(RuleOutcome(rule, verdict=Verdict.TRIGGERED, reason=f"{found}: {step:+d}{held}"))
            return ScalingDecision(replicas=desired, previous=replicas, rule=rule, outcomes=tuple(outcomes))
    return ScalingDecision(replicas=replicas, previous=replicas, rule=None, outcomes=tuple(outcomes))


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
