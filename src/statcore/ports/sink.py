"""Ports that a collector writes to: stores of live statistics, and inventories and metric backends in the same process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias, runtime_checkable

from statcore.model.inventory import KernelRecord
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

        They expire after four collection intervals, but not before a second has passed.
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


@runtime_checkable
class InventorySinkPort(Protocol):
    """An inventory with which a collector registers the kernels that it runs; sessions and agents follow from these."""

    def register_kernel(self, kernel: KernelRecord, /) -> None:
        """Add a kernel, or replace what is known of it.

        Raises:
            InputError: an id is not a UUID; nothing is changed.
        """
        ...

    def forget_kernel(self, kernel_id: str, /) -> None:
        """Remove a kernel; an unknown kernel is ignored."""
        ...


ScrapeSample: TypeAlias = tuple[str, Mapping[str, str], float]
"""Name of the series, its other labels, value."""


@runtime_checkable
class ScrapeSinkPort(Protocol):
    """A metric backend that is given samples which a server would scrape over HTTP."""

    def append_scrape(self, samples: Iterable[ScrapeSample], /, *, target: str, time: datetime | float) -> None:
        """Add one scrape of one target at `time`, aware or in unix seconds.

        Series that the target's previous scrape had and this one has not end at `time`.

        Raises:
            InputError: the scrape cannot be stored; no part of it is.
        """
        ...
