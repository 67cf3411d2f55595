"""Ports of metric backends that evaluate PromQL, or tell the text of their queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, cast, runtime_checkable

from statcore.errors import UnsupportedError
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.interface import UtilizationMetricQuerier


@runtime_checkable
class PromQLPort(Protocol):
    """A backend that evaluates PromQL. Errors are those of `MetricQuerierPort`.

    A backend that evaluates only a part of the language raises `UnsupportedError`, which names the part that it lacks.
    """

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the backend's now; a scalar is one sample without labels."""
        ...

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range; `InputError` if the backend allows fewer points.

        A backend may evaluate a long range in parts if every value is the same as over the whole range. It raises
        `UnsupportedError` for a query with which that is not possible.
        """
        ...


@runtime_checkable
class UtilizationTextPort(Protocol):
    """A metric backend that tells which query it sends for a querier. A backend need not implement it."""

    def utilization_text(
        self, querier: UtilizationMetricQuerier, /, *, rate_interval: timedelta | str = RATE_INTERVAL
    ) -> str | None:
        """Return the text of the query by which `query_utilization` answers; None if the backend of a wrapper has none.

        Raises:
            InputError: the querier, or the interval, cannot be used.
            PluginError: the querier breaks its contract.
            UnsupportedError: the backend refuses the querier.
        """
        ...


def utilization_text_of(
    backend: object, querier: UtilizationMetricQuerier, *, rate_interval: timedelta | str = RATE_INTERVAL
) -> str | None:
    """Return the text of the query by which a backend answers a querier; None if it is no `UtilizationTextPort`.

    Raises:
        StatcoreError: as `UtilizationTextPort` says.
    """
    # A wrapper may delegate with `__getattr__`, which `isinstance` sees in some Python versions only.
    if not hasattr(backend, "utilization_text"):
        return None
    return cast("UtilizationTextPort", backend).utilization_text(querier, rate_interval=rate_interval)


def as_promql(backend: object, *, reason: str) -> PromQLPort:
    """Return a backend as one that evaluates PromQL.

    Args:
        backend: a metric backend.
        reason: why it is needed, for the message.

    Raises:
        UnsupportedError: the backend does not evaluate PromQL.
    """
    # A wrapper may delegate with `__getattr__`, which `isinstance` sees in some Python versions only.
    if hasattr(backend, "query") and hasattr(backend, "query_range"):
        return cast("PromQLPort", backend)
    name = backend.__class__.__name__  # type() of a wrapper would be the wrapper
    raise UnsupportedError(f"{reason}, for which the metric backend must evaluate PromQL; {name} does not")
