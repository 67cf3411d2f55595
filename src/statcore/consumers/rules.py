"""Auto-scaling rules: where their values come from, and the step that they ask for at a value."""

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
from statcore.promql.templates import Preset
from statcore.queriers.interface import UtilizationMetricQuerier

_optional = attrs.validators.optional


class _Choice(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise InputError(f"not a {cls.__name__}: {value!r:.100}; expected one of {', '.join(cls)}")


class MetricSource(_Choice):
    """Source of the value that a rule looks at."""

    KERNEL = "kernel"
    """The mean `pct` of a metric over the kernels of the endpoint's active replicas."""
    INFERENCE_FRAMEWORK = "inference-framework"
    """The `current` value of one of the endpoint's own metrics, divided by the number of its active replicas, or by 1."""
    PROMETHEUS = "prometheus"
    """The only sample of a querier at the time of the decision."""
    PRESET = "preset"
    """The only sample of a preset at the time of the decision."""


class Comparator(_Choice):
    """Comparison of a value with the threshold of a `ComparatorRule`; if it holds, the rule asks for its step."""

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
    except ValueError as error:  # Python refuses to write so many digits
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
    """A preset with its parameters; the query must result in one series.

    Args:
        name: the preset's name.
        labels: for each label name the value that it must have, or values of which it must have one.
        window: instead of the preset's own window.

    Raises:
        InputError: the name is not one line of text, or `labels` is not a map.
    """

    name: str = attrs.field(validator=check_line)
    labels: Mapping[str, str | Sequence[str]] = attrs.field(
        factory=dict[str, Any], kw_only=True, hash=False, validator=check_mapping
    )
    window: timedelta | str | None = attrs.field(default=None, kw_only=True)

    def promql(self, presets: Mapping[str, Preset]) -> str:
        """Return the query.

        Raises:
            InputError: there is no such preset, or it does not allow these parameters.
        """
        if self.name not in presets:
            raise InputError(f"there is no preset {self.name!r:.100}; known are: {', '.join(presets) or 'none'}")
        return presets[self.name].promql(labels=self.labels, window=self.window)


def _preset_query(value: PresetQuery | str) -> PresetQuery:
    return value if isinstance(value, PresetQuery) else PresetQuery(value)


@attrs.frozen(kw_only=True)
class ScalingRule(ABC):
    """The part that both forms of a rule share.

    Args:
        name: the rule's name in messages.
        source: where its value comes from.
        metric_name: the metric of a kernel or inference framework; only for these two sources.
        querier: the query of a metric backend. Its answer must be one series, so it groups only by labels that it also
            filters by.
        preset: the preset query of a metric backend; a name alone is a preset without parameters.
        min_replicas: the lowest result of a step down, by default 0. If there are fewer replicas already, a step down
            changes nothing, and a step up results in at least this number.
        max_replicas: the highest result of a step up, by default unlimited. If there are more replicas already, a step up
            changes nothing, and a step down results in at most this number. Bounds alone change nothing.
        cooldown_s: for how many seconds after `last_triggered_at` the rule cools down.
        last_triggered_at: when the rule last triggered, an aware datetime; None means never.

    Raises:
        InputError: a value is not allowed, or values contradict each other; the message names them.
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
        """Check fields against each other."""
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
        """The name of its value in messages: the metric or, with a querier or a preset, the rule."""
        return self.metric_name or self.name

    @property
    def void_reason(self) -> str | None:
        """Why the rule can never decide, or None: it needs the percentage of a metric that has no bound."""
        if self.source is not MetricSource.KERNEL or self.metric_name is None or has_bound(self.metric_name):
            return None
        return f"{self.metric_name} has no bound, so its percentage means nothing"

    @abstractmethod
    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return the signed step at a value, 0 for none, and the comparison that led to it, such as `> 80`."""

    def step_with_missing(self, observed: PartialMean) -> tuple[int, str]:
        """Return the step at a mean with missing values: 0 unless it is the same for all values that may be missing.

        So missing values alone cause no step: each is assumed to lie where the rule asks for none. A rule that asks for the
        same step at every possible percentage takes no step.
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
        """Return for how many more seconds the rule cools down; zero or less if it does not."""
        if self.last_triggered_at is None:
            return 0.0
        return self.cooldown_s - (now - self.last_triggered_at).total_seconds()


@attrs.frozen(kw_only=True)
class ThresholdRule(ScalingRule):
    """Rule that adds replicas above an upper threshold, and removes replicas below a lower one.

    Args:
        upper_threshold: a number, or a number as text. At least one of the two thresholds is needed.
        lower_threshold: a number, or a number as text, not above the upper threshold.
        step_size: how many replicas to add or remove, from 1 up.
    """

    upper_threshold: Decimal | None = attrs.field(default=None, converter=attrs.converters.optional(_threshold))
    lower_threshold: Decimal | None = attrs.field(default=None, converter=attrs.converters.optional(_threshold))
    step_size: int = attrs.field(default=1, validator=check_count)

    def __attrs_post_init__(self) -> None:
        """Check fields against each other."""
        super().__attrs_post_init__()
        upper, lower = self.upper_threshold, self.lower_threshold
        if upper is None and lower is None:
            raise InputError(f"rule {self.name!r} needs an upper_threshold, a lower_threshold or both")
        if upper is not None and lower is not None and lower > upper:
            raise InputError(f"rule {self.name!r}: lower_threshold {lower} is above upper_threshold {upper}")

    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return plus or minus `step_size` beyond a threshold, 0 between the thresholds and at one of them."""
        upper, lower = self.upper_threshold, self.lower_threshold
        if upper is not None and value > upper:
            return self.step_size, f"> {upper}"
        if lower is not None and value < lower:
            return -self.step_size, f"< {lower}"
        held = [f"{sign} {bound}" for sign, bound in (("<=", upper), (">=", lower)) if bound is not None]
        return 0, " and ".join(held)


@attrs.frozen(kw_only=True)
class ComparatorRule(ScalingRule):
    """Rule in the older form: asks for one signed step if a comparison with the threshold holds.

    Args:
        threshold: a number, or a number as text.
        comparator: the comparison that must hold for a step.
        step_size: how many replicas to add, or to remove if it is negative; not 0.
    """

    threshold: Decimal = attrs.field(converter=_threshold)
    comparator: Comparator = attrs.field(converter=Comparator)
    step_size: int = attrs.field(validator=_check_step)

    def step_at(self, value: Decimal) -> tuple[int, str]:
        """Return `step_size` if the comparison holds, else 0."""
        sign, holds = _COMPARISONS[self.comparator]
        if holds(value, self.threshold):
            return self.step_size, f"{sign} {self.threshold}"
        return 0, f"not {sign} {self.threshold}"
