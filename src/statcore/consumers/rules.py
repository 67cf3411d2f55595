"""Auto-scaling rules: what they look at, and the step that they ask for at a value."""

from __future__ import annotations

import operator
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NoReturn

import attrs

from statcore.consumers.observation import PartialMean
from statcore.errors import InputError
from statcore.model.numbers import finite_number
from statcore.model.statistics import has_bound
from statcore.model.time import parse_time
from statcore.model.validation import check_count, check_line, check_mapping, check_whole_number
from statcore.promql.preset import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

_optional = attrs.validators.optional


class _Choice(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise InputError(f"not a {cls.__name__}: {value!r:.100}; expected one of {', '.join(cls)}")


class MetricSource(_Choice):
    """Where the value that a rule looks at comes from."""

    KERNEL = "kernel"
    """The mean `pct` of a metric over the kernels of the endpoint's active replicas."""
    INFERENCE_FRAMEWORK = "inference-framework"
    """The `current` value of one of the endpoint's own metrics, divided by the number of its active replicas, or by 1."""
    PROMETHEUS = "prometheus"
    """The only sample that a querier finds at the time of the decision."""
    PRESET = "preset"
    """The only sample that a preset finds at the time of the decision."""


class Comparator(_Choice):
    """How a value compares with the threshold of a `ComparatorRule` when it triggers."""

    LESS_THAN = "less-than"
    LESS_THAN_OR_EQUAL = "less-than-or-equal"
    GREATER_THAN = "greater-than"
    GREATER_THAN_OR_EQUAL = "greater-than-or-equal"


_COMPARISONS: Final[dict[Comparator, tuple[str, Callable[[Decimal, Decimal], bool]]]] = {
    Comparator.LESS_THAN: ("<", operator.lt),
    Comparator.LESS_THAN_OR_EQUAL: ("<=", operator.le),
    Comparator.GREATER_THAN: (">", operator.gt),
    Comparator.GREATER_THAN_OR_EQUAL: (">=", operator.ge),
}


def _threshold(value: Decimal | float | str) -> Decimal:
    try:
        number = finite_number(str(value))
    except ValueError as error:  # Python does not write numbers of that many digits
        raise InputError(f"a threshold must be a finite number: {error}") from error
    if number is None:
        raise InputError(f"a threshold must be a finite number, not {value!r:.100}")
    return number


check_replicas: Final = check_whole_number(0)
"""Accepts a number of replicas."""


def _check_cooldown(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise InputError(f"{field.name} must be a number of seconds from 0 up, not {value!r}")


def _check_step(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not value:
        raise InputError(f"{field.name} must be a whole number other than 0, not {value!r}")


_FIELD_OF_SOURCE: Final = {
    MetricSource.KERNEL: "metric_name",
    MetricSource.INFERENCE_FRAMEWORK: "metric_name",
    MetricSource.PROMETHEUS: "querier",
    MetricSource.PRESET: "preset",
}


@attrs.frozen
class PresetQuery:
    """A preset, and what is filled in; it must come to one series.

    Args:
        name: which preset.
        labels: label name to the value that it must have, or to values of which it must have any.
        window: instead of the preset's own.

    Raises:
        InputError: the name is not a line of text, or the labels are no map.
    """

    name: str = attrs.field(validator=check_line)
    labels: Mapping[str, str | Sequence[str]] = attrs.field(
        factory=dict[str, Any], kw_only=True, hash=False, validator=check_mapping
    )
    window: timedelta | str | None = attrs.field(default=None, kw_only=True)

    def promql(self, presets: Mapping[str, Preset]) -> str:
        """Return the query.

        Raises:
            InputError: there is no such preset, or it does not allow what is filled in.
        """
        if self.name not in presets:
            raise InputError(f"there is no preset {self.name!r:.100}; known are: {', '.join(presets) or 'none'}")
        return presets[self.name].promql(labels=self.labels, window=self.window)


def _preset_query(value: PresetQuery | str) -> PresetQuery:
    return value if isinstance(value, PresetQuery) else PresetQuery(value)


@attrs.frozen(kw_only=True)
class ScalingRule(ABC):
    """What both forms of a rule have in common.

    Args:
        name: what the rule is called in messages.
        source: where its value comes from.
        metric_name: which metric of a kernel or inference framework; none with a querier.
        querier: what to ask a metric backend for; it must come to one series, so it groups by what it filters by.
        preset: what else to ask a metric backend for; a name alone is a preset with nothing filled in.
        min_replicas: what a step down ends at, by default 0. Where there are fewer already a step down moves nothing, and
            a step up reaches at least this.
        max_replicas: likewise what a step up ends at, by default nothing. Bounds alone move nothing.
        cooldown_s: for how many seconds after `last_triggered_at` it rests.
        last_triggered_at: when it last won, aware; None is never.

    Raises:
        InputError: a value that cannot be one, or values that contradict each other; the message names them.
    """

    name: str = attrs.field(validator=check_line)
    source: MetricSource = attrs.field(converter=MetricSource)
    metric_name: str | None = attrs.field(default=None, validator=_optional(check_line))
    querier: UtilizationMetricQuerier | None = None
    preset: PresetQuery | None = attrs.field(default=None, converter=attrs.converters.optional(_preset_query))
    min_replicas: int | None = attrs.field(default=None, validator=_optional(check_replicas))
    max_replicas: int | None = attrs.field(default=None, validator=_optional(check_replicas))
    cooldown_s: float = attrs.field(default=0.0, validator=_check_cooldown)
    last_triggered_at: datetime | None = attrs.field(default=None, converter=attrs.converters.optional(parse_time))

    def __attrs_post_init__(self) -> None:
        """Check what no single field can."""
        needed = _FIELD_OF_SOURCE[self.source]
        others = [name for name in dict.fromkeys(_FIELD_OF_SOURCE.values()) if name != needed]
        if getattr(self, needed) is None or any(getattr(self, other) is not None for other in others):
            raise InputError(f"rule {self.name!r}: the source {self.source} takes a {needed} and no {' or '.join(others)}")
        if self.max_replicas is not None and self.max_replicas < (self.min_replicas or 0):
            raise InputError(
                f"rule {self.name!r}: min_replicas {self.min_replicas} is above max_replicas {self.max_replicas}"
            )

    @property
    def subject(self) -> str:
        """What its value is a value of: the metric or, with a querier or a preset, the rule itself."""
        return self.metric_name or self.name

    @property
    def void_reason(self) -> str | None:
        """Why the rule can never decide, None where it can: it rests on the percentage of a metric without a bound."""
        if self.source is not MetricSource.KERNEL or self.metric_name is None or has_bound(self.metric_name):
            return None
        return f"{self.metric_name} has no bound, so a percentage of it is no figure"

    @abstractmethod
    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return the signed step to take at a value, 0 for none, and the comparison that says so, such as `> 80`."""

    def step_with_missing(self, observed: PartialMean) -> tuple[int, str]:
        """Return the step that is asked for wherever in their range the missing values are, 0 where that depends on them.

        So each of them is taken to be on the side of a threshold that does not trigger. Where the whole range is on the
        side that triggers, a missing value is taken to be beyond it.
        """
        lowest, highest = observed.missing_range
        low, comparison = self.step_at(observed.mean(lowest))
        high, _ = self.step_at(observed.mean(highest))
        if low != high:
            return 0, "depends on the missing values"
        if self.step_at(lowest)[0] == low == self.step_at(highest)[0] != 0:
            return 0, f"{comparison} for any percentage"
        return low, comparison

    def clamp(self, replicas: int) -> int:
        """Return the number of replicas within the bounds."""
        raised = max(replicas, self.min_replicas or 0)
        return raised if self.max_replicas is None else min(raised, self.max_replicas)

    def rests_for_s(self, now: datetime) -> float:
        """Return for how many more seconds the rule is in its cool-down; it is not when that is not above zero."""
        if self.last_triggered_at is None:
            return 0.0
        return self.cooldown_s - (now - self.last_triggered_at).total_seconds()


@attrs.frozen(kw_only=True)
class ThresholdRule(ScalingRule):
    """Add replicas above the upper threshold, else remove some below the lower one.

    Args:
        upper_threshold: a number, or text that spells one; it or the lower one must be there.
        lower_threshold: likewise, not above the upper one.
        step_size: how many replicas to add or remove, from 1 up.
    """

    upper_threshold: Decimal | None = attrs.field(default=None, converter=attrs.converters.optional(_threshold))
    lower_threshold: Decimal | None = attrs.field(default=None, converter=attrs.converters.optional(_threshold))
    step_size: int = attrs.field(default=1, validator=check_count)

    def __attrs_post_init__(self) -> None:
        """Check what no single field can."""
        super().__attrs_post_init__()
        upper, lower = self.upper_threshold, self.lower_threshold
        if upper is None and lower is None:
            raise InputError(f"rule {self.name!r} needs an upper_threshold, a lower_threshold or both")
        if upper is not None and lower is not None and lower > upper:
            raise InputError(f"rule {self.name!r}: lower_threshold {lower} is above upper_threshold {upper}")

    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return plus or minus `step_size` beyond a threshold; at a threshold, 0."""
        upper, lower = self.upper_threshold, self.lower_threshold
        if upper is not None and value > upper:
            return self.step_size, f"> {upper}"
        if lower is not None and value < lower:
            return -self.step_size, f"< {lower}"
        held = [f"{sign} {bound}" for sign, bound in (("<=", upper), (">=", lower)) if bound is not None]
        return 0, " and ".join(held)


@attrs.frozen(kw_only=True)
class ComparatorRule(ScalingRule):
    """The older form: take one signed step when the value compares with the threshold.

    Args:
        threshold: a number, or text that spells one.
        comparator: which comparison triggers the rule.
        step_size: how many replicas to add, or below zero to remove; not 0.
    """

    threshold: Decimal = attrs.field(converter=_threshold)
    comparator: Comparator = attrs.field(converter=Comparator)
    step_size: int = attrs.field(validator=_check_step)

    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return `step_size` when the comparison holds, else 0."""
        sign, holds = _COMPARISONS[self.comparator]
        if holds(value, self.threshold):
            return self.step_size, f"{sign} {self.threshold}"
        return 0, f"not {sign} {self.threshold}"
