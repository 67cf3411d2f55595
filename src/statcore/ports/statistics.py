"""Ports of stores that live statistics are read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.ports.capabilities import as_port


@runtime_checkable
class KernelStatisticsPort(Protocol):
    """A source of the newest statistics of kernels: a part of `StatisticsPort`, with the same promises."""

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: MetricValue map}` of kernels, or of sessions where they are stored alike."""
        ...


@runtime_checkable
class ColumnarStatisticsPort(Protocol):
    """A store that reads columns faster than from entries. A `StatisticsPort` need not implement it."""

    async def fetch_kernel_columns(self, ids: Sequence[str], fields: Sequence[str], /) -> StatisticsColumns:
        """Fetch what `StatisticsBatch.columns` returns for the entries of `fetch_kernel_statistics`."""
        ...


@runtime_checkable
class DatedStatisticsPort(Protocol):
    """A store that can return ages of entries without a freshness bound. A `StatisticsPort` need not implement it."""

    def with_ages(self) -> KernelStatisticsPort:
        """Return a reader of the same store whose batches have `ages_s`; an entry of unknown age is *undated*."""
        ...


def reader_with_ages(store: KernelStatisticsPort) -> KernelStatisticsPort | None:
    """Return a reader of a store whose batches have `ages_s`; None if the store is not a `DatedStatisticsPort`."""
    dated = as_port(store, DatedStatisticsPort)
    return None if dated is None else dated.with_ages()


@runtime_checkable
class StatisticsPort(KernelStatisticsPort, Protocol):
    """A store of the newest statistics.

    Every `fetch_…` takes any number of ids in canonical text, duplicates included, and returns one entry per id in the
    same order. None without a problem means that the store has nothing. One bad entry is a problem at its position and
    never takes others with it; a store that cannot be reached at all raises `UnavailableError`, one that takes longer
    than the adapter's deadline `TimedOutError`. No ids: an empty batch, and nothing is sent. No other exception leaves
    an adapter, except `asyncio.CancelledError`, which always does.

    A store that knows when an entry was written says so in `ages_s`. With a freshness bound, an entry that is older is
    *stale*, and an entry whose age is unknown is *undated*.
    """

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"requests": int, "last_response_ms": int}` of sessions.

        An entry of which one or both halves are missing or unreadable is zeros in *both*, with the problem *incomplete*.
        """
        ...

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of inference endpoints."""
        ...

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of (endpoint id, replica id) pairs."""
        ...

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"node": {metric: MetricValue map}, "devices": {metric: {device id: MetricValue map}}}` of agents."""
        ...

    async def ping(self) -> None:
        """Return when the store answers; raise as a fetch would when it does not."""
        ...

    async def aclose(self) -> None:
        """Close what the adapter itself opened; closing twice is allowed."""
        ...
