"""Ranges through a scripted query frontend before a real Prometheus: it cuts by time on its own, beside the client's cuts.

The frontends of Thanos and Mimir, which do not run in the tests, cut a range at the borders of days and join the answers;
with align_queries_with_step they first move both ends to multiples of the step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final

import attrs
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from tests.support.planted_server import planted_server

from statcore.model import QueryTimeRange
from statcore.queriers import QueryStrategy
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_prometheus import PrometheusClient, PrometheusOptions

START_S: Final = 1_795_341_600
RANGE: Final = QueryTimeRange(start=START_S + 13, end=START_S + 1213, step=20)
"""61 points, which are no multiples of the step."""
BORDER_S: Final = 100
"""The length of the frontend's days."""
Frontend = Callable[..., AbstractAsyncContextManager[str]]


def planted() -> Iterator[PlantedSeries]:
    """Yield a counter all the time, and a gauge that pauses, begins again and ends."""
    yield PlantedSeries("ticks", {}, [(START_S + 10.0 * tick, float(tick)) for tick in range(130)])
    yield PlantedSeries(
        "ticks", {"n": "2"}, [(START_S + 10.0 * tick, float(tick % 7)) for tick in (*range(30), *range(70, 90))]
    )


server = planted_server(planted)


@pytest.fixture
def frontend(server: Server) -> Frontend:
    """`frontend(aligns=…)` runs a query frontend before the server; its value is the URL."""

    @asynccontextmanager
    async def run(*, aligns: bool) -> AsyncIterator[str]:
        async with ClientSession() as session:

            async def query_range(request: web.Request) -> web.Response:
                form = dict(await request.post())
                start, end, step = (round(float(str(form[name]).rstrip("s"))) for name in ("start", "end", "step"))
                if aligns:
                    start, end = start // step * step, end // step * step
                joined: dict[str, dict[str, Any]] = {}
                while start <= end:
                    border = (start // BORDER_S + 1) * BORDER_S
                    last = min(end, start + (border - 1 - start) // step * step)
                    part = {**form, "start": str(start), "end": str(last)}
                    async with session.post(f"{server.url}/api/v1/query_range", data=part) as answer:
                        for series in (await answer.json())["data"]["result"]:
                            known = joined.setdefault(str(series["metric"]), {**series, "values": []})
                            known["values"] += series["values"]
                    start = last + step
                data = {"resultType": "matrix", "result": list(joined.values())}
                return web.json_response({"status": "success", "data": data})

            app = web.Application()
            app.router.add_post("/api/v1/query_range", query_range)
            async with TestServer(app) as running:
                yield str(running.make_url("")).rstrip("/")

    return run


@pytest.mark.parametrize("aligns", [False, True])
@pytest.mark.parametrize("max_points", [1, 7, 11_000])
@pytest.mark.parametrize("strategy", QueryStrategy)
async def test_cuts_of_both_change_no_value(
    server: Server, frontend: Frontend, *, aligns: bool, max_points: int, strategy: QueryStrategy
) -> None:
    """The answer is that of the server without a frontend, at the points that the frontend makes of the range."""
    querier = FixedQuerier("ticks", group_by=["n"], strategy=strategy)
    moved_s = 13 if aligns else 0
    points = attrs.evolve(RANGE, start=RANGE.start.timestamp() - moved_s, end=RANGE.end.timestamp() - moved_s)
    async with aclosing(PrometheusClient(server.url)) as client:
        expected = await client.query_utilization(querier, points, rate_interval="1m")
    async with (
        frontend(aligns=aligns) as url,
        aclosing(PrometheusClient(url, options=PrometheusOptions(max_points=max_points))) as client,
    ):
        answer = await client.query_utilization(querier, RANGE, rate_interval="1m")
    assert 2 == len(expected.series)
    assert {str(series.labels): series for series in expected.series} == {str(s.labels): s for s in answer.series}
    assert aligns is any("align_queries_with_step" in info for info in answer.infos)
    assert not answer.partial
