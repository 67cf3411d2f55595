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
    """It triggered too short a time ago."""
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
    """Let the first rule that triggers change the number of replicas, within its bounds.

    A rule that triggers and is already at its bound still wins: an endpoint that is overloaded at its maximum must not be
    scaled down by a later rule.

    Args:
        rules: the earlier one has precedence.
        observations: one for each rule: its value, or why it has none.
        replicas: how many there are.
        now: aware; what cool-downs are counted to.

    Raises:
        InputError: another number of observations than of rules, replicas below zero, or a time without a zone.
    """
    moment = parse_time(now)
    if replicas < 0 or len(rules) != len(observations):
        raise InputError(f"{len(observations)} observations for {len(rules)} rules and {replicas} replicas")
    outcomes: list[RuleOutcome] = []
    for rule, observed in zip(rules, observations, strict=True):
        step, outcome = _judge(rule, observed, replicas, moment)
        outcomes.append(outcome)
        if step:
            desired = rule.clamp(replicas + step)
            return ScalingDecision(replicas=desired, previous=replicas, rule=rule, outcomes=tuple(outcomes))
    return ScalingDecision(replicas=replicas, previous=replicas, rule=None, outcomes=tuple(outcomes))


def _judge(rule: ScalingRule, observed: Observation, replicas: int, now: datetime) -> tuple[int, RuleOutcome]:
    if (rests_s := rule.rests_for_s(now)) > 0:
        reason = f"cooling down for another {rests_s:.6g} s"
        return 0, RuleOutcome(rule, verdict=Verdict.COOLING_DOWN, reason=reason)
    if isinstance(observed, Abstention) or not observed.is_finite():
        reason = observed.reason if isinstance(observed, Abstention) else f"the value is {observed}"
        return 0, RuleOutcome(rule, verdict=Verdict.ABSTAINED, reason=f"abstained: {reason}")
    step, comparison = rule.step_at(observed)
    reason = f"{rule.subject} {observed:.12g} {comparison}"
    if not step:
        return 0, RuleOutcome(rule, verdict=Verdict.QUIET, reason=reason)
    wanted = replicas + step
    # Upstream skipped a rule whose result is out of bounds; here the bounds clamp it.
    bound = rule.clamp(wanted)
    held = f", held at its {'maximum' if bound < wanted else 'minimum'} {bound}" if bound != wanted else ""
    return step, RuleOutcome(rule, verdict=Verdict.TRIGGERED, reason=f"{reason}: {step:+d}{held}")
