"""Asking with PromQL text."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from statcore.model.matrix import MatrixResult
from statcore.model.time_range import QueryTimeRange
from statcore.model.vector import VectorResult


@runtime_checkable
class PromQLPort(Protocol):
    """A backend that evaluates PromQL; the memory adapter is none. Errors are those of `MetricQuerierPort`."""

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the backend's now; a scalar is one sample without labels."""
        ...

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range, however many points that are."""
        ...
