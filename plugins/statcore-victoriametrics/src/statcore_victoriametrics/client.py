"""A client of VictoriaMetrics: queriers are answered as by Prometheus, text as the server itself reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import attrs

from statcore import InputError
from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.promql import RATE_INTERVAL, Selector, check_points, utilization_query
from statcore.queriers import UtilizationMetricQuerier
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_victoriametrics.metricsql import RESOLUTION, read_alike, select_alike

MAX_POINTS: Final = 30_000
"""Points per series that the server answers by default: `-search.maxPointsPerTimeseries`."""

_DEFAULTS: Final = PrometheusOptions(max_points=MAX_POINTS)
_SCHEMES: Final = {"victoriametrics": "http", "victoriametrics+https": "https"}
# With its cache the server moves the ends of a range onto its own grid, and an instant back by 30 seconds.
_UNMOVED: Final = {"nocache": "1"}
# No sample before the window of a rate counts. Gauges have a window of their own, which this does not shorten.
_WINDOWS_ALONE: Final = {"max_lookback": "1ms"}
# At an instant the server's default step of subqueries is five minutes.
_STEP_OF_INSTANTS: Final = {"step": RESOLUTION}
# The server reads zero as "today".
_BEGINNING: Final = datetime.fromtimestamp(1, UTC)


def http_url(url: str) -> str:
    """Return `victoriametrics://…` as `http://…` and `victoriametrics+https://…` as `https://…`; any other as it is."""
    scheme, colon, rest = url.partition(":")
    return f"{_SCHEMES.get(scheme.lower(), scheme)}{colon}{rest}"


def _any_time(time_range: tuple[datetime, datetime] | None) -> tuple[datetime, datetime]:
    return (_BEGINNING, datetime.now(UTC)) if time_range is None else time_range


class VictoriaMetricsClient:
    """Queries a VictoriaMetrics; implements `MetricQuerierPort` and `PromQLPort`.

    Queriers are answered as by Prometheus, over long ranges in several requests. Text is MetricsQL, as the server reads it:
    how far selectors and windows look back depends on where the range begins, so a range of text is never split. Queriers
    and text have a pool of connections each.

    Args:
        url: the server, such as `victoriametrics://127.0.0.1:8428`, or with TLS `victoriametrics+https://user:password@host`;
            of a cluster with the path of its tenant, `/select/0/prometheus`.
        options: everything else; `fallback_urls` may have the same schemes.

    Raises:
        InputError: a URL cannot be used, or `step` is among the parameters.
    """

    def __init__(self, url: str, *, options: PrometheusOptions = _DEFAULTS) -> None:
        """Check the arguments; nothing is opened before the first request."""
        if "step" in options.parameters:
            raise InputError("parameters must not hold step, which the client sets itself")
        self._normalization_interval_s = options.normalization_interval_s
        self._max_points = options.max_points

        def client(**parameters: str) -> PrometheusClient:
            fixed = attrs.evolve(
                options,
                parameters={**options.parameters, **_UNMOVED, **parameters},
                fallback_urls=tuple(map(http_url, options.fallback_urls)),
            )
            return PrometheusClient(http_url(url), options=fixed)

        self._of_queriers = client(**_WINDOWS_ALONE)
        self._of_text = client(**_STEP_OF_INSTANTS)

    @classmethod
    def from_settings(cls, url: str, settings: Mapping[str, Any]) -> Self:
        """Build a client from the settings of `PrometheusOptions` by name, `max_points` being 30,000 unless it is set.

        Raises:
            InputError: a URL or a setting that cannot be used.
        """
        return cls(url, options=PrometheusOptions.from_settings({"max_points": MAX_POINTS, **settings}))

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization at every point of the range; the bounds are those of `PrometheusOptions`."""
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
        match = None if match is None else select_alike(match)
        return await self._of_text.label_values(label, match=match, time_range=_any_time(time_range))

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, `__name__` included, of the series that `match` selects.

        A time range is widened to whole days, in UTC; without a time range all stored series count.
        """
        return await self._of_text.series(select_alike(match), time_range=_any_time(time_range))

    async def ping(self) -> None:
        """Return when the server evaluates a query; raise as a query would when it does not."""
        await self._of_text.ping()

    async def aclose(self) -> None:
        """Close the connections; closing twice is allowed."""
        try:
            await self._of_queriers.aclose()
        finally:
            await self._of_text.aclose()

    def _metricsql(self, querier: UtilizationMetricQuerier, rate_interval: timedelta | str) -> str:
        return read_alike(
            utilization_query(querier, rate_interval=rate_interval, normalization_interval_s=self._normalization_interval_s)
        )
