"""A query that takes several requests gives the values that it gives in one, on a real Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.planted_server import planted_server

from statcore.errors import QueryRejectedError, UnsupportedError
from statcore.model import MatrixResult, QueryTimeRange
from statcore.plugins import Preset
from statcore.services import PresetService
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Program, Server
from statcore_cli.times import read_range
from statcore_prometheus import PrometheusClient, PrometheusOptions

START_S: Final = 1_795_341_600
START: Final = datetime.fromtimestamp(START_S, UTC)
LONG: Final = QueryTimeRange(start=START, end=START + timedelta(seconds=12_000), step="1s")
EXPERIMENTAL: Final = "--enable-feature=promql-experimental-functions,promql-duration-expr"

INNER: Final = st.sampled_from(
    ["load", "ticks", 'load{host=~"a|c"}', 'load{host!="start()"}', '{__name__="load"}', "load # @ end()\n"]
)
AT: Final = st.sampled_from(["", "@ start()", "@ end()", "@ END ( )", "@ start # from (\n ()", f"@ {START_S + 77}.5"])
OFFSET: Final = st.sampled_from(["", "offset 1m", "offset -90s"])
WINDOW: Final = st.sampled_from(["[2m]", "[30s:7s]", "[10m:]"])
FUNCTION: Final = st.sampled_from(
    ["rate", "max_over_time", "count_over_time", "last_over_time", "quantile_over_time", "deriv"]
)
AROUND: Final = st.sampled_from(
    [
        "{}",
        "topk(1, {})",
        "bottomk by (host) (1, {})",
        "sum by (host) ({})",
        'count_values by (host) ("end", {})',
        "sort({})",
        "absent({})",
        "-{} > 3",
        "{} + on (host) group_left load",
        'label_replace({}, "start", "end()", "host", "a")',
        "max_over_time(({})[5m:20s] @ end())",
        "time() - timestamp(load) * scalar({})",
    ]
)


def planted() -> Iterator[PlantedSeries]:
    """Yield a counter, and loads of which another is the highest as time goes on."""
    yield PlantedSeries("ticks", {}, [(START_S + 40.0 * tick, float(tick)) for tick in range(301)])
    loads = (("a", 0, 300, 300, -1), ("b", 0, 300, 0, 1.5), ("c", 100, 110, 100, 9), ("d", 250, 280, 100, 0))
    for host, first, last, base, slope in loads:
        times = [(tick, START_S + 40.0 * tick + ord(host) % 7) for tick in range(first, last)]
        yield PlantedSeries("load", {"host": host}, [(time, base + slope * tick) for tick, time in times])


server = planted_server(planted, EXPERIMENTAL)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Draw a query with the bounds of the range in any place where they may stand."""
    if draw(st.booleans()):
        inner = f"{draw(INNER)} {draw(AT)} {draw(OFFSET)}"
    else:
        function = draw(FUNCTION)
        quantile = "0.5, " if function == "quantile_over_time" else ""
        inner = f"{function}({quantile}{draw(INNER)}{draw(WINDOW)} {draw(OFFSET)} {draw(AT)})"
    around = draw(AROUND)
    # Prometheus finds nothing for `@` in a subquery with `@` if the range begins with the first step of the subquery.
    assume("[5m:20s]" not in around or "@" not in inner)
    return around.format(inner)


def samples(result: MatrixResult) -> dict[frozenset[tuple[str, str]], list[tuple[float, float]]]:
    """Return the samples of each series, NaN as text, so that it equals itself."""
    return {
        frozenset(series.labels.items()): [
            (time, value if value == value else "NaN")  # type: ignore[misc]  # noqa: PLR0124
            for time, value in zip(series.timestamps, series.values, strict=True)
        ]
        for series in result.series
    }


async def test_the_end_of_a_cut_range_is_one_constant(client: PrometheusClient) -> None:
    """Each of 12,001 points has the same value."""
    (series,) = (await client.query_range("ticks @ end()", LONG)).series
    assert (12_001, {300.0}) == (len(series), set(series.values))


async def test_a_preset_does_not_change_series_midway(server: Server) -> None:
    """The host that leads at the end of the range is shown for all of it, in however many requests."""
    preset = Preset(
        name="busiest",
        description="the busiest host",
        template="topk(1, load{${{ labels }}} @ end())",
        filter_labels=("host",),
    )
    every_minute = QueryTimeRange(start=LONG.start, end=LONG.end, step="1m")
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(max_points=50))) as client:
        result = await PresetService(client, {"busiest": preset}).query_preset("busiest", time_range=every_minute)
    (series,) = result.series
    assert ("b", 201) == (series.labels["host"], len(series))


def test_cut_is_uncut(server: Server) -> None:
    """Any query, in any number of requests, gives the very samples that it gives in one."""
    with asyncio.Runner() as runner:

        async def ask(query: str, time_range: QueryTimeRange, max_points: int) -> MatrixResult:
            options = PrometheusOptions(max_points=max_points)
            async with aclosing(PrometheusClient(server.url, options=options)) as client:
                return await client.query_range(query, time_range)

        @settings(max_examples=100)
        @given(queries(), st.integers(0, 11_000), st.integers(20, 300), st.integers(7, 150))
        def check(query: str, start_s: int, step_s: int, max_points: int) -> None:
            start = START + timedelta(seconds=start_s)
            time_range = QueryTimeRange(start=start, end=LONG.end - timedelta(milliseconds=500), step=f"{step_s}s")
            whole = runner.run(ask(query, time_range, 11_000))
            assert samples(whole) == samples(runner.run(ask(query, time_range, max_points)))

        check()


@pytest.mark.parametrize(
    "query",
    [
        "start()",
        "end() - time() + range()",
        "step() * 2",
        "sum_over_time(ticks[5m] offset range()) - ticks @ end()",
        "max_over_time(ticks[min_of(range(), 10m):step()])",
    ],
)
async def test_functions_of_the_range_are_constants(server: Server, prometheus_program: Program, query: str) -> None:
    """The functions are those of Prometheus 3; the last part may have a single point."""
    if prometheus_program.version.startswith("2."):
        pytest.skip(f"Prometheus {prometheus_program.version} does not have them")
    time_range = QueryTimeRange(start=LONG.end - timedelta(minutes=50), end=LONG.end, step="30s")
    answers = []
    for max_points in (11_000, 25):
        async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(max_points=max_points))) as client:
            answers.append(samples(await client.query_range(query, time_range)))
    assert [101] == [len(points) for points in answers[0].values()]
    assert answers[0] == answers[1]


async def test_a_query_that_needs_the_whole_range_is_refused_only_when_cut(client: PrometheusClient) -> None:
    """The error advises a step; a query that fits into one request is sent unchanged."""
    with pytest.raises(UnsupportedError, match=r"^range_avg needs all points .* take a step of 2s or more"):
        await client.query_range("range_avg(ticks)", LONG)
    with pytest.raises(QueryRejectedError, match="range_avg"):
        await client.query_range("range_avg(ticks)", QueryTimeRange(start=LONG.start, end=LONG.end, step="2s"))


async def test_the_last_of_a_command_is_the_newest_value(client: PrometheusClient) -> None:
    """Points on multiples of the step have the values of the range; the last point has the value of the newest sample."""
    now = START + timedelta(seconds=40 * 250 + 3)
    options = {"start": None, "end": None, "last": "10m", "step": "4m"}
    points = read_range(options, now)
    result = await points.query(
        lambda time_range: client.query_range("ticks", time_range), lambda time: client.query("ticks", time=time)
    )
    (series,) = result.series
    assert [START_S + 9_600, START_S + 9_840, now.timestamp()] == list(series.timestamps)
    assert [240.0, 246.0, 250.0] == list(series.values)
