"""Metrics and logs: what is counted, with which labels, and what a log line has."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import attrs
import pytest
from opentelemetry import propagate, trace
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.support.graphql_host import inventory_of, session_id
from tests.support.web_host import Client, TokenFile, get, post, runtime_of, serving

from statcore.concurrency import Deadline, retry
from statcore.errors import StatcoreError, UnavailableError
from statcore.model import MatrixResult, QueryTimeRange
from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.model.statistics import Problem, ProblemKind
from statcore.queriers import ContainerMetricQuerier
from statcore.services import KernelLiveStatService
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryMetrics, MemoryStatistics
from statcore_web import Observation, Tokens, log_handler

LIVE = "{ compute_session_list { items { session_id live_stat } } }"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def metrics(client: Client) -> dict[str, Metric]:
    """Return the metrics of the service by name."""
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(await response.text())}


def values(metric: Metric, suffix: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of some labels."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in metric.samples
        if sample.name == metric.name + suffix
    }


async def test_requests_are_counted_by_route_status_and_token(tmp_path: Path) -> None:
    """The names of tokens are there, but no secret and no id of an object."""
    file = TokenFile(tmp_path / "tokens.toml")
    secret = file.write(ci='scope = "everything"')["ci"]
    async with serving(runtime_of(inventory=inventory_of(2)), tokens=Tokens(str(file.path))) as client:
        for token in (secret, secret, "statcore_wrong"):
            await post(client, LIVE, token=token)
        await client.get("/healthz")
        found = await metrics(client)
        text = await (await client.get("/metrics")).text()
    counted = values(found["statcore_http_requests"], "_total", "route", "status", "token")
    assert {("/graphql", "200", "ci"): 2, ("/graphql", "401", ""): 1, ("/healthz", "200", ""): 1} == counted
    assert {(): 1} == values(found["statcore_http_requests_running"], "")
    assert {(): 1} == values(found["statcore_http_connections_open"], "")
    assert not any(word in text for word in (secret, session_id(0), session_id(1)))


async def test_calls_of_ports_are_measured_with_the_sizes_of_batches() -> None:
    """The store, the inventory and the backend have their own operations."""
    async with serving(runtime_of(inventory=inventory_of(5))) as client:
        await post(client, LIVE)
        await post(client, '{ available_metrics(querier: "container") }')
        found = await metrics(client)
    calls = values(found["statcore_port_call_duration_seconds"], "_count", "port", "operation")
    expected = {("inventory", "list_sessions"), ("statistics", "fetch_kernel_statistics"), ("metrics", "label_values")}
    assert dict.fromkeys(expected, 1) == calls
    ids = {("fetch_kernel_statistics",): 10}  # five sessions, each with a kernel
    assert ids == values(found["statcore_port_batch_ids"], "_sum", "operation")


class Broken(MemoryStatistics):
    """A store that is away, or fails as none may."""

    error: Exception = UnavailableError("10.9.8.7 refused the connection")

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Fail."""
        del ids
        raise self.error


async def test_errors_are_counted_by_class_and_by_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of other libraries share one name: they are unforeseen, and could be many."""
    async with serving(runtime_of(statistics=Broken(), inventory=inventory_of(2))) as client:
        await post(client, LIVE)
        monkeypatch.setattr(Broken, "error", KeyError("the secret of the store"))
        await post(client, LIVE)
        await post(client, "{ no_such_field }")
        found = await metrics(client)
    failed = values(found["statcore_port_errors"], "_total", "port", "operation", "error")
    operation = "statistics", "fetch_kernel_statistics"
    assert {(*operation, "UnavailableError"): 1, (*operation, "unexpected"): 1} == failed
    by_code = values(found["statcore_graphql_errors"], "_total", "code")
    assert {("UnavailableError",): 2, ("InternalError",): 2, ("InputError",): 1} == by_code


class Partly(MemoryStatistics):
    """A store that cannot read one id, and has lost a part of another."""

    async def fetch_kernel_statistics(self, ids: Any, /) -> StatisticsBatch:
        """Return nothing."""
        problems = dict(enumerate([ProblemKind.UNAVAILABLE, ProblemKind.UNAVAILABLE, ProblemKind.INCOMPLETE]))
        return StatisticsBatch(
            [None] * len(ids), problems={position: Problem(kind, message="lost") for position, kind in problems.items()}
        )

    async def fetch_kernel_columns(self, ids: Any, fields: Any, /) -> StatisticsColumns:
        """Return nothing as columns."""
        return await (await self.fetch_kernel_statistics(ids)).columns(*fields)


class Lacking(MemoryMetrics):
    """A backend that lacks a store."""

    async def query_utilization(self, *_: Any, **__: Any) -> MatrixResult:
        """Return nothing, and say so."""
        return MatrixResult(series=(), partial=True)


async def test_problems_of_answers_are_counted_by_kind() -> None:
    """A call that answers without entries, or with a part of the series, is no error, and is counted all the same."""
    observation = Observation()
    observed = observation.observed(runtime_of(statistics=Partly(), metrics=Lacking()))
    ids = [session_id(number) for number in range(4)]
    await observed.repository.get_kernel_statistics_batch(ids)
    await observed.repository.get_kernel_statistics_columns(ids, ["mem.current"])
    times = QueryTimeRange(start=0, end=60, step="60s")
    await observed.metrics.query_utilization(ContainerMetricQuerier(metric_name="mem", value_type="current"), times)
    (found,) = (
        family
        for family in text_string_to_metric_families(observation.exposition().decode())
        if family.name == "statcore_port_problems"
    )
    assert {
        ("statistics", "fetch_kernel_statistics", "unavailable"): 2,
        ("statistics", "fetch_kernel_statistics", "incomplete"): 1,
        ("statistics", "fetch_kernel_columns", "unavailable"): 2,
        ("statistics", "fetch_kernel_columns", "incomplete"): 1,
        ("metrics", "query_utilization", "partial"): 1,
    } == values(found, "_total", "port", "operation", "kind")


class Retrying(MemoryMetrics):
    """A backend whose first two attempts fail."""

    async def ping(self) -> None:
        """Answer at the third attempt."""
        attempts: Iterator[StatcoreError | None] = iter([UnavailableError("away"), UnavailableError("away"), None])

        async def attempt() -> None:
            if (error := next(attempts)) is not None:
                raise error

        async with Deadline(10, waiting_for="an answer") as deadline:
            await retry(attempt, deadline=deadline, is_retryable=lambda _: True, first_pause_s=0.001, longest_pause_s=0.001)


async def test_retries_are_counted_for_the_call_that_makes_them() -> None:
    """An adapter repeats attempts itself; the call succeeds."""
    async with serving(runtime_of(metrics=Retrying())) as client:
        assert 200 == (await client.get("/readyz")).status
        found = await metrics(client)
    assert {("metrics", "ping"): 2} == values(found["statcore_port_retries"], "_total", "port", "operation")


async def test_the_lag_of_the_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services in one process may share their metrics."""
    monkeypatch.setattr("statcore_web.observation._LAG_INTERVAL_S", 0.001)
    observation = Observation()
    async with serving(observation=observation) as client, serving(observation=observation):
        async with asyncio.timeout(30):
            while (lags := values((await metrics(client))["statcore_event_loop_lag_seconds"], "_count")) == {(): 0}:
                pass
    assert lags[()] > 0


def test_an_observed_runtime_reads_kernels_from_where_the_runtime_does() -> None:
    """The size of chunks stays, and kernels are still read from the backend, through a port that is observed."""
    runtime = runtime_of()
    kernels = KernelLiveStatService(MemoryMetrics(), window="2m")
    source = StatisticsStatefulSource(runtime.statistics, chunk_size=7, kernels=kernels)
    observed = Observation().observed(attrs.evolve(runtime, repository=StatisticsRepository(source))).repository.source
    assert (7, "2m") == (observed.chunk_size, cast("KernelLiveStatService", observed.kernels).window)
    assert observed.kernels is not kernels


def test_an_observed_port_has_the_names_of_the_port() -> None:
    """Whoever looks for an optional method finds it only if the port has it; errors name the port's class."""
    port: Any = Observation().observed(runtime_of()).statistics
    assert (MemoryStatistics, MemoryStatistics().max_entries) == (port.__class__, port.max_entries)
    assert not any(hasattr(port, name) for name in ("fetch_weather", "_private"))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged as JSON lines."""
    stream = io.StringIO()
    handler, logger = log_handler(stream, format="json"), logging.getLogger("statcore_web")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.setLevel(level)
    logger.removeHandler(handler)


async def test_a_request_is_a_line_with_its_id_and_its_trace(log: io.StringIO) -> None:
    """The id is in the response, too, and the trace is that of the header."""
    async with serving() as client:
        headers = {"X-Request-Id": "abc-1", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
        response = await get(client, "{ schema_version }", **headers)
    assert "abc-1" == response.headers["X-Request-Id"]
    (line,) = map(json.loads, log.getvalue().splitlines())
    expected = {"request_id": "abc-1", "trace_id": TRACE_ID, "message": "GET /graphql: 200"}
    assert expected.items() <= line.items()
    assert {"time", "level", "logger", "duration_s"} <= line.keys()


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "\xe9"])
async def test_an_id_that_could_forge_a_line_is_replaced(given: str) -> None:
    """Each request then has an id of its own."""
    async with serving() as client:
        made = {(await client.get("/healthz", headers={"X-Request-Id": given})).headers["X-Request-Id"] for _ in range(2)}
    assert 2 == len(made)
    assert all(UUID(hex=id_).hex == id_ for id_ in made)


async def test_the_trace_is_passed_on_to_what_a_request_calls() -> None:
    """An instrumented driver finds it in the context of the call."""
    carried: list[dict[str, str]] = []

    class Instrumented(MemoryMetrics):
        async def ping(self) -> None:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            carried.append(headers)

    parent = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
    async with serving(runtime_of(metrics=Instrumented())) as client:
        await post(client, "{ health { healthy } }", headers={"traceparent": parent})
        await post(client, "{ health { healthy } }")
    assert [{"traceparent": parent}, {}] == carried
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_text_line_is_one_line() -> None:
    """A message with a line break begins no line of its own; an error has its traceback below."""
    stream = io.StringIO()
    record = logging.LogRecord("statcore_web", logging.WARNING, "", 0, "a\nb %s", ("\rc",), None)
    record.duration_s = 0.5
    log_handler(stream).emit(record)
    assert stream.getvalue().endswith("WARNING statcore_web: a\\nb \\rc duration_s=0.5\n")
    try:
        raise KeyError("x")  # noqa: TRY301 - an error with a traceback
    except KeyError as error:
        record.exc_info = (KeyError, error, error.__traceback__)
    for kind in ("json", "text"):
        log_handler(stream, format=kind).emit(record)
    assert 2 == stream.getvalue().count("Traceback (most recent call last)")
