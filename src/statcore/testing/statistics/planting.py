"""Ids and values for the checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

import attrs

from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import MetricValue, ProblemKind
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.expectations import expect, plain

Numbers: TypeAlias = Mapping[Any, int]
"""Id, or pair of ids, to the number that its entry has."""

PLAIN_VALUE = MetricValue(
    current="512.5",
    capacity="1024",
    pct="50.05",
    unit_hint="bytes",
    stats={"min": "0", "max": "900", "sum": "12345.678", "avg": "411.5", "diff": "-3", "rate": "0.001"},
)
GAUGE: dict[str, Any] = {"__type": "GAUGE", **PLAIN_VALUE.to_map()}
HISTOGRAM: dict[str, Any] = {
    "__type": "HISTOGRAM",
    "current": {"0.1": "3", "2.5": "11", "+Inf": "12"},
    "threshold_unit": "le",
    "count": 12,
    "sum": "17.25",
}
NOTHING: dict[str, Any] = {"node": {}, "devices": {}}
"""An agent without metrics."""
NO_ACTIVITY = {"requests": 0, "last_response_ms": 0}
AGENT_INTERVAL_S: Final = 30.0


def new_ids(count: int) -> list[str]:
    """Return ids that no store has yet."""
    return [str(uuid4()) for _ in range(count)]


def new_agents(count: int) -> list[str]:
    """Return agent ids that no store has yet."""
    return [f"i-{id_}" for id_ in new_ids(count)]


def numbered(number: int) -> dict[str, MetricValue]:
    """Return the metrics of an object; the number tells it from others."""
    return {"mem": MetricValue(current=str(number), unit_hint="bytes")}


def shown(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    """Return metrics as an entry of a batch shows them."""
    return {name: value.to_map() for name, value in metrics.items()}


def expect_entries(expected: Sequence[object], batch: StatisticsBatch, about: str) -> None:
    """Fail unless the batch has these entries, None where nothing is, and no problem."""
    expect(list(expected), [plain(entry) for entry in batch], about)
    expect({}, dict(batch.problems), f"the problems of {about}")


async def _store_kernels(sink: StatisticsSinkPort, numbers: Numbers) -> None:
    await sink.store_kernel_statistics({id_: numbered(number) for id_, number in numbers.items()})


async def _store_endpoints(sink: StatisticsSinkPort, numbers: Numbers) -> None:
    await sink.store_endpoint_statistics({id_: _inference(number) for id_, number in numbers.items()})


async def _store_replicas(sink: StatisticsSinkPort, numbers: Numbers) -> None:
    await sink.store_replica_statistics({pair: _inference(number) for pair, number in numbers.items()})


async def _store_agents(sink: StatisticsSinkPort, numbers: Numbers) -> None:
    for agent, number in numbers.items():
        await sink.store_agent_statistics(agent, node=numbered(number), devices={}, interval_s=AGENT_INTERVAL_S)


async def _store_activities(sink: StatisticsSinkPort, numbers: Numbers) -> None:
    for session, number in numbers.items():
        await sink.store_session_activity(session, requests=number, last_response_ms=number)


def _inference(number: int) -> dict[str, Any]:
    return {"running": {**GAUGE, "current": str(number)}}


def _new_pairs(count: int) -> list[tuple[str, str]]:
    return list(zip(new_ids(count), new_ids(count), strict=True))


@attrs.frozen
class Kind:
    """A kind of object: how numbered objects are stored and fetched, and what their entries are.

    Args:
        name: the objects, in messages.
        new_ids: returns ids, or pairs of ids, that no store has yet.
        store: stores objects with their numbers.
        fetch: fetches the batch of some ids.
        entry: returns the entry of an object with this number.
        missing: the entry of an unknown id.
        problem: the kind of problem of an unknown id.
    """

    name: str
    new_ids: Callable[[int], list[Any]]
    store: Callable[[StatisticsSinkPort, Numbers], Awaitable[None]]
    fetch: Callable[[StatisticsPort, Sequence[Any]], Awaitable[StatisticsBatch]]
    entry: Callable[[int], Mapping[str, Any]]
    missing: Mapping[str, Any] | None = None
    problem: ProblemKind | None = None

    async def plant(self, sink: StatisticsSinkPort, count: int) -> list[Any]:
        """Store objects that are numbered from 0 on, and return their ids."""
        ids = self.new_ids(count)
        await self.store(sink, {id_: number for number, id_ in enumerate(ids)})
        return ids

    async def expect(self, expected: Sequence[int | None], store: StatisticsPort, ids: Sequence[Any]) -> None:
        """Fail unless the batch of these ids has these numbers, None for an unknown id."""
        self.expect_batch(expected, await self.fetch(store, ids))

    def expect_batch(self, expected: Sequence[int | None], batch: StatisticsBatch) -> None:
        """Fail unless a batch has these numbers, None for an unknown id, and no other problem than those of unknown ids."""
        entries = [self.missing if number is None else self.entry(number) for number in expected]
        expect(entries, [plain(entry) for entry in batch], self.name)
        missing = {} if self.problem is None else {at: self.problem for at, number in enumerate(expected) if number is None}
        kinds = {position: problem.kind for position, problem in batch.problems.items()}
        expect(missing, kinds, f"the problems of {self.name} by position")


KERNELS: Final = Kind(
    "kernels",
    new_ids,
    _store_kernels,
    lambda store, ids: store.fetch_kernel_statistics(ids),
    lambda number: shown(numbered(number)),
)
ENDPOINTS: Final = Kind(
    "endpoints", new_ids, _store_endpoints, lambda store, ids: store.fetch_endpoint_statistics(ids), _inference
)
REPLICAS: Final = Kind(
    "replicas", _new_pairs, _store_replicas, lambda store, ids: store.fetch_replica_statistics(ids), _inference
)
AGENTS: Final = Kind(
    "agents",
    new_agents,
    _store_agents,
    lambda store, ids: store.fetch_agent_statistics(ids),
    lambda number: {**NOTHING, "node": shown(numbered(number))},
)
ACTIVITIES: Final = Kind(
    "activities of sessions",
    new_ids,
    _store_activities,
    lambda store, ids: store.fetch_inference_metrics(ids),
    lambda number: {"requests": number, "last_response_ms": number},
    missing=NO_ACTIVITY,
    problem=ProblemKind.INCOMPLETE,
)
KINDS: Final = (KERNELS, ENDPOINTS, REPLICAS, AGENTS, ACTIVITIES)
