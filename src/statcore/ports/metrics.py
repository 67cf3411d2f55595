"""Ports of metric backends: utilization by querier, label values and series; texts of queries; the data of tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.ports.capabilities import as_port
from statcore.promql.syntax import Selector
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.interface import UtilizationMetricQuerier


@runtime_checkable
class MetricQuerierPort(Protocol):
    """A backend that holds the history of metrics and answers any querier.

    Bad input raises `InputError` and a querier that breaks its contract `PluginError`, both before anything is sent; a
    refused query raises `QueryRejectedError`, a backend that cannot be reached `UnavailableError`, one that takes longer
    than the adapter's deadline `TimedOutError`, one that answers nonsense `ProtocolError`. No series is an answer
    without series, not an error. An answer that lacks data says that it is partial; a list has no place to say it, so a
    list that lacks data raises `PartialAnswerError`.
    """

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization at every point of the range; `InputError` if the backend allows fewer points."""
        ...

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        /,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the querier's utilization at `time` (aware), by default the backend's now."""
        ...

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the distinct values of a label, sorted, among the series that `match` selects, by default all."""
        ...

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, `__name__` included, of the series that `match` selects."""
        ...

    async def ping(self) -> None:
        """Return when the backend answers; raise as a query would when it does not."""
        ...

    async def aclose(self) -> None:
        """Close what the adapter itself opened; closing twice is allowed."""
        ...


@runtime_checkable
class TenantPort(Protocol):
    """A backend of an engine that keeps the data of tenants apart. A backend need not implement it."""

    def for_tenant(self, tenant: str, /) -> MetricQuerierPort:
        """Return a backend that reads the data of one tenant, over the same connections.

        Closing the backend closes it, too; closing it closes no connection. Making one is cheap: a host may make one for
        each request.

        Raises:
            InputError: the name cannot be that of one tenant.
        """
        ...


@runtime_checkable
class UtilizationTextPort(Protocol):
    """A backend that shows the query that it sends for a querier. A backend need not implement it."""

    def utilization_text(
        self, querier: UtilizationMetricQuerier, /, *, rate_interval: timedelta | str = RATE_INTERVAL
    ) -> str | None:
        """Return the text of the query by which `query_utilization` answers, in the backend's own language.

        A wrapper of another backend returns None if that backend does not implement the port.

        Raises:
            InputError: the querier, or the interval, cannot be used.
            PluginError: the querier breaks its contract.
            UnsupportedError: the backend refuses the querier.
        """
        ...


def utilization_text_of(
    backend: object, querier: UtilizationMetricQuerier, *, rate_interval: timedelta | str = RATE_INTERVAL
) -> str | None:
    """Return the text of the query by which a backend answers a querier; None if the backend does not implement the port.

    Raises:
        InputError: the querier, or the interval, cannot be used.
        PluginError: the querier breaks its contract.
        UnsupportedError: the backend refuses the querier.
    """
    writer = as_port(backend, UtilizationTextPort)
    return None if writer is None else writer.utilization_text(querier, rate_interval=rate_interval)
