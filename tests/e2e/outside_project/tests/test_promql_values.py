"""The values of `statcore.promql`: each becomes the text that docs/plugins.md promised, and presets are filled in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from outside_batteries.plugin import statcore_presets

from statcore import InputError, LabelMatcher, QueryTimeRange
from statcore.plugins import Preset
from statcore.promql import (
    MAX_POINTS,
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    HistogramQuantile,
    Matching,
    Number,
    Part,
    RangeSelector,
    Selector,
    Subquery,
    check_points,
    fix_range,
    id_batches,
    live_stat_queries,
    render,
    split_range,
    url_path_name,
)
from statcore.testing import strategies

POWER, LIMIT = Selector("rack_power"), Selector("rack_limit")
EXPRESSIONS: list[tuple[Part, str]] = [
    (
        Selector("rack_power", {"rack_id": "r1", "phase": LabelMatcher.not_equal("N")}),
        'rack_power{rack_id="r1",phase!="N"}',
    ),
    (Selector.equal("rack_power", rack_id="r1"), 'rack_power{rack_id="r1"}'),
    (Selector("rack_power", offset="1d"), "rack_power offset 1d"),
    (Call("rate", RangeSelector(Selector("rack_energy"), timedelta(minutes=5))), "rate(rack_energy[5m])"),
    (Call("max_over_time", Subquery(POWER, "1h")), "max_over_time((rack_power)[1h:])"),
    (Aggregation("sum", POWER, ["rack_id"]), "sum by (rack_id)(rack_power)"),
    (Aggregation("max", POWER), "max(rack_power)"),
    (HistogramQuantile(0.95, Selector("door_seconds_bucket")), "histogram_quantile(0.95, door_seconds_bucket)"),
    (BinaryOperation("*", POWER, Number(100)), "rack_power * 100.0"),
    (BinaryOperation("-", LIMIT, POWER), "rack_limit - rack_power"),
    (BinaryOperation(">", LIMIT, Number(0)), "rack_limit > 0.0"),
    (
        BinaryOperation("and", POWER, LIMIT, matching=Matching.on("rack_id")),
        "rack_power and on (rack_id) rack_limit",
    ),
    (
        BinaryOperation("/", POWER, LIMIT, matching=Matching.ignoring("phase")),
        "rack_power / ignoring (phase) rack_limit",
    ),
    (ConstantLabel(POWER, "unit", "W"), 'label_replace(rack_power, "unit", "W", "", "")'),
]


@pytest.mark.parametrize(("expression", "text"), EXPRESSIONS, ids=[text for _, text in EXPRESSIONS])
def test_an_expression_becomes_its_text(expression: Part, text: str) -> None:
    """The text is the one that the documentation showed; `.text` is the same."""
    assert text == render(expression) == expression.text


@pytest.mark.parametrize(
    "build",
    [
        lambda: Call("rate", POWER),  # type: ignore[arg-type]
        lambda: Aggregation("sum", "text"),  # type: ignore[arg-type]
        lambda: Aggregation("median", POWER),  # type: ignore[arg-type]
        lambda: Selector("{bad}"),
        lambda: Selector("x", {"__name__": "y"}),
        lambda: RangeSelector(POWER, "0s"),
        lambda: HistogramQuantile("0.5", POWER),  # type: ignore[arg-type]
    ],
)
def test_a_bad_part_is_refused_when_it_is_built(build: object) -> None:
    """The error is an `InputError`."""
    with pytest.raises(InputError):
        build()  # type: ignore[operator]


@settings(deadline=None, max_examples=20, database=None)
@given(strategies.metric_names(), strategies.label_names(), strategies.label_matchers(), strategies.durations())
def test_any_name_and_value_can_be_written(name: str, label: str, matcher: LabelMatcher, window: timedelta | str) -> None:
    """The strategies that are shipped generate what the values take."""
    assert name in render(Call("rate", RangeSelector(Selector(name, {label: matcher}), window)))


def test_ranges_are_split_and_checked() -> None:
    """A backend of a third party bounds its points with these."""
    time_range = QueryTimeRange(start=0, end=100, step=1)
    parts = split_range(time_range, max_points=30)
    assert 101 == sum(part.points for part in parts)
    assert max(part.points for part in parts) <= 30 < MAX_POINTS
    check_points(time_range, 101, reason="enough")
    with pytest.raises(InputError):
        check_points(time_range, 100, reason="one too few")
    fixed = fix_range("x @ end()", time_range, max_points=MAX_POINTS)
    assert fixed.startswith("x @ ")
    assert "/a%2Fb" not in url_path_name("job")


def test_live_statistics_are_six_queries() -> None:
    """Each is an expression; ids come in batches."""
    ids = [f"00000000-0000-0000-0000-{number:012}" for number in range(3)]
    queries = live_stat_queries(ids, window="1m")
    assert all(
        ids[0] in render(getattr(queries, name)) for name in ("now", "rate_now", "max", "avg", "rate_max", "rate_avg")
    )
    assert ids == [id_ for batch in id_batches(ids) for id_ in batch]


def test_a_preset_is_filled_in() -> None:
    """Labels are escaped, one or several; other labels and windows are refused."""
    (preset,) = statcore_presets()
    assert ("battery-charge", ("battery_id", "maker"), ("maker",)) == (
        preset.name,
        tuple(preset.filter_labels),
        tuple(preset.group_labels),
    )
    text = preset.promql(labels={"maker": ["a", "b"], "battery_id": 'x"'}, group_labels=["maker"], window="10m")
    assert 'battery_charge{maker=~"a|b",battery_id="x\\""}[10m]' in text
    assert "by (maker)" in text
    assert "[5m]" in preset.promql()
    for refused in ({"labels": {"site": "x"}}, {"group_labels": ["battery_id"]}, {"window": "1y"}):
        with pytest.raises(InputError):
            preset.promql(**refused)
    with pytest.raises(InputError):
        Preset(name="x", description="x", template="sum(${{ labels }})")
