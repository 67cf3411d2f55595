"""PromQL text on the memory backend: its values, and the constructs that are refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.support.turns import counting_turns
from tests.unit.memory.scrapes import NOW, at, scrape

from statcore.errors import InputError, MissingExtraError, QueryRejectedError, UnsupportedError
from statcore.model import QueryTimeRange
from statcore.promql import Aggregation, Expression, Selector
from statcore.queriers import MetricQuery
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics


@pytest.fixture
def metrics() -> MemoryMetrics:
    """Return a minute of scrapes of three jobs; each value is the number of the job times the seconds."""
    backend = MemoryMetrics(clock=lambda: NOW + 60)
    for second in range(0, 61, 15):
        samples = [("up", {"job": job, "zone": "z"}, float(rate * second)) for rate, job in enumerate("abc", 1)]
        backend.append_scrape([*samples, ("limit", {"job": "b"}, 100.0)], target="t", time=NOW + second)
    return backend


async def answer(metrics: MemoryMetrics, promql: str) -> dict[str, float]:
    """Return the value of each job at the clock's now."""
    return {sample.labels.get("job", ""): sample.value for sample in (await metrics.query(promql)).samples}


@pytest.mark.parametrize(
    ("promql", "expected"),
    [
        ("up", {"a": 60.0, "b": 120.0, "c": 180.0}),
        ('{__name__="up",job=~"a|c"}', {"a": 60.0, "c": 180.0}),
        ("up offset 30s", {"a": 30.0, "b": 60.0, "c": 90.0}),
        ("sum(up)", {"": 360.0}),
        ("avg by (zone)(up)", {"": 120.0}),
        ("max by (job)(up) - min by (job)(up)", {"a": 0.0, "b": 0.0, "c": 0.0}),
        ("stdvar(up)", {"": 2400.0}),
        ("count(up) + group(up)", {"": 4.0}),
        ("irate(up[1m])", {"a": 1.0, "b": 2.0, "c": 3.0}),
        ("delta(up[50s])", {"a": 50.0, "b": 100.0, "c": 150.0}),
        ("sum_over_time(up[1m])", {"a": 150.0, "b": 300.0, "c": 450.0}),
        ("max_over_time((sum(up))[1m:])", {"": 90.0}),  # the only full minute is after 20 s
        ("up / 2", {"a": 30.0, "b": 60.0, "c": 90.0}),
        ("2 * (up)", {"a": 120.0, "b": 240.0, "c": 360.0}),
        ("100 - up", {"a": 40.0, "b": -20.0, "c": -80.0}),
        ("1 < up > 100", {"b": 120.0, "c": 180.0}),
        ("120 >= up", {"a": 60.0, "b": 120.0}),
        ("up == 60", {"a": 60.0}),
        ("up != 60 unless on (job) limit", {"c": 180.0}),
        ("up and on (job) limit", {"b": 120.0}),
        ("up > ignoring (zone) limit", {"b": 120.0}),
        ("up / on (job) limit", {"b": 1.2}),
        ('label_replace(limit, ("job"), "$$x", "", "")', {"$x": 100.0}),
        ("histogram_quantile(0.5, up)", {}),
        ("absent_metric", {}),
    ],
)
async def test_each_kind_of_expression_has_its_values(
    metrics: MemoryMetrics, promql: str, expected: dict[str, float]
) -> None:
    """The values of each kind of expression were calculated by hand."""
    assert pytest.approx(expected) == await answer(metrics, promql)


async def test_names_and_order_are_those_of_a_server(metrics: MemoryMetrics) -> None:
    """Filters keep the name of the metric, arithmetic drops it; a range is sorted by labels."""
    (kept,) = (await metrics.query("up > 150")).samples
    (dropped,) = (await metrics.query("limit * 2")).samples
    assert ({"__name__": "up", "job": "c", "zone": "z"}, {"job": "b"}) == (kept.labels, dropped.labels)
    result = await metrics.query_range("up", QueryTimeRange(start=at(0), end=at(60), step="30s"))
    assert ["a", "b", "c"] == [series.labels["job"] for series in result.series]
    assert [[0.0, 30.0, 60.0], [0.0, 60.0, 120.0], [0.0, 90.0, 180.0]] == [list(one.values) for one in result.series]


async def test_scalars_are_samples_without_labels(metrics: MemoryMetrics) -> None:
    """Numbers and the time of each point, by default the clock's, are scalars."""
    (now,) = (await metrics.query("time()")).samples
    assert ({}, NOW + 60, NOW + 60) == (now.labels, now.timestamp, now.value)
    (then,) = (await metrics.query("(time())", time=at(-5.5))).samples
    assert (NOW - 5.5, NOW - 5.5) == (then.timestamp, then.value)
    (number,) = (await metrics.query("-4.5e1")).samples
    assert -45.0 == number.value
    (series,) = (await metrics.query_range("time()", QueryTimeRange(start=at(0), end=at(2), step="1s"))).series
    assert [NOW, NOW + 1, NOW + 2] == list(series.values) == list(series.timestamps)
    with pytest.raises(InputError, match="3155760001 points are too many"):
        await metrics.query_range("1", QueryTimeRange(start=0, end="2070-01-01T00:00:00Z", step="1s"))


@pytest.mark.parametrize(
    ("promql", "named"),
    [
        ("topk(2, up)", "the aggregation topk"),
        ("quantile(0.5, up)", "the aggregation quantile"),
        ("sum without (job)(up)", "`without`"),
        ("abs(up)", "the function abs"),
        ("predict_linear(up[1m], 5)", "the function predict_linear"),
        ('label_replace(up, "a", "$1", "job", "(.*)")', "label_replace other than"),
        ('label_replace(up, "a", "$1", "", "")', "label_replace other than"),
        ('label_replace(up, "a", "", "", "")', "label_replace other than"),
        ("up or limit", "the operator or"),
        ("up ^ 2", "the operator ^"),
        ("up > bool 2", "the modifier bool"),
        ("2 > bool up", "the modifier bool"),
        ("up * on (job) group_left limit", "group_left"),
        ("up + fill (0) limit", "the modifier fill"),
        ("2 / up", "a number on the left of /"),
        ("1 + 1", "a number in the place of a vector"),
        ("up + time()", "the function time"),
        ("-up", "a sign before an expression"),
        ("up @ 5", "the modifier @"),
        ("rate(up[1m] @ end())", "the modifier @"),
        ("up offset -5m", "a negative offset"),
        ("rate(up[5m:1m])", "a subquery with a step"),
        ("rate(up[5m:] offset 1m)", "a subquery with a step"),
        ("histogram_quantile(scalar(up), up)", "a quantile that is not a number"),
        ("histogram_quantile(2, up)", "a quantile is from 0 to 1"),
        ("up * Inf", "not a finite number"),
        ('{job="a"}', "a selector that names no metric"),
        ('{__name__=~"u.*"}', "a selector that names no metric"),
        ('up{job="a" or job="b"}', "`or` between matchers"),
        ("up[5m]", r"a range of samples; wrap it in a function such as rate(…)"),
        ("up[5m:]", r"a range of samples; wrap it in a function such as rate(…)"),
        ("'text'", "the query is a text"),
        ("(" * 101 + "up" + ")" * 101, "a query with brackets nested 101 deep"),
        ("up" + " + 1" * 201, "a query with 201 operators"),
        ("up" + " + 1" * 150, "expressions of 100 levels at most"),
        (f'up{{job=~"{"a{900}" * 2}"}}', "a query with regular expressions that repeat more than 1000 times"),
        (f"up{{job='{'x' * 100_000}'}}", "a query of 100010 characters"),
        ("'" + r"\'" * 50_000, "a query of 100001 characters"),
        ("up # '\n + " + "(" * 101 + "up" + ")" * 101 + "#'", "nested 101 deep"),
    ],
)
async def test_unsupported_promql_is_named(metrics: MemoryMetrics, promql: str, named: str) -> None:
    """The error names the construct that is not supported."""
    for query in (metrics.query(promql), metrics.query_range(promql, QueryTimeRange(start=0, end=1, step="1s"))):
        with pytest.raises(UnsupportedError) as caught:
            await query
        assert named in str(caught.value)


@pytest.mark.parametrize(
    "promql",
    [
        *("", "sum(", "up up", "rate(up)", "no_such_function(up)", 'up{job=~"("}', "up[0s]", "up and 5", "up{job=}"),
        '"' + '\\"' * 40_000,
    ],
)
async def test_bad_promql_is_refused(metrics: MemoryMetrics, promql: str) -> None:
    """The error is the one of a server, with the text."""
    with pytest.raises(QueryRejectedError, match="not PromQL") as caught:
        await metrics.query(promql)
    assert promql == caught.value.query


@pytest.mark.parametrize(
    ("promql", "message"),
    [
        ("limit / on () up", "several series on the right side match"),
        ("up / on () limit", "several series on the left side of / have the same partner"),
        ('label_replace(up, "job", "one", "", "")', "two series would have the same labels"),
    ],
)
async def test_ambiguous_matches_are_refused(metrics: MemoryMetrics, promql: str, message: str) -> None:
    """Several partners, and series that would have the same labels, are errors."""
    with pytest.raises(QueryRejectedError, match=message):
        await metrics.query(promql)


async def test_operators_in_strings_do_not_count(metrics: MemoryMetrics) -> None:
    """Characters in strings do not count as operators."""
    ids = "|".join(f"00000000-0000-4000-8000-{number:012d}" for number in range(256))
    assert {} == await answer(metrics, f'sum by (job)(up{{job=~"{ids}"}})')


async def test_without_the_parser_the_extra_is_named(metrics: MemoryMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only text needs the parser, expressions do not."""
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    with pytest.raises(MissingExtraError) as caught:
        await metrics.query("up")
    assert "presets" == caught.value.extra
    assert 3 == len((await metrics.query_utilization_now(FixedQuerier("up", group_by=["job"]))).samples)


@pytest.mark.parametrize("query", [None, 5, b"up", "up\ud800"])
async def test_a_query_is_text_that_could_be_sent(metrics: MemoryMetrics, query: Any) -> None:
    """Other values are refused as by every backend."""
    with pytest.raises(InputError, match=r"a query (must be text|holds a lone surrogate)"):
        await metrics.query(query)
    with pytest.raises(InputError, match=r"a query (must be text|holds a lone surrogate)"):
        await metrics.query_range(query, QueryTimeRange(start=at(0), end=at(60), step="1m"))


async def test_a_time_without_a_zone_is_refused(metrics: MemoryMetrics) -> None:
    """It is refused as by every backend."""
    with pytest.raises(InputError, match="without a zone"):
        await metrics.query("up", time=at(0).replace(tzinfo=None))


async def test_an_expression_of_any_depth_is_answered_or_refused() -> None:
    """A strategy may nest to any depth: no `RecursionError` leaves the port."""

    def nested(query: MetricQuery, _window: str, /) -> Expression:
        expression: Expression = Selector(query.name, query.matchers)
        for _ in range(3_000):
            expression = Aggregation("sum", expression, query.group_by)
        return expression

    with pytest.raises(UnsupportedError, match="expressions of 100 levels at most"):
        await MemoryMetrics().query_utilization_now(FixedQuerier("up", strategy=nested))


@pytest.mark.parametrize(
    "promql", ["avg_over_time(up[200s])", "max_over_time((sum by (job)(up))[200s:])", "up + up > 0 and up", "sum(up)"]
)
async def test_big_queries_let_others_have_their_turn(promql: str) -> None:
    """Other tasks run during any kind of expression."""
    metrics = MemoryMetrics()
    for second in range(0, 200, 10):
        scrape(metrics, second, *map(str, range(50)))
    async with counting_turns() as turns:
        result = await metrics.query_range(promql, QueryTimeRange(start=at(0), end=at(200), step="1s"))
    assert result.series
    assert 35 < turns.count
