"""Asking with PromQL text."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, cast, runtime_checkable

from statcore.errors import UnsupportedError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange


@runtime_checkable
class PromQLPort(Protocol):
    """A backend that evaluates PromQL. Errors are those of `MetricQuerierPort`.

    A backend that evaluates only a part of the language raises `UnsupportedError`, which names what is beyond it.
    """

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the backend's now; a scalar is one sample without labels."""
        ...

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range; `InputError` where the backend allows fewer points.

        Where a backend evaluates a long range in parts, no value is another than over the whole; `UnsupportedError` where
        a query does not allow that.
        """
        ...


def as_promql(backend: object, *, wanted_by: str) -> PromQLPort:
    """Return a backend as one that evaluates PromQL.

    Args:
        backend: a metric backend.
        wanted_by: what needs it, for the message.

    Raises:
        UnsupportedError: it evaluates none.
    """
    # A wrapper may well delegate with `__getattr__`, which `isinstance` sees in some Python versions and not in others.
    if hasattr(backend, "query") and hasattr(backend, "query_range"):
        return cast("PromQLPort", backend)
    name = backend.__class__.__name__  # not `type`, which of a wrapper is the wrapper's
    raise UnsupportedError(f"{wanted_by}, for which the metric backend must evaluate PromQL; {name} does not")
