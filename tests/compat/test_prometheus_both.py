"""The same real Prometheus asked by the released manager's client and by statcore."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import attrs
import pytest
from ai.backend.common.clients.http_client.client_pool import ClientKey, ClientPool, tcp_client_session_factory
from ai.backend.common.dto.clients.prometheus.request import QueryTimeRange as ManagerTimeRange
from ai.backend.common.types import KernelId
from ai.backend.manager.api.gql_legacy.stat_converter import LegacyLiveStatConverter
from ai.backend.manager.clients.prometheus import PrometheusClient as ManagerClient
from ai.backend.manager.clients.prometheus.fixed_query_builder import (
    ContainerLiveStatQueryBuilder,
    ContainerMetricQueryBuilder,
)
from ai.backend.manager.clients.prometheus.metric_types import ContainerMetricOptionalLabel
from ai.backend.manager.clients.prometheus.preset import PromQLTemplateRenderer
from ai.backend.manager.clients.prometheus.types import ValueType

from statcore import ContainerMetricQuerier, QueryTimeRange
from statcore.promql import live_stat_queries, render
from statcore.services import KernelLiveStatService
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server, plant_openmetrics, running_prometheus
from statcore_prometheus import PrometheusClient

WINDOW = "5m"
MINUTE = 60
NOW_S = int(time.time()) // MINUTE * MINUTE
START_S, END_S = NOW_S - 30 * MINUTE, NOW_S + 60 * MINUTE
"""Samples reach beyond now: the manager's client always asks about now, and answers must not depend on when that is."""
BUSY, HALF, CAPLESS = UUID(int=1), UUID(int=2), UUID(int=3)
SESSION, PROJECT = uuid4(), uuid4()
TEXTS = {
    "instant": "now",
    "rate_current": "rate_now",
    "max": "max",
    "avg": "avg",
    "rate_max": "rate_max",
    "rate_avg": "rate_avg",
}
"""The manager's name of each query, and ours."""
DIFFERENT = {
    "cpu_util": frozenset(["stats.rate"]),
    **dict.fromkeys(("cpu_used", "io_read", "io_write"), frozenset(["pct", "stats.max", "stats.avg"])),
    **dict.fromkeys(("net_rx", "net_tx"), frozenset(["pct"])),
}
"""The fields of live statistics that `docs/compatibility.md` lists as different, by metric."""


def series(kernel: UUID, metric: str, value_type: str, *, value: float = 0.0, per_s: float = 0.0) -> PlantedSeries:
    """Return what an agent exports of one metric: a value that stays or grows evenly."""
    labels = {
        "container_metric_name": metric,
        "agent_id": "i-1",
        "kernel_id": str(kernel),
        "session_id": str(SESSION),
        "user_id": "undefined",
        "project_id": str(PROJECT),
        "value_type": value_type,
    }
    samples = [(at, value + per_s * (at - START_S)) for at in range(START_S, END_S, 5)]
    return PlantedSeries("backendai_container_utilization", labels, samples)


def planted() -> list[PlantedSeries]:
    """Two kernels of one session that use 100 % and 50.2 % of a core, and one whose capacity nobody exports."""
    rates = {BUSY: 1000.0, HALF: 502.0}
    found = [series(CAPLESS, "mem", "current", value=7.0)]
    for number, (kernel, cpu) in enumerate(rates.items(), start=1):
        found += [
            series(kernel, "cpu_util", "current", per_s=cpu),
            series(kernel, "cpu_util", "capacity", value=1000.0),
            series(kernel, "cpu_used", "current", value=1e6),
            series(kernel, "mem", "current", value=1024.0 * number),
            series(kernel, "mem", "capacity", value=8192.0),
            series(kernel, "net_rx", "current", per_s=10_000.0 * number),
            series(kernel, "net_tx", "current", per_s=7.0),
            series(kernel, "io_read", "current", value=300.0),
            series(kernel, "cuda_util", "current", value=40.0),
            series(kernel, "cuda_util", "capacity", value=100.0),
        ]
    return found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a Prometheus that holds the planted series."""
    folder = tmp_path_factory.mktemp("prometheus")
    plant_openmetrics(folder, openmetrics_text(planted()))
    with running_prometheus(folder, targets={}) as server:
        yield server


@pytest.fixture
async def manager(prometheus: Server) -> AsyncIterator[ManagerClient]:
    """The manager's client, with the pool that closes sessions by itself."""
    pool = ClientPool(tcp_client_session_factory, cleanup_interval_seconds=600)
    try:
        yield ManagerClient(
            f"{prometheus.url}/api/v1/",
            pool,
            container_metric_query_builder=ContainerMetricQueryBuilder(WINDOW),
            container_live_stat_query_builder=ContainerLiveStatQueryBuilder(WINDOW),
        )
    finally:
        await pool.close()


@pytest.fixture
async def client(prometheus: Server) -> AsyncIterator[PrometheusClient]:
    """Statcore's client."""
    async with aclosing(PrometheusClient(prometheus.url)) as opened:
        yield opened


OWNERS: list[dict[str, Any]] = [
    {"kernel_id": BUSY},
    {"session_id": SESSION},
    {"project_id": PROJECT, "agent_id": "i-1"},
    {},
]
QUESTIONS = [
    *(("current", metric) for metric in ("cpu_util", "cpu_used", "mem", "net_rx", "net_tx", "io_read", "cuda_util")),
    *(("capacity", metric) for metric in ("cpu_util", "mem", "cuda_util")),
    ("pct", "cpu_util"),
    ("pct", "cuda_util"),
]


@pytest.mark.parametrize("owners", OWNERS, ids=lambda owners: "+".join(owners) or "all")
@pytest.mark.parametrize(("value_type", "metric"), QUESTIONS)
async def test_utilization_is_what_the_manager_answers(
    manager: ManagerClient, client: PrometheusClient, value_type: str, metric: str, owners: dict[str, Any]
) -> None:
    """Every point of every series, with the labels that both know."""
    theirs = await manager.fetch_container_metric(
        metric,
        ContainerMetricOptionalLabel(value_type=ValueType(value_type), **owners),
        ManagerTimeRange(start=str(NOW_S - 600), end=str(NOW_S), step="60"),
    )
    querier = ContainerMetricQuerier(metric_name=metric, value_type=value_type, **owners)
    answer = await client.query_utilization(querier, QueryTimeRange(start=NOW_S - 600, end=NOW_S, step=60))
    expected = {
        (one.metric.value_type, one.metric.kernel_id, one.metric.session_id): [
            (at.timestamp, pytest.approx(float(at.value), rel=1e-9)) for at in one.values
        ]
        for one in theirs
    }
    assert 1 == len(expected)
    assert expected == {
        (one.labels["value_type"], one.labels.get("kernel_id"), one.labels.get("session_id")): list(
            zip(one.timestamps, one.values, strict=True)
        )
        for one in answer.series
    }


async def test_pct_of_memory_leaves_out_a_kernel_without_a_capacity(
    manager: ManagerClient, client: PrometheusClient
) -> None:
    """3,072 of 16,384 bytes; the manager of today adds the seven bytes of the kernel that has no capacity."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="pct")
    (series_,) = (await client.query_utilization(querier, QueryTimeRange(start=NOW_S, end=NOW_S, step=60))).series
    assert [18.75] == list(series_.values)
    (theirs,) = await manager.fetch_container_metric(
        "mem",
        ContainerMetricOptionalLabel(value_type=ValueType.PCT),
        ManagerTimeRange(start=str(NOW_S), end=str(NOW_S), step="60"),
    )
    assert pytest.approx(100 * 3079 / 16384) == float(theirs.values[0].value)


def test_the_six_texts_of_live_statistics_are_the_managers() -> None:
    """Compared with sorted labels."""
    theirs = ContainerLiveStatQueryBuilder(WINDOW).get_container_live_stat_queries([KernelId(BUSY), KernelId(HALF)])
    ours = live_stat_queries([BUSY, HALF], window=WINDOW)
    renderer = PromQLTemplateRenderer()
    for their_name, our_name in TEXTS.items():
        expected = _sorted_labels(renderer.render(getattr(theirs, their_name)))
        assert expected == _sorted_labels(render(getattr(ours, our_name))), our_name
    assert set(TEXTS.values()) == {field.name for field in attrs.fields(type(ours))}


def _sorted_labels(text: str) -> str:
    """Sort the matchers of each selector and the labels of each grouping, whose order means nothing."""

    def ordered(found: re.Match[str]) -> str:
        return found[1] + ",".join(sorted(part.strip() for part in found[2].split(","))) + found[3]

    return re.sub(r"(\{|by \()([^{}()]*)(\}|\))", ordered, text)


async def test_live_statistics_are_the_managers(manager: ManagerClient, client: PrometheusClient) -> None:
    """Every field of every metric, but for the differences that the documents list."""
    raw = await manager.fetch_container_live_stats([KernelId(BUSY), KernelId(HALF)])
    theirs = LegacyLiveStatConverter.convert([KernelId(BUSY), KernelId(HALF)], raw)
    batch = await KernelLiveStatService(client, window=WINDOW).fetch_kernel_statistics([BUSY, HALF])
    assert {} == batch.problems
    for kernel, entry in zip((BUSY, HALF), batch, strict=True):
        expected, found = theirs[KernelId(kernel)], entry
        assert expected is not None
        assert found is not None
        assert set(expected) == set(found)
        for metric, fields in expected.items():
            assert set(fields) == set(found[metric]), metric
            for field in set(fields) - DIFFERENT.get(metric, frozenset()):
                assert _number(fields[field]) == _number(found[metric][field]), (metric, field)


def _number(text: Any) -> Any:
    try:
        return pytest.approx(float(text), rel=1e-3, abs=0.01)
    except (TypeError, ValueError):
        return text


async def test_the_client_lives_on_when_the_managers_pool_has_closed_a_session(prometheus: Server) -> None:
    """The pool closes sessions that were idle; statcore asks it for one each time."""
    pool = ClientPool(tcp_client_session_factory, cleanup_interval_seconds=0.05)
    key = ClientKey(endpoint=prometheus.url, domain="prometheus")
    given: list[aiohttp.ClientSession] = []

    def session() -> aiohttp.ClientSession:
        given.append(pool.load_client_session(key))
        return given[-1]

    async with aclosing(PrometheusClient(prometheus.url, session=session)) as client:
        await client.ping()
        while not given[0].closed:  # noqa: ASYNC110 - the pool tells nobody when it closes a session
            await asyncio.sleep(0.01)
        await client.ping()
    await pool.close()
    assert given[0] is not given[-1]
