"""Stand-in for what auto-scaling reads: inventory, statistics and metrics in one, and a record of the reads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from statcore.consumers import (
    ComparatorRule,
    Deployment,
    DeploymentRepository,
    ScalingDecision,
    ScalingRule,
    ScheduleRepository,
    ThresholdRule,
)
from statcore.errors import StatcoreError
from statcore.model import Problem, Sample, StatisticsBatch, VectorResult
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord, SessionRecord
from statcore.queriers import UtilizationMetricQuerier
from statcore.statistics import StatisticsStatefulSource
from statcore.testing.queriers import FixedQuerier

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
LOAD = FixedQuerier("load")


def id_of(number: int) -> str:
    """Return an id told apart by a number."""
    return str(UUID(int=number))


def cpu(pct: Any, capacity: str | None = "1000") -> dict[str, Any]:
    """Return the metrics of a kernel."""
    return {"cpu_util": {"current": "1", "capacity": capacity, "pct": pct}}


def running(current: Any, kind: str = "GAUGE") -> dict[str, Any]:
    """Return the metrics of an endpoint."""
    return {"running": {"current": current, "__type": kind}}


def kernel_rule(**changes: Any) -> ThresholdRule:
    """Return a rule that adds a replica above 80 percent and removes one below 20."""
    of = {"source": "kernel", "metric_name": "cpu_util", "upper_threshold": 80, "lower_threshold": 20}
    return ThresholdRule(**{"name": "cpu", **of, **changes})


def inference_rule(**changes: Any) -> ComparatorRule:
    """Return a rule that adds two replicas from ten requests for each on."""
    of = {"source": "inference-framework", "metric_name": "running", "threshold": 10, "step_size": 2}
    return ComparatorRule(**{"name": "requests", "comparator": "greater-than-or-equal", **of, **changes})


def query_rule(**changes: Any) -> ThresholdRule:
    """Return a rule that adds a replica above a load of 5 and removes one below 1."""
    of = {"source": "prometheus", "querier": LOAD, "upper_threshold": 5, "lower_threshold": 1}
    return ThresholdRule(**{"name": "load", **of, **changes})


def loads(*values: float, **notes: Any) -> VectorResult:
    """Return what a query finds."""
    samples = [Sample(labels={"n": str(n)}, timestamp=NOW.timestamp(), value=value) for n, value in enumerate(values)]
    return VectorResult(samples=tuple(samples), **notes)


@attrs.define(kw_only=True)
class Cluster:
    """Objects by id; `failing` has errors by the name of a read, and `before` is awaited in each read."""

    endpoints: dict[str, EndpointRecord] = attrs.field(factory=dict)
    sessions: dict[str, SessionRecord] = attrs.field(factory=dict)
    kernel_statistics: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    endpoint_statistics: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    problems: dict[str, Problem] = attrs.field(factory=dict)
    found: Callable[[UtilizationMetricQuerier, datetime | None], VectorResult] = lambda _querier, _time: loads()
    failing: dict[str, StatcoreError] = attrs.field(factory=dict)
    before: Callable[[str], Awaitable[object]] | None = None
    calls: list[tuple[str, list[Any]]] = attrs.field(factory=list)

    def add_endpoint(self, number: int, *replicas: Sequence[Any], idle: int = 0) -> str:
        """Add an endpoint whose active replicas have kernels with these metrics, None being none; return its id."""
        records = [ReplicaRecord(replica_id=id_of(number * 100 + 90 + n), active=False) for n in range(idle)]
        for n, kernels in enumerate(replicas):
            session_id = id_of(number * 100 + n)
            ids = [id_of(number * 10_000 + n * 100 + k) for k in range(len(kernels))]
            self.kernel_statistics |= {id_: entry for id_, entry in zip(ids, kernels, strict=True) if entry is not None}
            self.sessions[session_id] = SessionRecord(
                session_id=session_id, kernels=tuple(KernelRecord(kernel_id=id_, session_id=session_id) for id_ in ids)
            )
            records.append(ReplicaRecord(replica_id=session_id, session_id=session_id))
        self.endpoints[id_of(number)] = EndpointRecord(endpoint_id=id_of(number), replicas=tuple(records))
        return id_of(number)

    @property
    def deployments(self) -> DeploymentRepository:
        """The repository under test."""
        return DeploymentRepository(StatisticsStatefulSource(self), self, metrics=self)  # type: ignore[arg-type,call-overload]

    @property
    def schedule(self) -> ScheduleRepository:
        """The repository of the scheduler, under test."""
        return ScheduleRepository(StatisticsStatefulSource(self), self, metrics=self)  # type: ignore[arg-type,call-overload]

    @property
    def reads(self) -> list[str]:
        """The names of the reads, sorted."""
        return sorted(name for name, _ in self.calls)

    async def find_endpoints(self, endpoint_ids: Sequence[str], /) -> Sequence[EndpointRecord | None]:
        """See `InventoryPort`."""
        await self._note("find_endpoints", endpoint_ids)
        return [self.endpoints.get(id_) for id_ in endpoint_ids]

    async def find_sessions(self, session_ids: Sequence[str], /) -> Sequence[SessionRecord | None]:
        """See `InventoryPort`."""
        await self._note("find_sessions", session_ids)
        return [self.sessions.get(id_) for id_ in session_ids]

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """See `StatisticsPort`."""
        await self._note("fetch_kernel_statistics", ids)
        return self._batch(ids, self.kernel_statistics)

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """See `StatisticsPort`."""
        await self._note("fetch_endpoint_statistics", endpoint_ids)
        return self._batch(endpoint_ids, self.endpoint_statistics)

    async def query_utilization_now(
        self, querier: UtilizationMetricQuerier, /, *, time: datetime | None = None, rate_interval: timedelta | str = "5m"
    ) -> VectorResult:
        """See `MetricQuerierPort`."""
        await self._note("query_utilization_now", [rate_interval])
        return self.found(querier, time)

    async def _note(self, name: str, ids: Sequence[Any]) -> None:
        self.calls.append((name, list(ids)))
        if self.before:
            await self.before(name)
        if name in self.failing:
            raise self.failing[name]

    def _batch(self, ids: Sequence[str], entries: dict[str, dict[str, Any]]) -> StatisticsBatch:
        problems = {position: self.problems[id_] for position, id_ in enumerate(ids) if id_ in self.problems}
        return StatisticsBatch([entries.get(id_) for id_ in ids], problems=problems)


async def decide_one(cluster: Cluster, *rules: ScalingRule, endpoint_id: str, replicas: int = 3) -> ScalingDecision:
    """Decide for one deployment."""
    deployment = Deployment(endpoint_id=endpoint_id, replicas=replicas, rules=rules)
    (decision,) = await cluster.deployments.decide_replicas([deployment], now=NOW)
    return decision
