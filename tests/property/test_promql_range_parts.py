"""Splitting a range keeps its points, and expressions of statcore mean the same in every part."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs
from hypothesis import given
from hypothesis import strategies as st
from tests.support.promql_expressions import expressions

from statcore.errors import InputError
from statcore.model import QueryTimeRange
from statcore.promql import Expression, Selector, check_points, fix_range, render, split_range
from statcore.testing.strategies import label_names, label_values, metric_names, time_ranges


def grid(time_range: QueryTimeRange) -> list[datetime]:
    """Return the points, counted up from the start as a server does."""
    points, time = [time_range.start], time_range.start + time_range.step
    while time <= time_range.end:
        points.append(time)
        time += time_range.step
    return points


@given(time_ranges(max_points=200), st.integers(1, 250))
def test_the_parts_have_the_points_of_the_whole(time_range: QueryTimeRange, max_points: int) -> None:
    """Points are in order and occur once; no part has more points than allowed, and all except the last are full."""
    parts = split_range(time_range, max_points=max_points, max_range_requests=200)
    assert grid(time_range) == [point for part in parts for point in grid(part)]
    assert all(part.points == len(grid(part)) for part in parts)
    assert all(part.points == max_points for part in parts[:-1])
    assert 1 <= parts[-1].points <= max_points
    assert {time_range.step} == {part.step for part in parts}


@given(time_ranges(max_points=100_000), st.integers(2, 1_000))
def test_the_step_that_is_advised_is_long_enough(time_range: QueryTimeRange, allowed: int) -> None:
    """A range is refused exactly where it has too many points, and accepted with the advised step."""
    try:
        check_points(time_range, allowed, reason="so it is")
    except InputError as error:
        assert time_range.points > allowed
        step = str(error).partition("take a step of ")[2].partition(" ")[0]
        check_points(attrs.evolve(time_range, step=step), allowed, reason="so it is")
    else:
        assert time_range.points <= allowed


WORDS: Final = ["start", "end", "step", "range", "range_sum", "topk_max", "limitk", "now", "union", "any", "limit"]
names: Final = st.sampled_from(WORDS)
selectors: Final = st.builds(
    Selector,
    metric_names().filter(lambda name: name.lower() != "default") | names,  # the scan takes this name for an operator
    st.dictionaries(label_names() | names, label_values() | names, max_size=3),
)


@given(expressions(selectors, by=st.lists(label_names() | names, max_size=3)))
def test_an_expression_needs_no_change_to_be_split(expression: Expression) -> None:
    """Clients send its text without scanning it, even where names look like functions of a whole range."""
    time_range = QueryTimeRange(start=0, end=60, step="1s")
    assert render(expression) == fix_range(render(expression), time_range, max_points=10)
