"""A cluster for the page: many sessions with owners, ages and figures, an endpoint, an agent, and every kind of problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import attrs

from statcore.model import MetricValue, Problem, ProblemKind
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.runtime import Runtime
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryInventory, MemoryMetrics, MemoryStatistics

GIB: Final = 1024**3
AGENTS: Final = ("node-1", "node-2", "node-3")
_USERS: Final = 7


def id_of(kind: int, number: int) -> str:
    """Return the id of an object of a kind, in the order of numbers."""
    return str(UUID(int=(kind << 96) + number))


def kernel_id(number: int) -> str:
    """Return the id of a kernel."""
    return id_of(1, number)


def session_id(number: int) -> str:
    """Return the id of the session with a number, which has one kernel."""
    return id_of(2, number)


def user_id(number: int) -> str:
    """Return the owner of a session."""
    return id_of(3, number % _USERS)


def cpu_pct(number: int, turn: int = 0) -> float:
    """Return the CPU use of a session: it falls with the number, and each turn adds a hundredth."""
    return 1_000_000 / (number + 1_000) + turn / 100


@attrs.frozen
class PageWorld:
    """The ports of a cluster whose figures a test can change.

    Args:
        sessions: how many sessions there are.
    """

    sessions: int
    statistics: MemoryStatistics = attrs.field(factory=MemoryStatistics, init=False)
    inventory: MemoryInventory = attrs.field(factory=MemoryInventory, init=False)
    metrics: MemoryMetrics = attrs.field(factory=MemoryMetrics, init=False)

    def __attrs_post_init__(self) -> None:
        """Register the objects."""
        now = datetime.now(UTC)
        for number in range(self.sessions):
            self.inventory.register_kernel(
                KernelRecord(
                    kernel_id=kernel_id(number),
                    session_id=session_id(number),
                    agent_id=AGENTS[number % len(AGENTS)],
                    user_id=user_id(number),
                    project_id=id_of(4, number % 3),
                    started_at=now - timedelta(minutes=number),
                )
            )
        replicas = [
            ReplicaRecord(replica_id=id_of(6, number), session_id=session_id(number), active=number != 1)
            for number in range(min(3, self.sessions))
        ]
        self.inventory.register_endpoint(
            EndpointRecord(endpoint_id=id_of(5, 0), replicas=tuple(replicas), user_id=user_id(1), project_id=id_of(4, 1))
        )

    @property
    def runtime(self) -> Runtime:
        """The open ports."""
        repository = StatisticsRepository(StatisticsStatefulSource(self.statistics))
        return Runtime(statistics=self.statistics, repository=repository, metrics=self.metrics, inventory=self.inventory)

    async def write(self, *, turn: int = 0, numbers: Iterable[int] | None = None) -> None:
        """Store statistics of the kernels with some numbers, by default all, and of the agents."""
        written = range(self.sessions) if numbers is None else numbers
        await self.statistics.store_kernel_statistics({kernel_id(number): figures(number, turn) for number in written})
        for number, agent_id in enumerate(AGENTS):
            cores = {f"cpu{core}": _percent((core * 29 + turn + number * 7) % 101) for core in range(8)}
            gpus = {f"cuda{gpu}": _percent((gpu * 41 + turn + number * 13) % 101) for gpu in range(4)}
            await self.statistics.store_agent_statistics(
                agent_id,
                node={
                    "cpu_util": MetricValue(current="4125", capacity="1000", pct="412.5"),
                    "mem": MetricValue(current=str(100 * GIB)),
                },
                devices={"cpu_util": cores, "cuda_util": gpus},
                interval_s=3_600,
            )

    def plant_problems(self) -> dict[str, str]:
        """Give the first sessions each a kind of problem, and return the sessions by their kind."""
        planted: dict[str, tuple[object, ProblemKind | None]] = {
            "stale": (_maps(figures(0)), ProblemKind.STALE),
            "incomplete": (_maps(figures(1)), ProblemKind.INCOMPLETE),
            "unavailable": (None, ProblemKind.UNAVAILABLE),
            "malformed": ("text", None),
            "undated": (_maps(figures(4)), ProblemKind.UNDATED),
        }
        for number, (kind, (value, problem)) in enumerate(planted.items()):
            found = None if problem is None else Problem(problem, message=f"planted: {kind}")
            self.statistics.plant(kernel_id(number), value, problem=found)
        numbers = {kind: session_id(number) for number, kind in enumerate(planted)}
        self.statistics.plant(kernel_id(len(planted)), _maps({"cpu_util": _percent(0)}))
        return {**numbers, "zero": session_id(len(planted)), "missing": session_id(len(planted) + 1)}


def figures(number: int, turn: int = 0) -> dict[str, MetricValue]:
    """Return the metrics of a kernel; every third one has accelerators."""
    metrics = {
        "cpu_util": _percent(cpu_pct(number, turn)),
        "mem": MetricValue(current=str(2 * GIB + number * 1024), capacity=str(64 * GIB), pct="3.12"),
        "net_rx": MetricValue(current=str(number * 100)),
        "net_tx": MetricValue(current="0"),
    }
    if number % 3 == 0:
        metrics |= {"cuda_util": _percent(number % 101), "cuda_mem": MetricValue(current=str(16 * GIB))}
    return metrics


def _percent(value: float) -> MetricValue:
    return MetricValue(current=f"{value * 10:.0f}", capacity="1000", pct=f"{value:.2f}", unit_hint="percent")


def _maps(metrics: Mapping[str, MetricValue]) -> dict[str, object]:
    return {name: value.to_map() for name, value in metrics.items()}
