"""A host that executes queries on the schema, counts its reads, and returns answers as strict JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import attrs
import strawberry

from statcore.errors import UnavailableError
from statcore.model import MatrixResult, QueryTimeRange
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.plugins import PluginRegistry
from statcore.ports import InventoryPort, StatisticsPort
from statcore.queriers import UtilizationMetricQuerier
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import Query, build_schema
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

ADDRESS = "10.9.8.7:9090"
"""The address of a server that does not answer."""


class Unreachable(MemoryMetrics):
    """A metric backend that does not answer."""

    async def ping(self) -> None:
        """Fail."""
        raise UnavailableError(f"{ADDRESS} refused the connection", service=ADDRESS)


def numbered(kind: int, number: int) -> str:
    """Return the id of an object of a kind."""
    return str(UUID(int=kind << 64 | number))


def session_id(number: int) -> str:
    """Return the id of a session."""
    return numbered(1, number)


def kernel_id(number: int, of_session: int = 0) -> str:
    """Return the id of a kernel."""
    return numbered(2 + of_session, number)


def endpoint_id(number: int) -> str:
    """Return the id of an endpoint."""
    return numbered(100, number)


def replica_id(number: int) -> str:
    """Return the id of a replica."""
    return numbered(101, number)


def inventory_of(sessions: int, *, kernels: int = 1, endpoints: int = 0) -> MemoryInventory:
    """Return sessions with kernels, each on agent `i-0`, `i-1` or `i-2`, and endpoints with one replica each."""
    inventory = MemoryInventory()
    for number in range(sessions):
        for kernel in range(kernels):
            inventory.register_kernel(
                KernelRecord(kernel_id=kernel_id(number, kernel), session_id=session_id(number), agent_id=f"i-{number % 3}")
            )
    for number in range(endpoints):
        replica = ReplicaRecord(replica_id=replica_id(number), session_id=session_id(number), active=number % 2 == 0)
        inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint_id(number), replicas=(replica,)))
    return inventory


@attrs.frozen
class CountedStatistics:
    """A store that records the kind and the number of ids of each read."""

    store: Any
    reads: list[tuple[str, int]] = attrs.field(factory=list, init=False)

    def __getattr__(self, name: str) -> Any:
        """Record a fetch."""

        async def fetch(ids: Sequence[Any]) -> Any:
            self.reads.append((name.removeprefix("fetch_"), len(ids)))
            return await getattr(self.store, name)(ids)

        return fetch


@attrs.frozen(kw_only=True)
class CountedMetrics(MemoryMetrics):
    """A metric backend that records the queriers of its queries."""

    queries: list[UtilizationMetricQuerier] = attrs.field(factory=list, init=False)

    async def query_utilization(
        self, querier: UtilizationMetricQuerier, time_range: QueryTimeRange, **options: Any
    ) -> MatrixResult:
        """Record a query."""
        self.queries.append(querier)
        return await super().query_utilization(querier, time_range, **options)


@attrs.frozen(kw_only=True)
class Answer:
    """A response as it is sent to the client."""

    data: Any
    errors: list[dict[str, Any]]
    extensions: dict[str, Any]

    @property
    def problems(self) -> dict[str, str]:
        """The kinds of the problems of values in the data, by their path with dots."""
        return {".".join(map(str, problem["path"])): problem["kind"] for problem in self.extensions.get("problems", [])}

    @property
    def codes(self) -> dict[str, str]:
        """The codes of errors by their path with dots."""
        return {".".join(map(str, error["path"])): error["extensions"]["code"] for error in self.errors}


@attrs.frozen(kw_only=True, eq=False)
class Host:
    """The ports that a manager has opened, and its schema."""

    statistics: StatisticsPort = attrs.field(factory=lambda: CountedStatistics(MemoryStatistics()))
    inventory: InventoryPort = attrs.field(factory=MemoryInventory)
    metrics: Any = attrs.field(factory=CountedMetrics)
    plugins: PluginRegistry = attrs.field(factory=PluginRegistry.discover)
    manager: DataLoaderManager = attrs.field(factory=DataLoaderManager)
    query: type = Query
    chunk_size: int = 5_000
    limits: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    schema: strawberry.Schema = attrs.field(init=False)

    @schema.default
    def _build(self) -> strawberry.Schema:
        return build_schema(self.manager, query=self.query)

    def context(self) -> GraphQueryContext:
        """Return the context of a new request."""
        source = StatisticsStatefulSource(self.statistics, chunk_size=self.chunk_size)
        return GraphQueryContext(
            statistics_repository=StatisticsRepository(source),
            inventory=self.inventory,
            metrics=self.metrics,
            plugins=self.plugins,
            dataloader_manager=self.manager,
            **self.limits,
        )

    async def execute(self, query: str, /, *, context: GraphQueryContext | None = None, **variables: Any) -> Answer:
        """Execute a query and return the response."""
        result = await self.schema.execute(query, variable_values=variables, context_value=context or self.context())
        response = {
            "data": result.data,
            "errors": [error.formatted for error in result.errors or []],
            "extensions": result.extensions or {},
        }
        return Answer(**json.loads(json.dumps(response, allow_nan=False)))

    async def execute_cleanly(self, query: str, /, **variables: Any) -> Any:
        """Return the data of an answer without errors and problems."""
        answer = await self.execute(query, **variables)
        assert ([], {}) == (answer.errors, answer.extensions)
        return answer.data


async def echo(ctx: object, keys: Sequence[Any], **parameters: Any) -> Sequence[Any]:
    """Return each key with the parameters."""
    del ctx
    return [{"key": key, **parameters} for key in keys]
