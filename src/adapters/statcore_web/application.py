"""The routes of the service, mounted in an aiohttp application: GraphQL, the page, health and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import timedelta
from time import monotonic, perf_counter
from typing import Final, TypeAlias

import attrs
from aiohttp import web

from statcore.concurrency import Deadline
from statcore.errors import InputError, TimedOutError, UnsupportedError
from statcore.plugins import PluginRegistry, Preset
from statcore.promql import RATE_INTERVAL
from statcore.runtime import Runtime
from statcore.scopes import Scope, confine
from statcore.services import HealthReport, check_health
from statcore.services.health import Pingable
from statcore_connection.tracing import trace_id
from statcore_graphql import DataLoaderManager, GraphQueryContext
from statcore_graphql.schema import Query, build_schema, encode_response
from statcore_web.admission import Admission, AdmissionRows, LocalRows
from statcore_web.browsers import BrowserRules
from statcore_web.graphql_view import GraphQLView
from statcore_web.limits import Limits, request_ends_with
from statcore_web.logs import request_context
from statcore_web.observation import METRICS_CONTENT_TYPE, Observation
from statcore_web.page import Page
from statcore_web.refusal import RefusedError
from statcore_web.tokens import Tokens

_logger: Final = logging.getLogger("statcore_web")
_TOKEN: Final = web.RequestKey("statcore_token", str)
"""The name of the caller's token, for logs and metrics."""
_NO_STORE: Final = {"Cache-Control": "no-store"}
_READINESS_S: Final = 1.0
"""How long an answer about readiness holds."""
_Answer: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]
_Answers: TypeAlias = Mapping[str, _Answer]
"""What answers the requests of a route, by their method."""


def attach(  # noqa: PLR0913 - a host sets few of the options, each by its name
    app: web.Application,
    runtime: Runtime,
    plugins: PluginRegistry,
    *,
    tokens: Tokens | None = None,
    limits: Limits | None = None,
    presets: Mapping[str, Preset] | None = None,
    rate_interval: timedelta | str = RATE_INTERVAL,
    query: type = Query,
    prefix: str = "",
    observation: Observation | None = None,
    admission_rows: AdmissionRows | None = None,
    browsers: BrowserRules | None = None,
) -> None:
    """Add the routes to an application that is not started yet.

    The routes are `/` (the page), `/graphql`, `/explorer`, `/static`, `/healthz`, `/readyz` and `/metrics`. Only `/graphql`
    needs a token. If the page is not built, `/`, `/explorer` and `/static` answer 503, and the log says how to build it.

    Args:
        app: the host's application.
        runtime: the open ports, which the host closes. A host with an inventory of its own puts it in place of the
            runtime's: `attrs.evolve(runtime, inventory=…)`.
        plugins: the registry of the kinds of querier.
        tokens: who may see what; without it every caller sees everything.
        limits: the limits of requests, by default `Limits()`.
        presets: the presets by name; by default the presets of the plugins.
        rate_interval: the window that rates are taken over, a duration such as "5m".
        query: the schema's `Query`, or the host's subclass of it with more fields.
        prefix: begins the paths of the routes, such as "/statistics". Without it, the page is at `/` of the host.
        observation: where requests and calls of ports are counted; by default in metrics of this application alone.
        admission_rows: where the running requests and rates of tokens are counted; by default in this process alone.
        browsers: what pages of browsers may do; by default no page of another origin may read answers.

    Raises:
        InputError: the prefix does not begin with a slash, or ends with one.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise InputError(f"prefix must begin with a slash and not end with one, such as /statistics, not {prefix!r:.100}")
    limits, observation, browsers = limits or Limits(), observation or Observation(), browsers or BrowserRules()
    trace_id()  # imports OpenTelemetry now: that takes longer than any turn of the event loop should
    loaders = DataLoaderManager()
    observed = observation.observed(runtime)
    for token in () if tokens is None else tokens.current():
        try:
            confine(runtime, token.scope)
        except UnsupportedError as error:
            _logger.warning("every request of token %s will be refused: %s", token.name, error)
    shown_limits = attrs.asdict(limits)
    chosen_presets = plugins.presets if presets is None else presets

    def new_context(scope: Scope) -> GraphQueryContext:
        ports = confine(observed, scope)
        return GraphQueryContext(
            statistics_repository=ports.repository,
            inventory=ports.inventory,
            metrics=ports.metrics,
            plugins=plugins,
            dataloader_manager=loaders,
            rate_interval=rate_interval,
            presets=chosen_presets,
            encoded=True,
            max_ids=limits.ids,
            max_points=limits.points,
            limits=shown_limits,
        )

    schema = build_schema(
        loaders, query=query, max_depth=limits.depth, max_aliases=limits.aliases, max_tokens=limits.tokens
    )
    service = _Service(
        view=GraphQLView(schema=schema, new_context=new_context, limits=limits, observation=observation),
        readiness=Readiness({"statistics": observed.statistics, "metrics": observed.metrics}),
        tokens=tokens,
        limits=limits,
        admission=Admission(limits.concurrent_requests, admission_rows or LocalRows()),
        observation=observation,
        browsers=browsers,
    )
    page = Page()
    routes: dict[str, _Answer] = {
        "/": page.index,
        "/graphql": service.graphql,
        "/explorer": page.explorer,
        "/static/{name}": page.file,
        "/healthz": service.healthz,
        "/readyz": service.readyz,
        "/metrics": service.metrics,
    }
    if prefix:
        routes[""] = page.index
    for path, answer in routes.items():
        answers = {"GET": answer, "HEAD": answer}
        if path == "/graphql":
            answers["POST"] = answer
            if browsers.origins:
                answers["OPTIONS"] = browsers.preflight
        app.router.add_route("*", f"{prefix}{path}", service.endpoint(path or "/", answers))
    app.cleanup_ctx.append(service.while_running)


@attrs.define(eq=False)
class Readiness:
    """Checks whether ports answer. Requests that come while a check runs, or within a second after it, share its answer.

    They need no token. Without sharing, each would send a ping to the store and the metric backend.

    Args:
        ports: the ports by name.
        clock: returns seconds that never go back.
    """

    ports: Mapping[str, Pingable]
    clock: Callable[[], float] = monotonic
    _checking: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _newest: tuple[float, HealthReport] | None = attrs.field(default=None, init=False)

    async def report(self) -> HealthReport:
        """Return which ports answer, and log which do not."""
        async with self._checking:
            if self._newest is not None and self.clock() - self._newest[0] < _READINESS_S:
                return self._newest[1]
            report = await check_health(self.ports)
            self._newest = self.clock(), report
        for name, error in report.errors.items():
            if error is not None:
                _logger.warning("%s is not ready: %s", name, error)
        return report


@attrs.frozen(kw_only=True, eq=False)
class _Service:
    """What the routes share."""

    view: GraphQLView
    readiness: Readiness
    tokens: Tokens | None
    limits: Limits
    admission: Admission
    observation: Observation
    browsers: BrowserRules

    async def while_running(self, _: web.Application) -> AsyncGenerator[None]:
        """Measure the lag of the event loop until the application ends."""
        async with self.observation.watching_loop():
            yield

    def endpoint(self, route: str, answers: _Answers) -> _Answer:
        """Return a handler that logs and counts requests, and answers each error in JSON."""

        async def handle(request: web.Request) -> web.Response:
            start = perf_counter()
            with request_context(request.headers) as request_id, self.observation.request(request.transport):
                response = await self._answer_safely(request, answers)
                response.headers["X-Request-Id"] = request_id
                response.headers["X-Content-Type-Options"] = "nosniff"
                self.browsers.allow(request, response)
                duration_s = perf_counter() - start
                token = request.get(_TOKEN, "")
                self.observation.answered(route=route, status=response.status, token=token, duration_s=duration_s)
                values = {"duration_s": round(duration_s, 6), "token": token or None}
                _logger.info("%s %s: %d", request.method, route, response.status, extra=values)
                return response

        return handle

    async def graphql(self, request: web.Request) -> web.Response:
        """Answer a GraphQL request of a caller who may make it."""
        token = None if self.tokens is None else self.tokens.find(request.headers.get("Authorization"))
        if token is not None:
            request[_TOKEN] = token.name
        with self.admission.admit(token):
            scope = Scope.everything() if token is None else token.scope
            try:
                async with Deadline(self.limits.request_s, waiting_for="the answer to a request") as deadline:
                    with request_ends_with(deadline):
                        return await self.view.answer(request, scope)
            except TimedOutError:
                message = f"the request took longer than {self.limits.request_s:g} s; query less at a time"
                raise RefusedError(504, "TimedOutError", message, limit="request_s") from None

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer that the process is alive."""
        return _json({"alive": True})

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer which ports answer; errors are named by their class, since their texts have addresses."""
        report = await self.readiness.report()
        ports = {
            name: {"healthy": error is None, "error": None if error is None else type(error).__name__}
            for name, error in report.errors.items()
        }
        return _json({"healthy": report.healthy, "ports": ports}, status=report.http_status)

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer the metrics of this process."""
        return web.Response(body=self.observation.exposition(), headers={"Content-Type": METRICS_CONTENT_TYPE, **_NO_STORE})

    async def _answer_safely(self, request: web.Request, answers: _Answers) -> web.Response:
        try:
            self.browsers.check_host(request)
            return await _answer_to(request, answers)(request)
        except RefusedError as error:
            refused = error
            if error.limit is not None:
                self.observation.limit_exceeded(error.limit)
        except UnsupportedError as error:  # the ports cannot be confined to the token's scope
            _logger.warning("%s", error, extra={"token": request.get(_TOKEN)})
            refused = RefusedError(error.http_status, "UnsupportedError", str(error))
        except web.RequestPayloadError:
            refused = RefusedError(400, "InputError", "the body ended early, or is not encoded as its headers say")
        except Exception:
            _logger.exception("a request failed")
            refused = RefusedError(500, "InternalError", "internal error; the server's log says more")
        return _json(refused.document(), status=refused.status, headers=refused.headers)


def _answer_to(request: web.Request, answers: _Answers) -> _Answer:
    if request.method in answers:
        return answers[request.method]
    methods = ", ".join(answers)
    raise RefusedError(405, "InputError", f"{request.method} is refused; send {methods}", headers={"Allow": methods})


def _json(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=encode_response(document),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={**_NO_STORE, **(headers or {})},
    )
