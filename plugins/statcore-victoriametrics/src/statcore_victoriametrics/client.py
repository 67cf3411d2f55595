"""A client of VictoriaMetrics: it answers queriers as Prometheus does; text in a query is MetricsQL."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, cast

import attrs

from statcore import InputError
from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.ports import ServerFacts
from statcore.promql import RATE_INTERVAL, Selector, check_points, utilization_query
from statcore.queriers import UtilizationMetricQuerier
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_victoriametrics.metricsql import RESOLUTION, metricsql_selector, metricsql_text

MAX_POINTS: Final = 30_000
"""The most points per series that the server answers by default: `-search.maxPointsPerTimeseries`."""

_DEFAULTS: Final = PrometheusOptions(max_points=MAX_POINTS)
_SCHEMES: Final = {"victoriametrics": "http", "victoriametrics+https": "https"}
# With its cache the server moves the ends of a range to its own grid, and moves an instant back by 30 seconds.
_NO_CACHE: Final = {"nocache": "1"}
# With this, no sample before the window of a rate counts. It does not shorten the window of gauges.
_NO_LOOKBACK: Final = {"max_lookback": "1ms"}
# At an instant the server's default step of subqueries is five minutes.
_SUBQUERY_STEP: Final = {"step": RESOLUTION}
# The server reads zero as "today".
_EARLIEST: Final = datetime.fromtimestamp(1, UTC)
_TENANT: Final = re.compile(r"[0-9]{1,10}(?::[0-9]{1,10})?")
_LARGEST: Final = 2**32 - 1
# It does not match /select/multitenant/prometheus, which reads all tenants.
_TENANT_PATH: Final = re.compile(rf"(/select/){_TENANT.pattern}(/prometheus)$")


def http_url(url: str) -> str:
    """Return `victoriametrics://…` as `http://…` and `victoriametrics+https://…` as `https://…`; any other as it is."""
    scheme, colon, rest = url.partition(":")
    return f"{_SCHEMES.get(scheme.lower(), scheme)}{colon}{rest}"


def _deny_partial(options: PrometheusOptions) -> dict[str, str]:
    """Return the parameter of a cluster that stands for the option `partial_response`, which is named after Thanos."""
    if options.dedup is not None:
        raise InputError("dedup is for Thanos; VictoriaMetrics merges replicas if started with -dedup.minScrapeInterval")
    if options.partial_response is None:
        return {}
    if "deny_partial_response" in options.parameters:
        raise InputError("partial_response is set, and deny_partial_response is among the parameters; set one of them")
    return {"deny_partial_response": str(int(not options.partial_response))}


def _any_time(time_range: tuple[datetime, datetime] | None) -> tuple[datetime, datetime]:
    return (_EARLIEST, datetime.now(UTC)) if time_range is None else time_range


class VictoriaMetricsClient:
    """Queries a VictoriaMetrics; implements `MetricQuerierPort`, `PromQLPort`, `TenantPort`.

    It answers queriers as Prometheus does, and splits long ranges into several requests. Text in `query` and `query_range`
    is MetricsQL. How far its selectors and windows look back depends on the start of the range, so a range query of text is
    never split. Queriers and text have separate pools of connections.

    Args:
        url: the server, such as `victoriametrics://127.0.0.1:8428`, or with TLS `victoriametrics+https://user:password@host`;
            the URL of a cluster ends with the path of the tenant, `/select/0/prometheus`.
        options: deadlines, retries, credentials, TLS and limits; `fallback_urls` may have the same schemes as `url`.
            With `partial_response=False` a cluster raises `UnavailableError` while a storage node is missing.

    Raises:
        InputError: a URL cannot be used, `dedup` is set, or the options' `parameters` hold `step`.
    """

    def __init__(self, url: str, *, options: PrometheusOptions = _DEFAULTS) -> None:
        """Check the arguments; nothing is opened before the first request."""
        if "step" in options.parameters:
            raise InputError("parameters must not hold step, which the client sets itself")
        self._normalization_interval_s = options.normalization_interval_s
        self._max_points = options.max_points

        own = {**_NO_CACHE, **_deny_partial(options)}

        def client(**parameters: str) -> PrometheusClient:
            fixed = attrs.evolve(
                options,
                partial_response=None,
                parameters={**options.parameters, **own, **parameters},
                fallback_urls=tuple(map(http_url, options.fallback_urls)),
            )
            return PrometheusClient(http_url(url), options=fixed)

        self._of_queriers = client(**_NO_LOOKBACK)
        self._of_text = client(**_SUBQUERY_STEP)

    @classmethod
    def from_settings(cls, url: str, settings: Mapping[str, Any]) -> Self:
        """Build a client from settings of `PrometheusOptions` by name; the default of `max_points` is 30,000.

        Raises:
            InputError: a URL or a setting cannot be used.
        """
        return cls(url, options=PrometheusOptions.from_settings({"max_points": MAX_POINTS, **settings}))

    def for_tenant(self, tenant: str, /) -> Self:
        """Return a client of another tenant of the cluster, over the same connections; closing this client closes it.

        Closing the returned client closes no connection.

        Args:
            tenant: the number of an account, or of an account and a project, such as `42` or `42:7`.

        Raises:
            InputError: the tenant has another form, or a URL of this client does not end with the path of a tenant.
        """
        is_tenant = isinstance(cast("object", tenant), str) and _TENANT.fullmatch(tenant)
        if not is_tenant or any(int(number) > _LARGEST for number in tenant.split(":")):
            raise InputError("tenant must be an account, or an account and a project, such as 42 or 42:7, below 2^32 each")

        def rewrite(path: str) -> str:
            path, count = _TENANT_PATH.subn(rf"\g<1>{tenant}\g<2>", path)
            if not count:
                raise InputError(f"url must end with the path of a tenant, such as /select/0/prometheus, not {path!r:.80}")
            return path

        view = copy.copy(self)
        view._of_queriers = self._of_queriers.at_base_path(rewrite)  # noqa: SLF001 - it is of this class
        view._of_text = self._of_text.at_base_path(rewrite)  # noqa: SLF001
        return view

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization at every point of the range; `PrometheusOptions` has the limits of a range."""
        return await self._of_queriers.query_range(self._metricsql(querier, rate_interval), time_range)

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        /,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the querier's utilization at `time` (aware), by default the server's now."""
        return await self._of_queriers.query(self._metricsql(querier, rate_interval), time=time)

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the server's now; a scalar is one sample without labels."""
        return await self._of_text.query(promql, time=time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range, in one request.

        Raises:
            InputError: the range has more than `max_points` points.
        """
        reason = f"max_points is {self._max_points}, and splitting the range may change values of MetricsQL"
        check_points(time_range, self._max_points, reason=reason)
        return await self._of_text.query_range(promql, time_range)

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the distinct values of a label, sorted, among the series that `match` selects, by default all.

        A time range is widened to whole days, in UTC; without a time range all stored series count.
        """
        match = None if match is None else metricsql_selector(match)
        return await self._of_text.label_values(label, match=match, time_range=_any_time(time_range))

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, `__name__` included, of the series that `match` selects.

        A time range is widened to whole days, in UTC; without a time range all stored series count.
        """
        return await self._of_text.series(metricsql_selector(match), time_range=_any_time(time_range))

    async def ping(self) -> None:
        """Return when the server has evaluated a query; raise the error of `query` otherwise."""
        await self._of_text.ping()

    async def diagnose(self) -> str | None:
        """Return what is wrong while a storage node of a cluster is missing, and what to do; None if none is missing."""
        return await self._of_text.find_missing_data()

    async def server_facts(self) -> Sequence[ServerFacts]:
        """Return clock, permissions and certificate of each server."""
        return await self._of_text.server_facts()

    async def aclose(self) -> None:
        """Close the connections; closing twice is allowed."""
        try:
            await self._of_queriers.aclose()
        finally:
            await self._of_text.aclose()

    def _metricsql(self, querier: UtilizationMetricQuerier, rate_interval: timedelta | str) -> str:
        return metricsql_text(
            utilization_query(querier, rate_interval=rate_interval, normalization_interval_s=self._normalization_interval_s)
        )
