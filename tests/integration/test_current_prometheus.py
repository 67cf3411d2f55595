"""Features of Prometheus 3: UTF-8 names and infos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.prometheus_api import asking, assert_same_query
from tests.support.promql_expressions import expressions

from statcore.model import QueryTimeRange, VectorResult
from statcore.promql import Expression, Selector, render
from statcore.queriers import LabelMatcher
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Program, Server
from statcore.testing.strategies import durations, label_matchers, label_values
from statcore_prometheus import PrometheusClient

TIME_S: Final = 1_795_000_000
TIME: Final = datetime.fromtimestamp(TIME_S, UTC)
LABELS: Final = ("service.name", "service.long_name", "größe", "🦀", "a b", "1st", "U__a", "a-b", "a/b", "..")
UTF8_NAMES: Final = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters='"\\{}').filter(str.isprintable), min_size=1, max_size=8
)


def planted_text() -> str:
    """Return the planted series as OpenMetrics text."""
    lines = ["# TYPE labelled unknown"]
    lines += [f'labelled{{"{label}"="{number}"}} {number} {TIME_S}' for number, label in enumerate(LABELS)]
    lines += ['# TYPE "my.metric" unknown', f'{{"my.metric","service.name"="x"}} 7 {TIME_S}']
    lines += ["# TYPE minutes unknown", *(f"minutes {minute} {TIME_S + 60 * minute}" for minute in range(11))]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(
    prometheus_program: Program, prometheus_holding: Callable[..., AbstractContextManager[Server]]
) -> Iterator[Server]:
    """Start a server with the planted series, for all tests."""
    if prometheus_program.version.startswith("2."):
        pytest.skip(f"Prometheus {prometheus_program.version} is older")
    with prometheus_holding(planted_text()) as running:
        yield running


def values(result: VectorResult) -> list[float]:
    """Return the values of the samples."""
    return [sample.value for sample in result.samples]


async def test_utf8_names_are_queried_like_any_other(client: PrometheusClient) -> None:
    """A UTF-8 name may be a metric, a filter or a label to group by."""
    querier = FixedQuerier("my.metric", {"service.name": "x"}, group_by=["service.name"])
    (sample,) = (await client.query_utilization_now(querier, time=TIME)).samples
    assert ({"service.name": "x"}, 7.0) == (dict(sample.labels), sample.value)
    (series,) = (await client.query_utilization(querier, QueryTimeRange(start=TIME, end=TIME, step="1s"))).series
    assert ({"service.name": "x"}, [7.0]) == (dict(series.labels), list(series.values))


@pytest.mark.parametrize(("number", "label"), list(enumerate(LABELS)))
async def test_values_and_series_of_utf8_labels_are_listed(client: PrometheusClient, number: int, label: str) -> None:
    """Names in URL paths and selectors arrive unchanged."""
    assert str(number) in await client.label_values(label)
    match = Selector("labelled", {label: LabelMatcher.regex(".+")})
    assert [str(number)] == list(await client.label_values(label, match=match))
    assert [{"__name__": "labelled", label: str(number)}] == list(await client.series(match))


def test_every_expression_with_utf8_names_is_read(server: Server) -> None:
    """The server parses it as promql-parser does."""
    selectors = st.builds(
        Selector,
        UTF8_NAMES,
        st.dictionaries(UTF8_NAMES.filter(lambda name: name != "__name__"), label_values() | label_matchers(), max_size=3),
        offset=st.none() | durations(),
    )
    with asking(server) as ask:

        @settings(max_examples=300)
        @given(expressions(selectors, by=st.lists(UTF8_NAMES)))
        def check(expression: Expression) -> None:
            assert_same_query(ask, render(expression))

        check()


async def test_an_info_is_no_warning(client: PrometheusClient) -> None:
    """The rate of a metric that is not named as a counter has an info, and is no partial answer."""
    end = TIME + timedelta(minutes=10)
    for result in (
        await client.query("rate(minutes[5m])", time=end),
        await client.query_range("rate(minutes[5m])", QueryTimeRange(start=TIME, end=end, step="1m")),
    ):
        assert "might not be a counter" in " ".join(result.infos)
        assert ((), False) == (result.warnings, result.partial)
