"""The client: utilization, PromQL, labels and series from a Prometheus, or from a server with its HTTP API."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Self, TypeVar

import aiohttp
import attrs

from statcore.concurrency import Deadline, map_concurrently, run_concurrently
from statcore.errors import (
    AccessDeniedError,
    PartialAnswerError,
    ProtocolError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
)
from statcore.model.results import AnswerNotes, MatrixResult, VectorResult, check_part, join_parts
from statcore.model.time import MILLISECOND, QueryTimeRange, unix_ms
from statcore.ports.diagnosis import ServerFacts
from statcore.promql.range_splitting import fix_range, split_range
from statcore.promql.syntax import Selector
from statcore.promql.utilization import RATE_INTERVAL, utilization_text
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.queriers.interface import UtilizationMetricQuerier
from statcore_connection.error_boundary import only_our_errors
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.requests import (
    NO_SUCH_METRIC,
    Request,
    build_info_request,
    check_query,
    is_classic_name,
    label_values_request,
    labelled_series_request,
    query_request,
    range_request,
    series_request,
)
from statcore_prometheus.server import Server
from statcore_prometheus.transport import Transport
from statcore_prometheus.wire import (
    Listing,
    MatrixReader,
    NotListedError,
    Reader,
    VectorReader,
    build_info_reader,
    label_values_reader,
    series_reader,
)

_logger: Final = logging.getLogger(__name__)
_DEFAULTS: Final = PrometheusOptions()
_OF_EVERY_STORE: Final = f"absent({NO_SUCH_METRIC})"
_FACTS_S: Final = 5.0
"""How long each server is waited for at most; `statcore doctor` has a deadline for all of them."""
_MINUTE: Final = timedelta(minutes=1)
_START_IT: Final = "start the server or store that is missing"

_Answer = TypeVar("_Answer", bound=AnswerNotes)
_T = TypeVar("_T")


class PrometheusClient:
    """A client of a Prometheus, or of an HA pair of them; implements `MetricQuerierPort`, `PromQLPort`, `TenantPort`.

    Close it with `aclose`. It belongs to the event loop of its first request. Each method has one deadline, within which it
    retries where another attempt may succeed. Each method may raise:

    - `InputError`: an argument cannot be sent.
    - `PluginError`: a querier breaks its contract.
    - `QueryRejectedError`: the server refuses the query.
    - `UnsupportedError`: the result is not made of floats.
    - `UnavailableError`, `TimedOutError`: no server can be reached, or none answers before the deadline.
    - `AccessDeniedError`: a credential is missing or refused.
    - `PartialAnswerError`: a list is partial; in strict mode, any answer is partial or has warnings.
    - `ProtocolError`: the answer is not one of the Prometheus HTTP API, or an unexpected error occurred.
    - `ClosedError`: the client is closed, or another event loop is running than at the first request.

    Args:
        url: the server, such as `http://127.0.0.1:9090` or `https://user:password@host/prometheus`, with or without
            `/api/v1` at its end.
        options: deadlines, retries, credentials, TLS and limits.
        session: the host's session, or a function that returns a session for each request if the host's pool closes
            sessions by itself; the client never closes the host's sessions. By default the client opens its own session.

    Raises:
        InputError: a URL, an option or a session cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        options: PrometheusOptions = _DEFAULTS,
        session: aiohttp.ClientSession | Callable[[], aiohttp.ClientSession] | None = None,
    ) -> None:
        """Check the arguments; nothing is opened before the first request."""
        servers = [Server.from_url(url, options=options)]
        servers += [Server.from_url(other, options=options, setting="fallback_urls") for other in options.fallback_urls]
        self._options = options
        self._transport = Transport(servers, options, session)

    def for_tenant(self, tenant: str, /) -> Self:
        """Return a client that sends the tenant's name in the header `tenant_header` of every request.

        It shares the options, the connections, and what is known of an HA pair. Closing this client ends it as well;
        closing it ends it alone. Making one is cheap: a host may make one for each request.

        Args:
            tenant: the name of one tenant of Mimir, Cortex or Thanos. Names of several, such as `a|b`, are refused, since a
                name often comes from a user; a trusted one may be in the option `headers`.

        Raises:
            InputError: the name cannot be that of one tenant.
        """
        return self._view(lambda server: server.for_tenant(self._options.tenant_header, tenant))

    def at_base_path(self, rewrite: Callable[[str], str], /) -> Self:
        """Return a client of another base path on the same servers; it shares what a tenant's client shares.

        Args:
            rewrite: returns the new base path of a server, percent-encoded, for the present one, such as `/prometheus`.

        Raises:
            InputError: the result cannot be the path of a URL.
        """
        return self._view(lambda server: server.at_path(rewrite))

    @only_our_errors
    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization at every point of the range, which has the same limits as in `query_range`."""
        return await self._range(self.utilization_text(querier, rate_interval=rate_interval), self._parts(time_range))

    @only_our_errors
    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the querier's utilization at `time` (aware), by default the server's now."""
        return await self._fetch(
            query_request(self.utilization_text(querier, rate_interval=rate_interval), time), VectorReader
        )

    def utilization_text(
        self, querier: UtilizationMetricQuerier, /, *, rate_interval: timedelta | str = RATE_INTERVAL
    ) -> str:
        """Return the PromQL that is sent for a querier."""
        return utilization_text(
            querier,
            rate_interval=rate_interval,
            normalization_interval_s=self._options.normalization_interval_s,
        )

    @only_our_errors
    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at `time` (aware), by default the server's now; a scalar is one sample without labels."""
        return await self._fetch(query_request(check_query(promql), time), VectorReader)

    @only_our_errors
    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of the range, in several requests where it has more than `max_points`.

        Raises:
            InputError: the range has more points, or takes more requests, than the options allow.
            UnsupportedError: the range takes several requests, but the query needs the whole range in one request.
        """
        promql, parts = check_query(promql), self._parts(time_range)
        if len(parts) > 1:  # the expression of a querier means the same in every part
            promql = fix_range(promql, time_range, max_points=self._options.max_points)
        return await self._range(promql, parts)

    @only_our_errors
    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the distinct values of a label, sorted, among the series that `match` selects, by default all."""
        request = label_values_request(label, match, time_range)
        async with self._transport.deadline() as deadline:
            try:
                values = await self._list(request, label_values_reader, deadline)
                if not values and not is_classic_name(label):
                    # A server that does not know the escaping finds nothing. With the plain name it finds or refuses it.
                    plain = label_values_request(label, match, time_range, is_escaped=False)
                    values = await self._list(plain, label_values_reader, deadline)
            except NotListedError:
                request = labelled_series_request(label, match, time_range)
                label_sets = await self._list(request, series_reader, deadline)
                values = [labels[label] for labels in label_sets if label in labels]
        return sorted(set(values))

    @only_our_errors
    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, `__name__` included, of the series that `match` selects."""
        request = series_request(match, time_range)
        async with self._transport.deadline() as deadline:
            return await self._list(request, series_reader, deadline)

    @only_our_errors
    async def query_available_container_metrics(self) -> list[str]:
        """Return the names of the container metrics that the server has, sorted."""
        return list(await self.label_values(CONTAINER_METRIC_LABEL, match=Selector(CONTAINER_SERIES)))

    @only_our_errors
    async def ping(self) -> None:
        """Return when the server has evaluated a query; raise the error of `query` otherwise."""
        await self.query("1")

    @only_our_errors
    async def diagnose(self) -> str | None:
        """Return what is wrong although the server answers, and what to do; None where nothing is wrong."""
        build = await self._build_information()
        if build is not None and _is_victoriametrics(build):
            return (
                "this is a VictoriaMetrics, which computes other rates than Prometheus; install its plugin, and write "
                "victoriametrics:// in place of http://, or victoriametrics+https:// in place of https://"
            )
        return await self.find_missing_data()

    @only_our_errors
    async def find_missing_data(self) -> str | None:
        """Return in one line what a distributed engine now lacks, and what to do; None if nothing is missing."""
        try:
            answer: AnswerNotes = await self.query(_OF_EVERY_STORE)
        except PartialAnswerError as error:
            answer = AnswerNotes(warnings=error.warnings, partial=True)
        except StatcoreError as error:
            # With partial_response=False a missing store fails every query of stored data. A refusal is no sign of one.
            return f"queries of stored data fail: {error}; {_START_IT}" if error.retryable else None
        if not answer.partial:
            return None
        return f"answers lack data: {'; '.join(answer.warnings) or 'the server says so'}; {_START_IT}"

    @only_our_errors
    async def server_facts(self) -> Sequence[ServerFacts]:
        """Return version, clock, permissions and certificate of each server of an HA pair, or of the only server."""
        views = [self._with(transport) for transport in self._transport.each()]
        return await run_concurrently(view._facts(is_one=len(views) == 1) for view in views)  # noqa: SLF001 - of this class

    @only_our_errors
    async def aclose(self) -> None:
        """Close the connections, unless they belong to a session that was handed in; closing twice is allowed.

        Raises:
            ClosedError: the client belongs to another event loop, which is not closed.
        """
        await self._transport.aclose()

    def _view(self, change: Callable[[Server], Server]) -> Self:
        return self._with(self._transport.view(change))

    def _with(self, transport: Transport) -> Self:
        view = copy.copy(self)
        view._transport = transport  # noqa: SLF001 - it is of this class
        return view

    async def _facts(self, *, is_one: bool) -> ServerFacts:
        """Return what is known of the only server of this client."""
        address = "" if is_one else self._transport.service
        try:
            async with Deadline(_FACTS_S, waiting_for=f"an answer from {self._transport.service}"):
                await self.ping()  # afterwards there is a connection, whose making would count as a part of the answer
                build = await self._build_information()
                # VictoriaMetrics evaluates what lacks a time 30 seconds in the past.
                clock = "now()" if build is not None and _is_victoriametrics(build) else "time()"
                before_s = time.time()
                answer = await self.query(clock)
                after_s = time.time()
        except StatcoreError as error:
            return ServerFacts(address=address, fault=str(error))
        return ServerFacts(
            address=address,
            program=None if build is None else _program(build),
            clock_offset_s=next((sample.value - (before_s + after_s) / 2 for sample in answer.samples), None),
            clock_error_s=(after_s - before_s) / 2,
            reads=await self._reads(),
            certificate_expires_s=await self._transport.certificate_expires_s(),
        )

    async def _reads(self) -> Mapping[str, bool | None]:
        """Return the endpoints that reading needs, and whether the server, or a proxy in front of it, allows each."""
        now, nothing = datetime.now(UTC), Selector(NO_SUCH_METRIC)
        requests = {
            "query_range": self.query_range(nothing.text, QueryTimeRange(start=now - _MINUTE, end=now, step=_MINUTE)),
            "series": self.series(nothing),
            "label values": self.label_values("__name__", match=nothing),
        }
        return dict(zip(requests, await run_concurrently(map(_is_allowed, requests.values())), strict=True))

    async def _build_information(self) -> Mapping[str, object] | None:
        """Return the server's facts about its program; None if it, or a proxy in front of it, refuses the request."""
        try:
            return dict((await self._fetch(build_info_request(), build_info_reader)).items)
        except StatcoreError:
            return None

    def _parts(self, time_range: QueryTimeRange) -> Sequence[QueryTimeRange]:
        options = self._options
        return split_range(
            time_range,
            max_points=options.max_points,
            max_range_points=options.max_range_points,
            max_range_requests=options.max_range_requests,
        )

    async def _range(self, promql: str, parts: Sequence[QueryTimeRange]) -> MatrixResult:
        requests = [range_request(promql, part) for part in parts]
        if len(requests) == 1:
            return _with_note_of_grid(await self._fetch(requests[0], MatrixReader), parts[0])
        async with self._transport.deadline() as deadline:

            async def fetch_part(request: Request) -> MatrixResult:
                return check_part(await self._transport.fetch(request, MatrixReader, deadline=deadline))

            answers = await map_concurrently(requests, fetch_part)
        return _with_note_of_grid(join_parts(answers), parts[0])

    async def _fetch(self, request: Request, new_reader: Callable[[], Reader[_Answer]]) -> _Answer:
        async with self._transport.deadline() as deadline:
            return await self._transport.fetch(request, new_reader, deadline=deadline)

    async def _list(self, request: Request, new_reader: Callable[[], Reader[Listing[_T]]], deadline: Deadline) -> list[_T]:
        listing = await self._transport.fetch(request, new_reader, deadline=deadline)
        if listing.warnings:  # callers get a plain list, which has no place for them
            _logger.warning("%s: %s", request.subject, "; ".join(listing.warnings))
        return listing.items


def _is_victoriametrics(build: Mapping[str, object]) -> bool:
    # Other servers give at least the revision or the version of Go as well.
    return build.keys() <= {"version"}


def _program(build: Mapping[str, object]) -> str:
    if _is_victoriametrics(build):
        return "VictoriaMetrics"  # the version is that of a Prometheus with the same API
    return f"{build.get('application') or 'Prometheus API'} {build.get('version') or ''}".rstrip()


async def _is_allowed(answer: Awaitable[object]) -> bool | None:
    """Return whether a request is allowed, None if the server does not say so.

    A proxy answers 404 to a request that it does not pass on.
    """
    try:
        async with Deadline(_FACTS_S, waiting_for="an answer"):
            await answer
    except (AccessDeniedError, ProtocolError):
        return False
    except (UnavailableError, TimedOutError):
        return None
    except StatcoreError:  # the server has read the request
        return True
    return True


def _with_note_of_grid(answer: MatrixResult, first_part: QueryTimeRange) -> MatrixResult:
    """Return the answer, with an info if its points are not those of the range; a server moves the points of all series."""
    time = next((series.timestamps[0] for series in answer.series if series.timestamps), None)
    if time is None:
        return answer
    step_ms = first_part.step // MILLISECOND
    moved_ms = (time * 1000 - unix_ms(first_part.start)) % step_ms
    if min(moved_ms, step_ms - moved_ms) < 1:  # a float of a time is not exact
        return answer
    note = (
        "the server moved the points of the range to multiples of the step, as query frontends do with "
        "align_queries_with_step; a range that starts at such a multiple is not moved"
    )
    return attrs.evolve(answer, infos=(*answer.infos, note))
