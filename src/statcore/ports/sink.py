"""Port of stores that live statistics are written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from statcore.model.statistics import MetricValue


@runtime_checkable
class StatisticsSinkPort(Protocol):
    """The writer's side of a store of the newest statistics.

    Every `store_…` replaces the entries that it names as a whole and leaves all others alone; entries expire by
    themselves after the time that the wire format gives them. Errors are those of `StatisticsPort`.
    """

    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        """Store metrics by kernel id or session id."""
        ...

    async def store_agent_statistics(
        self,
        agent_id: str,
        /,
        *,
        node: Mapping[str, MetricValue],
        devices: Mapping[str, Mapping[str, MetricValue]],
        interval_s: float,
    ) -> None:
        """Store an agent's metrics of the node and, by metric and device id, of its devices.

        They expire after four collection intervals.
        """
        ...

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        """Store how many kernels an agent runs."""
        ...

    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by endpoint id and metric."""
        ...

    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        """Store InferenceValue maps by (endpoint id, replica id) and metric."""
        ...

    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        """Store what `fetch_inference_metrics` reads."""
        ...

    async def remove(self, ids: Iterable[str], /) -> None:
        """Forget the statistics of kernels, sessions or agents, and the counts of those agents; other ids are ignored."""
        ...

    async def aclose(self) -> None:
        """Close what the adapter itself opened; closing twice is allowed."""
        ...
