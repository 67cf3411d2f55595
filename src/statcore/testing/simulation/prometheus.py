"""A simulated Prometheus: a server of the memory network with the HTTP API of Prometheus, over any backend with PromQL."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from random import Random
from typing import Final, NoReturn, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from statcore.errors import InputError, QueryRejectedError, UnsupportedError
from statcore.model.numbers import format_sample_value
from statcore.model.results import MatrixResult, VectorResult
from statcore.model.time import QueryTimeRange, parse_duration, parse_time
from statcore.promql.parsing import EvaluationTime, read_query
from statcore.promql.range_splitting import MAX_POINTS
from statcore.promql.syntax import Number, Selector
from statcore.testing.simulation.network import Host, Network

_API: Final = "/api/v1/"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_SHOWN_CHARACTERS: Final = 120
_TOO_MANY_POINTS: Final = (
    f"exceeded maximum resolution of {MAX_POINTS:,} points per timeseries. Try decreasing the query resolution (?step=XX)"
)
_BUILD: Final = {"version": "3.5.0", "revision": "simulated", "goVersion": "go1.24"}


class EvaluatingBackend(Protocol):
    """What a simulated Prometheus answers from: the methods of `PromQLPort`, and two of `MetricQuerierPort`."""

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate at a time, by default the backend's now."""
        ...

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate at every point of a range."""
        ...

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the values of a label."""
        ...

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets of series."""
        ...


@attrs.frozen(kw_only=True)
class ApiRequest:
    """A request that the server got: parameters of the form and of the address, and headers by names in lower case."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]

    def one(self, name: str) -> str:
        """Return the first value of a parameter, empty without one."""
        return next((value for parameter, value in self.parameters if parameter == name), "")

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter."""
        return [value for parameter, value in self.parameters if parameter == name]


@attrs.frozen(kw_only=True)
class HttpAnswer:
    """An answer: status, type, body, and further headers."""

    body: bytes
    status: int = HTTPStatus.OK
    content_type: str = _JSON
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @classmethod
    def of_json(cls, document: object, *, status: int = HTTPStatus.OK) -> HttpAnswer:
        """Return an answer in JSON, written as Prometheus does."""
        return cls(body=json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), status=status)

    @classmethod
    def of_error(cls, status: int, kind: str, text: str) -> HttpAnswer:
        """Return an error in the words of Prometheus."""
        return cls.of_json({"status": "error", "errorType": kind, "error": text}, status=status)

    @classmethod
    def of_text(cls, status: int, text: str) -> HttpAnswer:
        """Return an answer that is no JSON."""
        return cls(body=text.encode(), status=status, content_type=_TEXT)


@attrs.frozen(eq=False)
class Exchange:
    """A request, the connection it came over, and chance: what a `Behaviour` answers by.

    Every wait ends with a `ConnectionError` when the client closes the connection.
    """

    request: ApiRequest
    random: Random
    _right: Callable[[ApiRequest], Awaitable[HttpAnswer]]
    _writer: asyncio.StreamWriter
    _client_left: asyncio.Event

    async def right_answer(self) -> HttpAnswer:
        """Return what a server without a fault answers."""
        return await self._right(self.request)

    def head_and_body(self, answer: HttpAnswer) -> tuple[bytes, bytes]:
        """Return the bytes of an answer; its body is compressed if the client takes that and no header says otherwise."""
        body, headers = answer.body, {"Content-Type": answer.content_type, **answer.headers}
        if "gzip" in self.request.headers.get("accept-encoding", "") and "Content-Encoding" not in headers:
            body, headers["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        headers.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{lines}\r\n".encode(), body

    async def give(self, answer: HttpAnswer) -> None:
        """Send an answer."""
        await self.send(b"".join(self.head_and_body(answer)))

    async def send(self, content: bytes) -> None:
        """Send bytes."""
        self._writer.write(content)
        await self._writer.drain()

    async def pause(self, duration_s: float) -> None:
        """Wait."""
        try:
            async with asyncio.timeout(duration_s):
                await self.hang()
        except TimeoutError:
            return

    async def hang(self) -> NoReturn:
        """Wait until the client goes."""
        await self._client_left.wait()
        raise ConnectionAbortedError("the client is gone")

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._writer.close()

    def reset(self) -> None:
        """Reset the connection; of what was sent a part may be lost."""
        self._writer.transport.abort()


Behaviour: TypeAlias = Callable[[Exchange], Awaitable[None]]
"""Answers a request, rightly or not."""


async def answer_rightly(exchange: Exchange) -> None:
    """Answer as a server without a fault does."""
    await exchange.give(await exchange.right_answer())


@attrs.define(eq=False)
class SimulatedPrometheus:
    """A server that answers queries, range queries, series, label values and build information.

    Args:
        network: the network.
        name: the host's name.
        backend: evaluates the queries, such as `MemoryMetrics` of the adapter `memory`.
        port: where it listens.

    Attributes:
        choose: returns the behaviour for a request; by default all are answered rightly.
        is_starting: whether it answers that it is not ready, as while it reads its write-ahead log.
        requests: every request with its time, oldest first.
    """

    network: Network
    name: str
    backend: EvaluatingBackend
    port: int = 9090
    choose: Callable[[ApiRequest], Behaviour] = attrs.field(init=False, default=lambda _: answer_rightly)
    is_starting: bool = attrs.field(init=False, default=False)
    requests: list[tuple[float, ApiRequest]] = attrs.field(init=False, factory=list[tuple[float, ApiRequest]])

    @property
    def host(self) -> Host:
        """The machine on which it runs."""
        return self.network.host(self.name)

    @property
    def url(self) -> str:
        """The address for a client."""
        return f"http://{self.name}:{self.port}"

    def start(self) -> None:
        """Listen."""
        self.network.record(f"{self.name}:{self.port} starts")
        self.host.listen(self.port, self._connect)

    def crash(self) -> None:
        """End at once: connections are reset, and new ones refused; `start` starts again."""
        self.host.crash()

    def _connect(self) -> asyncio.StreamReaderProtocol:
        return _Connection(self._serve)

    async def right_answer(self, request: ApiRequest) -> HttpAnswer:
        """Return the answer to a request."""
        if self.is_starting:
            return HttpAnswer.of_text(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable")
        route = request.path.removeprefix(_API)
        if not request.path.startswith(_API) or (answer := self._route(route)) is None:
            return HttpAnswer.of_text(HTTPStatus.NOT_FOUND, "404 page not found\n")
        if request.method not in ("GET", "POST") or (request.method == "POST" and route not in _BY_FORM):
            return HttpAnswer.of_text(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed\n")
        try:
            return HttpAnswer.of_json({"status": "success", "data": await answer(request)})
        except _BadParameterError as error:
            return HttpAnswer.of_error(HTTPStatus.BAD_REQUEST, "bad_data", str(error))
        except (QueryRejectedError, UnsupportedError) as error:
            return HttpAnswer.of_error(HTTPStatus.UNPROCESSABLE_ENTITY, "execution", str(error))

    def _route(self, route: str) -> Callable[[ApiRequest], Awaitable[object]] | None:
        if route.startswith("label/") and route.endswith("/values"):
            return self._label_values
        return {
            "query": self._query,
            "query_range": self._query_range,
            "series": self._series,
            "status/buildinfo": _build_information,
        }.get(route)

    async def _query(self, request: ApiRequest) -> object:
        promql = _query_text(request)
        time = _time(request, "time") if request.one("time") else None
        _duration(request, "timeout")
        answer = await self.backend.query(promql, time=time)
        if isinstance(read_query(promql), Number | EvaluationTime):
            (sample,) = answer.samples
            return {"resultType": "scalar", "result": _pair(sample.timestamp, sample.value)}
        result = [
            {"metric": _sorted(sample.labels), "value": _pair(sample.timestamp, sample.value)} for sample in answer.samples
        ]
        return {"resultType": "vector", "result": result}

    async def _query_range(self, request: ApiRequest) -> object:
        start, end, step_s = _time(request, "start"), _time(request, "end"), _duration(request, "step")
        if end < start:
            raise _BadParameterError.of("end", "end timestamp must not be before start time")
        if step_s is None:
            raise _BadParameterError.of("step", 'cannot parse "" to a valid duration')
        if step_s <= 0:
            zero = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            raise _BadParameterError.of("step", zero)
        if (end - start).total_seconds() / step_s > MAX_POINTS:
            raise _BadParameterError(_TOO_MANY_POINTS)
        answer = await self.backend.query_range(
            _query_text(request), QueryTimeRange(start=start, end=end, step=round(step_s, 3))
        )
        result = [
            {"metric": _sorted(one.labels), "values": list(map(_pair, one.timestamps, one.values))} for one in answer.series
        ]
        return {"resultType": "matrix", "result": result}

    async def _series(self, request: ApiRequest) -> list[dict[str, str]]:
        if not (selectors := _selectors(request)):
            raise _BadParameterError("no match[] parameter provided")
        found: dict[frozenset[tuple[str, str]], dict[str, str]] = {}
        for selector in selectors:
            for labels in await self.backend.series(selector, time_range=_span(request)):
                found[frozenset(labels.items())] = _sorted(labels)
        return sorted(found.values(), key=lambda labels: list(labels.items()))

    async def _label_values(self, request: ApiRequest) -> list[str]:
        label = unquote(request.path.split("/")[-2])
        matches: list[Selector | None] = [*_selectors(request)] or [None]
        try:
            found = [await self.backend.label_values(label, match=match, time_range=_span(request)) for match in matches]
        except InputError:
            raise _BadParameterError(f'invalid label name: "{label}"') from None
        return sorted({value for values in found for value in values})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client_left: asyncio.Event) -> None:
        """Answer the requests of one connection until an end of it is closed."""
        try:
            while not writer.is_closing():
                request = await _read_request(reader)
                self.requests.append((asyncio.get_running_loop().time(), request))
                behaviour = self.choose(request)
                name = getattr(behaviour, "__name__", repr(behaviour))
                self.network.record(f"{self.name} gets {request.method} {_shown(request)}: {name}")
                await behaviour(Exchange(request, self.network.random, self.right_answer, writer, client_left))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.close()


class _Connection(asyncio.StreamReaderProtocol):
    """A connection with streams, which also tells when the client closes it, whatever has not been read yet."""

    def __init__(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], Awaitable[None]]
    ) -> None:
        loop, self._client_left = asyncio.get_running_loop(), asyncio.Event()
        super().__init__(
            asyncio.StreamReader(loop=loop), lambda reader, writer: serve(reader, writer, self._client_left), loop=loop
        )

    def eof_received(self) -> bool | None:
        self._client_left.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client_left.set()
        super().connection_lost(exc)


_BY_FORM: Final = frozenset(["query", "query_range", "series"])


class _BadParameterError(Exception):
    """A request that Prometheus answers with 400."""

    @classmethod
    def of(cls, name: str, text: object) -> _BadParameterError:
        """Name the parameter."""
        return cls(f'invalid parameter "{name}": {text}')


async def _build_information(_: ApiRequest) -> dict[str, str]:
    return _BUILD


def _query_text(request: ApiRequest) -> str:
    promql = request.one("query")
    try:
        read_query(promql)
    except InputError as error:
        raise _BadParameterError.of("query", error) from None
    return promql


def _selectors(request: ApiRequest) -> list[Selector]:
    selectors: list[Selector] = []
    for text in request.all("match[]"):
        try:
            query = read_query(text)
        except InputError as error:
            raise _BadParameterError.of("match[]", error) from None
        if not isinstance(query, Selector):
            raise _BadParameterError.of("match[]", f"not a selector: {text}")
        selectors.append(query)
    return selectors


def _span(request: ApiRequest) -> tuple[datetime, datetime] | None:
    if not request.one("start") and not request.one("end"):
        return None
    return _time(request, "start"), _time(request, "end")


def _time(request: ApiRequest, name: str) -> datetime:
    text = request.one(name)
    try:
        return parse_time(text)
    except InputError:
        raise _BadParameterError.of(name, f'cannot parse "{text}" to a valid timestamp') from None


def _duration(request: ApiRequest, name: str) -> float | None:
    """Return the seconds of a duration, which may be written as a number."""
    if not (text := request.one(name)):
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parse_duration(text).total_seconds()
    except InputError:
        raise _BadParameterError.of(name, f'cannot parse "{text}" to a valid duration') from None


def _pair(time_s: float, value: float) -> list[object]:
    return [int(time_s) if time_s.is_integer() else time_s, format_sample_value(value)]


def _sorted(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _shown(request: ApiRequest) -> str:
    texts = " ".join(value for name, value in request.parameters if name != "timeout")
    return f"{request.path} {texts}"[:_SHOWN_CHARACTERS]


async def _read_request(reader: asyncio.StreamReader) -> ApiRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    pairs = parse_qsl(body.decode(), keep_blank_values=True) + parse_qsl(parts.query, keep_blank_values=True)
    return ApiRequest(method=method, path=parts.path, parameters=tuple(pairs), headers=headers)
