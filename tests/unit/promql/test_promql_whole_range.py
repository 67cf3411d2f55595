"""Queries over a part of their range: what is written into the text, what is left alone, and what is refused."""

from __future__ import annotations

import pytest

from statcore.errors import InputError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.promql import fix_range

RANGE = QueryTimeRange(start=1_700_000_000, end=1_700_012_000.5, step="1s")


def fixed(promql: str) -> str:
    """Return the query over a part of the range."""
    return fix_range(promql, RANGE, max_points=11_000)


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("ticks @ end()", "ticks @ 1700012000.500"),
        ("x @ start() - x offset 1h @ end()", "x @ 1700000000.000 - x offset 1h @ 1700012000.500"),
        ("max_over_time(rate(x[5m])[1h:] @ end())", "max_over_time(rate(x[5m])[1h:] @ 1700012000.500)"),
        ("topk(1, x @ END # of all\n ( \t ) )", "topk(1, x @ 1700012000.500 )"),
        ("x @ (end() - 1h)", "x @ (1700012000.500 - 1h)"),
        ("x[1h:range()] + step()", "x[1h:12000.500] + 1.000"),
        ("-start()", "-1700000000.000"),
        ("x @end()offset 5m and y @start()and z", "x @1700012000.500 offset 5m and y @1700000000.000 and z"),
        ('x{a="\\"", b="x"} @ end() + \'"\'', 'x{a="\\"", b="x"} @ 1700012000.500 + \'"\''),
    ],
)
def test_the_bounds_of_the_range_become_constants(promql: str, expected: str) -> None:
    """Of selectors, of subqueries and as functions, in any case and with any space."""
    assert expected == fixed(promql)


@pytest.mark.parametrize(
    "promql",
    [
        "sum by (start,end,default,limit,any,now) (rate(x[5m]))",
        "start + end + default + any + now + range_sum + limitk + ttf",
        'start{end="a"} offset 5m',
        "x{a=\"@ end()\", b='start()', c=~`end() \\`}",
        'label_replace(x, "start", "$1 end()", "range_sum(x)", "(.*)")',
        "x # @ end() range_sum(x)\n + y",
        "my_start() + start_() + a.end() + my\\-end() + éstart()",
        "topk(3, x) + bottomk by (a, b) (2, x) + quantile(0.5, x)",
        "x * on (a, b) group_left (c, d) y",
        "range_over_time(x[5m])",
        'aggr_over_time(("min_over_time", "max_over_time"), x[5m])',
        "WITH (a = b, c = d) a + c",
        '"end() ',
        "x @ end(",
        "",
    ],
)
def test_names_texts_and_comments_are_left_alone(promql: str) -> None:
    """Text that only looks like a bound of the range stays unchanged, and so does text that is not a query."""
    assert promql == fixed(promql)


def test_a_query_is_text() -> None:
    """Anything else is refused as it is where nothing is cut."""
    with pytest.raises(InputError, match="a query must be text"):
        fix_range(None, RANGE, max_points=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("promql", "name"),
    [
        ("range_avg(x)", "range_avg"),
        ("1 + RUNNING_SUM (x)", "RUNNING_SUM"),
        ("keep_last_value(x)", "keep_last_value"),
        ("keep_next_value(x)", "keep_next_value"),
        ("interpolate(x)", "interpolate"),
        ("limit_offset(1, 2, x)", "limit_offset"),
        ("topk_max(3, x)", "topk_max"),
        ("bottomk_avg by (a) (3, x)", "bottomk_avg"),
        ("limitk by (a) (1, x)", "limitk"),
        ("ttf(x)", "ttf"),
        ("any by (a) (x)", "any"),
        ("any without (a) (x)", "any"),
        ("remove_resets(x)", "remove_resets"),
        ("smooth_exponential(x, 0.5)", "smooth_exponential"),
        ("time() - now()", "now"),
        ("union(x, y)", "union"),
        ("sum((x, y))", "a list in parentheses"),
        ("z or (x, y)", "a list in parentheses"),
        ("sum(x) by (a) limit 3", "limit"),
        ("x default 0", "default"),
        ('x{a="b"} default y', "default"),
        ("WITH (f(q) = range_sum(q)) f(x)", "range_sum"),
    ],
)
def test_what_needs_the_whole_range_is_refused(promql: str, name: str) -> None:
    """By its name, with the step with which the range is one request."""
    with pytest.raises(UnsupportedError, match=f"^{name} needs all points .* take a step of 2s or more"):
        fixed(promql)
