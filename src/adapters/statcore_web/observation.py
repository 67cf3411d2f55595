"""Observation: the metrics of the service in a registry of its own, and ports that record their calls in it.

No metric has a label with ids of objects, so that the metrics may be read by whoever may reach them.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections import Counter as Amounts
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sized
from contextlib import asynccontextmanager, contextmanager
from time import perf_counter
from typing import Any, Final, TypeVar, cast
from weakref import WeakSet

import attrs
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from statcore.concurrency import on_retry
from statcore.errors import StatcoreError
from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.model.results import AnswerNotes
from statcore.model.statistics import ProblemKind
from statcore.runtime import Runtime
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore.statistics.live_stat import KernelLiveStatService
from statcore.statistics.series_inventory import SeriesInventory
from statcore_web.background import in_background
from statcore_web.limits import within_request
from statcore_web.shared_metrics import used_here

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that turns on prometheus_client's mode for several processes, and names the folder of it."""
_METRICS: Final = (Counter, Gauge, Histogram)
_LAG_INTERVAL_S: Final = 0.5
_BATCH_BUCKETS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
_Port = TypeVar("_Port")


def count_in_memory() -> None:
    """Keep the values of all metrics that this process makes from now on in its memory, whatever its environment says.

    For programs that serve, which write no file: where a page of a mapped file has no room on the disk, the process ends.
    """
    for name in (METRICS_FOLDER, METRICS_FOLDER.lower()):  # prometheus_client knows both
        os.environ.pop(name, None)
    values.ValueClass = values.MutexValue


class Observation:
    """The metrics of one process, or of the workers of a service; several applications may share them.

    Attributes:
        registry: the registry, for metrics of the host beside these.
    """

    def __init__(self) -> None:
        """Make the metrics."""
        self.registry: Final = CollectorRegistry()
        registry, call = self.registry, ["port", "operation"]
        self._requests = Counter(
            "statcore_http_requests", "Requests answered.", ["route", "status", "token"], registry=registry
        )
        self._request_s = Histogram(
            "statcore_http_request_duration_seconds", "How long requests took.", ["route"], registry=registry
        )
        self._running = Gauge(
            "statcore_http_requests_running", "Requests that are running.", registry=registry, multiprocess_mode="livesum"
        )
        self._limits = Counter("statcore_limits_exceeded", "Requests that exceeded a limit.", ["limit"], registry=registry)
        self._errors = Counter(
            "statcore_graphql_errors", "Errors in GraphQL responses, by code.", ["code"], registry=registry
        )
        self._call_s = Histogram(
            "statcore_port_call_duration_seconds", "How long calls of ports took.", call, registry=registry
        )
        self._call_errors = Counter(
            "statcore_port_errors", "Calls of ports that failed.", [*call, "error"], registry=registry
        )
        self._problems = Counter(
            "statcore_port_problems",
            "Entries with a problem, and partial answers about metrics, in calls of ports that did not fail.",
            [*call, "kind"],
            registry=registry,
        )
        self._retries = Counter("statcore_port_retries", "Attempts that failed and were repeated.", call, registry=registry)
        self._batch_ids = Histogram(
            "statcore_port_batch_ids",
            "Ids in a call of the store.",
            ["operation"],
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._loop_lag_s = Histogram(
            "statcore_event_loop_lag_seconds", "How late the event loop woke a sleeping task.", registry=registry
        )
        self._connections: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._open = Gauge(
            "statcore_http_connections_open",
            "Connections that are open and have had a request.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._shared = used_here()
        if self._shared is None:
            ProcessCollector(namespace="statcore", registry=registry)

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus.

        In a worker of `statcore serve`, and in prometheus_client's mode for several processes, they are the sums over all.
        """
        self._count_connections()
        registry = self.registry
        if self._shared is not None:
            self._shared.add_label_values(metric for metric in vars(self).values() if isinstance(metric, _METRICS))
        elif METRICS_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    @contextmanager
    def request(self, transport: asyncio.BaseTransport | None) -> Generator[None]:
        """Count a request as running within the block, and its connection as open until it is closed."""
        if transport is not None:
            self._connections.add(transport)
        self._running.inc()
        try:
            yield
        finally:
            self._running.dec()

    def answered(self, *, route: str, status: int, token: str, duration_s: float) -> None:
        """Count a request that was answered.

        Args:
            route: the path of its route.
            status: the HTTP status.
            token: the name of the caller's token, or an empty text.
            duration_s: how long it took, in seconds.
        """
        self._requests.labels(route, str(status), token).inc()
        self._request_s.labels(route).observe(duration_s)

    def limit_exceeded(self, limit: str) -> None:
        """Count a request that exceeded a limit."""
        self._limits.labels(limit).inc()

    def graphql_error(self, code: str) -> None:
        """Count an error in a response."""
        self._errors.labels(code).inc()

    def observed(self, runtime: Runtime) -> Runtime:
        """Return a runtime whose ports record their calls; it uses the connections of the given one."""
        source, inventory = runtime.repository.source, runtime.inventory
        kernels = source.kernels
        if isinstance(kernels, KernelLiveStatService):
            kernels = attrs.evolve(kernels, promql=self._port(kernels.promql, "metrics"))
        return attrs.evolve(
            runtime,
            statistics=self._port(runtime.statistics, "statistics"),
            repository=StatisticsRepository(
                StatisticsStatefulSource(
                    self._port(source.store, "statistics"), chunk_size=source.chunk_size, kernels=kernels
                )
            ),
            metrics=self._port(runtime.metrics, "metrics"),
            inventory=(
                attrs.evolve(inventory, metrics=self._port(inventory.metrics, "metrics"))
                if isinstance(inventory, SeriesInventory)
                else self._port(inventory, "inventory")
            ),
        )

    @asynccontextmanager
    async def watching_loop(self) -> AsyncGenerator[None]:
        """Measure within the block how late the event loop is."""
        async with in_background(self._watch_loop(), name="measuring the lag of the event loop"):
            yield

    def _port(self, port: _Port, name: str) -> _Port:
        return cast("_Port", _ObservedPort(port, name, self._recording))

    @contextmanager
    def _recording(self, port: str, operation: str, arguments: tuple[object, ...]) -> Generator[Callable[[object], object]]:
        """Record a call of a port within the block: its time, its error, its retries, and the size of its batch.

        Yields a function that counts the problems of its result.
        """
        if port == "statistics" and arguments and isinstance(arguments[0], Sized):
            self._batch_ids.labels(operation).observe(len(arguments[0]))
        repeated = on_retry.set(lambda _: self._retries.labels(port, operation).inc())
        start = perf_counter()
        try:
            yield lambda result: self._count_problems(port, operation, result)
        except Exception as error:
            kind = type(error).__name__ if isinstance(error, StatcoreError) else "unexpected"
            self._call_errors.labels(port, operation, kind).inc()
            raise
        finally:
            on_retry.reset(repeated)
            self._call_s.labels(port, operation).observe(perf_counter() - start)

    def _count_problems(self, port: str, operation: str, result: object) -> None:
        kinds: list[object] = []
        if isinstance(result, StatisticsBatch):
            kinds = [problem.kind for problem in result.problems.values()]
        elif isinstance(result, StatisticsColumns):
            kinds = [problem.kind for problems in result.problems.values() for problem in problems]
        elif isinstance(result, AnswerNotes) and result.partial:
            kinds = ["partial"]
        for kind, number in Amounts(kinds).items():
            label = str(kind) if kind == "partial" or isinstance(kind, ProblemKind) else "unexpected"
            self._problems.labels(port, operation, label).inc(number)

    def _count_connections(self) -> None:
        self._open.set(sum(not transport.is_closing() for transport in self._connections))

    async def _watch_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._loop_lag_s.observe(max(0.0, loop.time() - due))
            self._count_connections()  # other processes may answer the next request for metrics


class _ObservedPort:
    """A port that records calls of its async methods and ends them before the request; other attributes are passed on."""

    def __init__(self, port: object, name: str, record: Callable[..., Any]) -> None:
        self._port = port
        self._name = name
        self._record = record

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The port's class, which error messages name."""
        kind: type[Any] = self._port.__class__
        return kind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*arguments: object, **options: object) -> object:
            answer = found(*arguments, **options)
            return self._recorded(name, arguments, answer) if inspect.isawaitable(answer) else answer

        return call

    async def _recorded(self, operation: str, arguments: tuple[object, ...], answer: Awaitable[object]) -> object:
        with self._record(self._name, operation, arguments) as count_problems:
            result = await within_request(answer, port=self._name)
            count_problems(result)
            return result
