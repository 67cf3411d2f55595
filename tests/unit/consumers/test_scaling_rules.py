"""Auto-scaling rules: their arguments, and their step at a value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.unit.consumers.cluster import LOAD, NOW, inference_rule, kernel_rule, query_rule

from statcore.consumers import Comparator, ComparatorRule, MetricSource, PresetQuery, ThresholdRule
from statcore.errors import InputError


def test_arguments_may_be_text() -> None:
    """Numbers and enumeration members may be, too, and times in any zone."""
    east = timezone(timedelta(hours=9))
    rule = ThresholdRule(
        name="cpu",
        source="kernel",
        metric_name="cpu_util",
        upper_threshold="80.50",
        lower_threshold=0.1,
        min_replicas=1,
        max_replicas=1,
        cooldown_s=1.5,
        last_triggered_at=datetime(2026, 11, 22, 19, tzinfo=east),
    )
    assert (Decimal("80.5"), Decimal("0.1")) == (rule.upper_threshold, rule.lower_threshold)
    assert (MetricSource.KERNEL, 1, NOW) == (rule.source, rule.step_size, rule.last_triggered_at)
    assert rule.last_triggered_at is not None
    assert UTC is rule.last_triggered_at.tzinfo
    assert Comparator.LESS_THAN is inference_rule(comparator=Comparator.LESS_THAN).comparator
    assert Decimal(80) == kernel_rule(upper_threshold=Decimal(80), lower_threshold=80).lower_threshold


def test_a_rule_is_a_value() -> None:
    """It is equal by content, and cannot be changed."""
    assert kernel_rule() == kernel_rule()
    assert kernel_rule() != kernel_rule(step_size=2)
    with pytest.raises(AttributeError):
        kernel_rule().step_size = 3  # type: ignore[misc]


BAD_THRESHOLD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name must be text"),
    ({"source": "kernels"}, "not a MetricSource: 'kernels'; expected one of kernel, inference-framework, prometheus, "),
    ({"metric_name": None}, "rule 'cpu': the source kernel takes a metric_name and no querier or preset"),
    ({"metric_name": ""}, "metric_name must be text"),
    ({"querier": LOAD}, "takes a metric_name and no querier"),
    ({"source": "inference-framework", "metric_name": None, "querier": LOAD}, "takes a metric_name and no querier"),
    ({"source": "prometheus"}, "the source prometheus takes a querier and no metric_name or preset"),
    ({"source": "preset"}, "the source preset takes a preset and no metric_name or querier"),
    ({"source": "preset", "preset": "busy"}, "the source preset takes a preset and no metric_name or querier"),
    ({"preset": "busy"}, "the source kernel takes a metric_name and no querier or preset"),
    ({"source": "preset", "metric_name": None, "preset": ""}, "name must be text"),
    ({"source": "prometheus", "querier": LOAD}, "the source prometheus takes a querier and no metric_name"),
    ({"upper_threshold": None, "lower_threshold": None}, "needs an upper_threshold, a lower_threshold or both"),
    ({"lower_threshold": 80.01}, "lower_threshold 80.01 is above upper_threshold 80"),
    *(({"upper_threshold": bad}, "a threshold must be a finite number") for bad in ("NaN", "Infinity", "", "x", True)),
    *(
        ({"lower_threshold": bad}, "a threshold must be a finite number")
        for bad in (float("nan"), 10**400, 10**5000, "1E+400")
    ),
    *(({"step_size": bad}, "step_size must be a whole number of at least 1") for bad in (0, -1, 1.5, True)),
    *(({"min_replicas": bad}, "min_replicas must be a whole number from 0 up") for bad in (-1, 1.5, True, "1")),
    ({"max_replicas": -1}, "max_replicas must be a whole number from 0 up"),
    ({"min_replicas": 3, "max_replicas": 2}, "min_replicas 3 is above max_replicas 2"),
    *(
        ({"cooldown_s": bad}, "cooldown_s must be a number of seconds from 0 up")
        for bad in (-1, float("nan"), float("inf"), 10**400, True, "5", None)
    ),
    ({"last_triggered_at": datetime(2026, 11, 22)}, "a time without a zone"),  # noqa: DTZ001 - it is to be refused
]
BAD_COMPARATOR_RULES: list[tuple[dict[str, Any], str]] = [
    ({"threshold": None}, "a threshold must be a finite number, not None"),
    ({"threshold": "-Infinity"}, "a threshold must be a finite number, not '-Infinity'"),
    ({"comparator": ">"}, "not a Comparator: '>'; expected one of less-than, less-than-or-equal, greater-than, "),
    *(({"step_size": bad}, "step_size must be a whole number other than 0") for bad in (0, 1.5, True, None)),
    ({"metric_name": None}, "rule 'requests': the source inference-framework takes a metric_name and no querier"),
]


@pytest.mark.parametrize(
    ("rule", "bad", "message"),
    [
        *((kernel_rule, *case) for case in BAD_THRESHOLD_RULES),
        *((inference_rule, *case) for case in BAD_COMPARATOR_RULES),
    ],
)
def test_bad_arguments_are_refused(rule: Callable[..., object], bad: dict[str, Any], message: str) -> None:
    """The error names the argument."""
    with pytest.raises(InputError) as caught:
        rule(**bad)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("thresholds", "value", "expected"),
    [
        ({}, "80.001", (3, "> 80")),
        ({}, "80", (0, "<= 80 and >= 20")),
        ({}, "20", (0, "<= 80 and >= 20")),
        ({}, "19.999", (-3, "< 20")),
        ({"lower_threshold": None}, "0", (0, "<= 80")),
        ({"upper_threshold": None}, "1000", (0, ">= 20")),
        ({"upper_threshold": 20}, "20", (0, "<= 20 and >= 20")),
    ],
)
def test_beyond_a_threshold_there_is_a_step(thresholds: dict[str, Any], value: str, expected: tuple[int, str]) -> None:
    """It is up above the upper one, down below the lower one, and none at or between them."""
    assert expected == kernel_rule(step_size=3, **thresholds).step_at(Decimal(value))


@pytest.mark.parametrize(
    ("comparator", "sign", "triggers"),
    [
        ("less-than", "<", (True, False, False)),
        ("less-than-or-equal", "<=", (True, True, False)),
        ("greater-than", ">", (False, False, True)),
        ("greater-than-or-equal", ">=", (False, True, True)),
    ],
)
@pytest.mark.parametrize("step", [2, -2])
def test_a_comparison_that_holds_is_a_step(comparator: str, sign: str, triggers: tuple[bool, ...], step: int) -> None:
    """Values are below, at and above the threshold; the step has the rule's own sign."""
    rule: ComparatorRule = inference_rule(comparator=comparator, step_size=step)
    expected = [(step, f"{sign} 10") if triggered else (0, f"not {sign} 10") for triggered in triggers]
    assert expected == [rule.step_at(Decimal(value)) for value in ("9.999", "10.000", "10.001")]


def test_the_subject_of_a_rule_with_a_query_is_its_name() -> None:
    """The query is a querier or a preset; the subject of other rules is their metric."""
    busy = query_rule(name="busy", source="preset", querier=None, preset="cpu_by_kernel")
    assert ("load", "busy", "cpu_util") == (query_rule().subject, busy.subject, kernel_rule().subject)
    assert PresetQuery("cpu_by_kernel") == busy.preset


@pytest.mark.parametrize("bad", [{"labels": "job"}, {"labels": [("job", "a")]}, {"labels": None}, {"name": ""}])
def test_bad_arguments_of_a_preset_query_are_refused(bad: dict[str, Any]) -> None:
    """The constructor raises, and not the decision for all endpoints."""
    with pytest.raises(InputError, match=next(iter(bad))):
        PresetQuery(**{"name": "busy", **bad})
