"""Queries to a real server and its answers, beyond those of the conformance suite."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from statcore.errors import QueryRejectedError
from statcore.model import MatrixResult, QueryTimeRange, Series, VectorResult
from statcore.promql import Aggregation, BinaryOperation, Call, Expression, Selector, Subquery, render
from statcore.queriers import LabelMatcher, MetricQuery, QueryStrategy
from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_victoriametrics.client import VictoriaMetricsClient

Plant = Callable[..., None]
Open = Callable[..., Awaitable[VictoriaMetricsClient]]
SECOND = timedelta(seconds=1)


def the_second() -> datetime:
    """Return the present whole second."""
    return datetime.now(UTC).replace(microsecond=0)


def ramp(name: str, end: datetime, *, count: int, every: timedelta) -> list[PlantedSeries]:
    """Return a series that grows by one from sample to sample."""
    start = end - (count - 1) * every
    return [PlantedSeries(name, {}, [((start + i * every).timestamp(), float(i)) for i in range(count)])]


@pytest.mark.parametrize(("points", "requests"), [(30_000, 1), (60_001, 3)])
async def test_long_ranges_take_few_requests(
    client: VictoriaMetricsClient, plant: Plant, monkeypatch: pytest.MonkeyPatch, points: int, requests: int
) -> None:
    """A range is split at 30,000 points, not at the 11,000 of Prometheus, and joined without a point lost or twice."""
    end = the_second() - timedelta(minutes=1)
    name = f"ramp_to_{points}"
    plant(ramp(name, end, count=241, every=15 * SECOND))
    step = timedelta(milliseconds=50)
    time_range = QueryTimeRange(start=end - (points - 1) * step, end=end, step=step)

    sent: list[object] = []
    send = aiohttp.ClientSession.request

    def record_and_send(*arguments: Any, **options: Any) -> Any:
        sent.append(arguments)
        return send(*arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "request", record_and_send)
    result = await client.query_utilization(FixedQuerier(name), time_range)
    assert requests == len(sent)
    (series,) = result.series
    ms = [round(time * 1000) for time in series.timestamps]
    first = round(time_range.start.timestamp() * 1000)
    assert list(range(first, first + 50 * points, 50)) == ms
    last = round(end.timestamp() * 1000)
    assert [240 - (last - at + 14_999) // 15_000 for at in ms] == list(series.values)


def by_host(answer: MatrixResult) -> dict[str, Series]:
    """Return the series by the label `host`."""
    return {series.labels["host"]: series for series in answer.series}


@pytest.mark.parametrize("strategy", QueryStrategy)
async def test_a_range_in_parts_has_the_values_of_the_whole(
    client: VictoriaMetricsClient, server: Server, open_client: Open, plant: Plant, strategy: QueryStrategy
) -> None:
    """The series pause, end, begin and are reset, and the range is cut anywhere; no sample is exactly one window old."""
    end = the_second() - timedelta(minutes=1)
    newest = end - timedelta(milliseconds=500)
    name = f"pausing_{strategy}"
    counters = [
        PlantedSeries(
            name,
            {"host": host},
            [
                ((newest - (300 - tick) * 40 * SECOND).timestamp(), float(slope * (tick % 50)))
                for tick in ticks
                if (tick // 7) % 5
            ],
        )
        for host, slope, ticks in (("a", 1, range(300)), ("b", 7, range(20, 60)), ("c", 3, range(150, 290)))
    ]
    plant(counters)
    time_range = QueryTimeRange(start=end - timedelta(hours=3), end=end, step="30s")
    querier = FixedQuerier(name, group_by=["host"], strategy=strategy)
    whole = await client.query_utilization(querier, time_range)
    assert 3 == len(whole.series)
    for max_points in (7, 60, 359):
        cutting = await open_client(server.url, max_points=max_points)
        parts = await cutting.query_utilization(querier, time_range)
        assert by_host(whole) == by_host(parts)


async def test_the_server_refuses_more_points(client: VictoriaMetricsClient, server: Server, open_client: Open) -> None:
    """The limit is 30,000: with one point more in a request, the error says what to change."""
    bold = await open_client(server.url, max_points=30_001)
    time_range = QueryTimeRange(start=the_second() - 30_000 * SECOND, end=the_second(), step=SECOND)
    with pytest.raises(QueryRejectedError, match=r"\b30000\b.*; lower max_points"):
        await bold.query_utilization(FixedQuerier("up"), time_range)
    assert () == (await client.query_utilization(FixedQuerier("nobody"), time_range)).series


def share(query: MetricQuery, _: str) -> Expression:
    """Return a share, which names the labels twice: a strategy of a plugin's own."""
    part = Aggregation("sum", Selector(query.name, query.matchers), query.group_by)
    return BinaryOperation("/", part, part)


async def test_too_long_a_query_says_what_to_change(client: VictoriaMetricsClient, plant: Plant) -> None:
    """256 values, named twice, are more text than the server reads; with fewer values a request all are answered."""
    now = the_second()
    names = [f"gpu-node-{number:04}.rack07.dc1.example.com:9100" for number in range(256)]
    plant([PlantedSeries("named", {"x": name}, [(now.timestamp(), 3.0)]) for name in names])
    queriers = [FixedQuerier("named", {"x": name}, group_by=["x"], strategy=share) for name in names]

    refused = await UtilizationSource(client).read_utilization_now_batch(queriers, time=now)
    assert {QueryRejectedError} == {type(outcome) for outcome in refused}
    message = str(refused[0])
    assert "too long query" in message
    assert "larger -search.maxQueryLen" in message
    assert "UtilizationSource(max_values=…)" in message

    answered = await UtilizationSource(client, max_values=100).read_utilization_now_batch(queriers, time=now)
    assert [[1.0]] * 256 == [
        [sample.value for sample in outcome.samples] for outcome in answered if isinstance(outcome, VectorResult)
    ]


async def test_series_of_other_days_are_listed(client: VictoriaMetricsClient, plant: Plant) -> None:
    """Without a time range all series are listed, and with one those in it; by default the server lists only today's."""
    days = [0, 1, 3, 20]
    at = {str(day): (the_second() - timedelta(days=day)).timestamp() for day in days}
    plant([PlantedSeries("aged", {"day": day}, [(time, 1.0)]) for day, time in at.items()])
    match = Selector("aged")
    assert sorted(at) == sorted(labels["day"] for labels in await client.series(match))
    assert sorted(at) == list(await client.label_values("day", match=match))
    then = the_second() - timedelta(days=3)
    around = (then - timedelta(hours=1), then + timedelta(hours=1))
    assert ["3"] == [labels["day"] for labels in await client.series(match, time_range=around)]
    assert ["3"] == list(await client.label_values("day", match=match, time_range=around))


async def test_values_are_listed_of_the_series_that_are_meant(client: VictoriaMetricsClient, plant: Plant) -> None:
    """The regex that the server takes for "has no value" selects nothing here, either."""
    now = the_second().timestamp()
    plant([PlantedSeries("picked", labels, [(now, 1.0)]) for labels in ({"x": "a"}, {"x": "b", "y": "c"})])
    assert [] == await client.label_values("x", match=Selector("picked", {"y": LabelMatcher.not_regex(".*")}))
    assert ["a"] == await client.label_values("x", match=Selector("picked", {"y": LabelMatcher.not_regex(".+")}))


async def test_the_newest_half_minute_of_a_fine_range_stands_still(client: VictoriaMetricsClient, plant: Plant) -> None:
    """The server repeats the previous value, unless the step is a minute; an instant query has the right value."""
    end = the_second()
    plant(ramp("newest", end, count=61, every=3 * SECOND))
    querier = FixedQuerier("newest")
    fine = await client.query_utilization(querier, QueryTimeRange(start=end - 60 * SECOND, end=end, step=3 * SECOND))
    assert fine.series[0].values[-1] == fine.series[0].values[-2]
    assert 60.0 > fine.series[0].values[-1]
    coarse = await client.query_utilization(querier, QueryTimeRange(start=end - 60 * SECOND, end=end, step=60 * SECOND))
    assert [40.0, 60.0] == list(coarse.series[0].values)
    assert [60.0] == [sample.value for sample in (await client.query_utilization_now(querier, time=end)).samples]


async def test_a_long_step_does_not_lengthen_the_lookback(client: VictoriaMetricsClient, plant: Plant) -> None:
    """A sample counts for five minutes, also where the points are an hour apart."""
    end = the_second() - timedelta(minutes=10)
    plant(ramp("over", end, count=10, every=15 * SECOND))
    hour = timedelta(hours=1)
    result = await client.query_utilization(
        FixedQuerier("over"), QueryTimeRange(start=end + 4 * 60 * SECOND - hour, end=end + 9 * 60 * SECOND, step=hour)
    )
    assert [9.0] == [value for series in result.series for value in series.values]
    late = QueryTimeRange(start=end + 6 * 60 * SECOND - hour, end=end + 6 * 60 * SECOND, step=hour)
    assert () == (await client.query_utilization(FixedQuerier("over"), late)).series


def highest(query: MetricQuery, window: str) -> Expression:
    """Return the highest sum in the window: a strategy of a plugin's own."""
    return Call("max_over_time", Subquery(Aggregation("sum", Selector(query.name, query.matchers)), window))


async def test_subqueries_look_every_minute(client: VictoriaMetricsClient, plant: Plant) -> None:
    """Queriers and texts have a step of a minute as in Prometheus; the server's own step would miss values."""
    minute = datetime.fromtimestamp(the_second().timestamp() // 60 * 60, UTC) - timedelta(minutes=20)
    values = [5.0, 5.0, 9.0, 5.0, 5.0, 5.0]
    samples = [(minute.timestamp() + 60 * number, value) for number, value in enumerate(values)]
    plant([PlantedSeries("peaks", {}, samples)])
    time = minute + 5 * 60 * SECOND
    by_text = await client.query("max_over_time((sum(peaks))[5m:])", time=time)
    querier = FixedQuerier("peaks", strategy=highest)
    at_once = await client.query_utilization_now(querier, time=time)
    ranged = await client.query_utilization(querier, QueryTimeRange(start=time, end=time, step=timedelta(hours=1)))
    assert [9.0] == [sample.value for sample in by_text.samples]
    assert [9.0] == [sample.value for sample in at_once.samples]
    assert [9.0] == [value for series in ranged.series for value in series.values]


@pytest.fixture
async def exported() -> AsyncIterator[tuple[int, list[str]]]:
    """The port of an exporter, and the lines that it exports."""
    lines: list[str] = []

    async def export(_: web.Request) -> web.Response:
        return web.Response(text="\n".join([*lines, ""]))

    app = web.Application()
    app.router.add_get("/metrics", export)
    async with TestServer(app, host="127.0.0.1") as exporter:
        assert exporter.port
        yield exporter.port, lines


async def test_a_series_that_is_no_longer_scraped_is_gone_at_once(
    exported: tuple[int, list[str]],
    start_victoriametrics: Callable[..., Server],
    ask_server: Callable[..., str],
    open_client: Open,
    tmp_path: Path,
) -> None:
    """The staleness mark ends it; it does not last for the five minutes of the lookback."""
    port, lines = exported
    config = tmp_path / "scrape.yml"
    config.write_text(
        f"scrape_configs:\n- job_name: test\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
    )
    lines += ['scraped{kernel="a"} 1', 'scraped{kernel="b"} 2']
    scraping = await asyncio.to_thread(start_victoriametrics, arguments=[f"-promscrape.config={config}"])
    client = await open_client(scraping.url)

    async def kernels() -> Iterator[str]:
        await asyncio.to_thread(ask_server, scraping, "/internal/force_flush")
        result = await client.query_utilization_now(FixedQuerier("scraped", group_by=["kernel"]))
        return (sample.labels["kernel"] for sample in result.samples)

    async with asyncio.timeout(60):
        while ["a", "b"] != sorted(await kernels()):  # noqa: ASYNC110 - the server tells nobody when it has scraped
            await asyncio.sleep(0.1)
        lines.pop()
        while ["a"] != sorted(await kernels()):  # noqa: ASYNC110 - the server tells nobody when it has scraped
            await asyncio.sleep(0.1)
    assert ["a"] == sorted(await kernels())


async def test_a_dotted_label_name_is_answered_or_refused(
    server: Server, client: VictoriaMetricsClient, ask_server: Callable[..., str]
) -> None:
    """Its values are listed. A server that cannot read the name in a query refuses it, and a newer one answers."""
    labels, time_ms = {"__name__": "dotted", "service.name": "x"}, round(the_second().timestamp()) * 1000
    sample = {"metric": labels, "values": [7], "timestamps": [time_ms]}
    ask_server(server, "/api/v1/import", json.dumps(sample) + "\n")
    ask_server(server, "/internal/force_flush")
    assert ["x"] == list(await client.label_values("service.name"))
    found = Selector("dotted", {"service.name": "x"})
    with suppress(QueryRejectedError):
        assert [labels] == list(await client.series(found))
    with suppress(QueryRejectedError):
        assert [7.0] == [sample.value for sample in (await client.query(render(found))).samples]
