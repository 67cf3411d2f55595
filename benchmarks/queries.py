"""Measures texts of queries over texts that users write, and small queries over a POST, answered from a recording."""

from __future__ import annotations

import asyncio
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import msgspec
from jinja2.sandbox import SandboxedEnvironment
from report import CPU_RATIO, WALL_RATIO, Contender, Goal, Report
from server_process import running_server

from statcore.model import QueryTimeRange
from statcore.promql import Selector, utilization_text
from statcore.promql.quoting import escape
from statcore.queriers import ContainerMetricQuerier, LabelMatcher
from statcore.testing.servers import LOOPBACK, plant_openmetrics, running_prometheus
from statcore_prometheus import PrometheusClient

TEXTS: Final = 1_000
UNION_IDS: Final = 1_000
KERNEL_ID: Final = uuid.UUID("6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11")
TIME_RANGE: Final = QueryTimeRange(start="2026-11-22T10:00:00Z", end="2026-11-22T10:10:00Z", step="1m")
_QUERIER: Final = ContainerMetricQuerier(metric_name="cpu_util", value_type="current", kernel_id=KERNEL_ID)
_SERIES: Final = "backendai_container_utilization"
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_TEMPLATE: Final = """\
sum by ({{ group_by | join(",") }})(rate({{ name }}{{ "{" }}\
{% for label, value in labels.items() %}{{ label }}="{{ value | escape }}"{% if not loop.last %},{% endif %}{% endfor %}\
{{ "}" }}[{{ window }}]))"""


def with_f_string() -> str:
    """Write the text of the querier, and with it the UUID, without escaping."""
    labels = f'container_metric_name="{_QUERIER.metric_name}",value_type="{_QUERIER.value_type}",kernel_id="{KERNEL_ID}"'
    return f"sum by (kernel_id,value_type)(rate({_SERIES}{{{labels}}}[5m]))"


def with_jinja() -> Callable[[], str]:
    """Return a function that fills in a compiled template, with the same escaping of label values."""
    environment = SandboxedEnvironment(autoescape=False)
    environment.filters["escape"] = escape
    template = environment.from_string(_TEMPLATE)

    def write() -> str:
        metric_name, value_type = _QUERIER.metric_name, _QUERIER.value_type
        labels = {"container_metric_name": metric_name, "value_type": value_type, "kernel_id": str(KERNEL_ID)}
        return template.render(name=_SERIES, labels=labels, group_by=["kernel_id", "value_type"], window="5m")

    return write


def texts() -> dict[str, Callable[[], str]]:
    """Return the ways to write the text of a querier."""
    return {
        "f-string with the same UUID": with_f_string,
        "Jinja2, sandbox, compiled": with_jinja(),
        "statcore": partial(utilization_text, _QUERIER),
    }


def unions(ids: list[str]) -> dict[str, Callable[[], str]]:
    """Return the ways to write a selector of many ids, which are in no order."""
    return {
        "f-string, neither checked nor sorted": lambda: f'{_SERIES}{{kernel_id=~"{"|".join(ids)}"}}',
        "statcore": lambda: Selector(_SERIES, {"kernel_id": LabelMatcher.one_of(ids)}).text,
    }


def ids_in_no_order(count: int) -> list[str]:
    """Return the same ids in each run."""
    return [str(uuid.uuid5(KERNEL_ID, str(number))) for number in range(count)]


class _Element(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: list[_Element]


class _Answer(msgspec.Struct):
    status: str
    data: _Data


_DECODER: Final = msgspec.json.Decoder(_Answer)


@attrs.frozen
class SmallQueries:
    """Small queries as users write them, and the same queries through statcore.

    Args:
        url: the server.
        session: the user's session.
        client: statcore's client.
    """

    url: str
    session: aiohttp.ClientSession
    client: PrometheusClient

    async def post_range(self) -> _Answer:
        """Write the query, send it as a form, and decode the answer, over a range."""
        start, end = (str(time.timestamp()) for time in (TIME_RANGE.start, TIME_RANGE.end))
        form = {"query": with_f_string(), "start": start, "end": end, "step": "60", "timeout": "30s"}
        return await self._post("query_range", form, _HEADERS)

    async def post_encoded_range(self) -> _Answer:
        """Do the same with a form that is encoded before aiohttp gets it."""
        start, end = (str(time.timestamp()) for time in (TIME_RANGE.start, TIME_RANGE.end))
        form = {"query": with_f_string(), "start": start, "end": end, "step": "60", "timeout": "30s"}
        headers = {**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
        return await self._post("query_range", urllib.parse.urlencode(form).encode(), headers)

    async def post_now(self) -> _Answer:
        """Write the query, send it as a form, and decode the answer, for now."""
        return await self._post("query", {"query": with_f_string(), "timeout": "30s"}, _HEADERS)

    async def _post(self, path: str, data: dict[str, str] | bytes, headers: Mapping[str, str]) -> _Answer:
        async with self.session.post(f"{self.url}/api/v1/{path}", data=data, headers=headers) as response:
            return _DECODER.decode(await response.read())

    async def check(self) -> None:
        """Check that the answers are equal."""
        posted, result = await self.post_range(), await self.client.query_utilization(_QUERIER, TIME_RANGE)
        (element,), (series,) = posted.data.result, result.series
        assert (element.metric, [float(value) for _, value in element.values]) == (series.labels, series.values.tolist())

    def over_a_range(self) -> list[Contender]:
        """Return the ways to query a range."""
        goals = {CPU_RATIO: Goal(1.15), WALL_RATIO: Goal(1.15)}
        utilization = partial(self.client.query_utilization, _QUERIER, TIME_RANGE)
        text = partial(self.client.query_range, with_f_string(), TIME_RANGE)
        return [
            Contender(name="f-string, POST of a form, msgspec", run=self.post_range),
            Contender(name="the same, form encoded by urllib", run=self.post_encoded_range),
            Contender(name="statcore, a querier", run=utilization, goals=goals),
            Contender(name="statcore, text", run=text, goals=goals),
        ]

    def now(self) -> list[Contender]:
        """Return the ways to query an instant."""
        goals = {CPU_RATIO: Goal(1.15), WALL_RATIO: Goal(1.15)}
        return [
            Contender(name="f-string, POST of a form, msgspec", run=self.post_now),
            Contender(name="statcore, a querier", run=partial(self.client.query_utilization_now, _QUERIER), goals=goals),
            Contender(name="statcore, text", run=partial(self.client.query, with_f_string()), goals=goals),
        ]


def record(scratch: Path) -> dict[str, bytes]:
    """Plant the series of a kernel in a real Prometheus, and return its answers by path."""
    labels = f'container_metric_name="cpu_util",value_type="current",kernel_id="{KERNEL_ID}"'
    start_s, end_s = (int(time.timestamp()) for time in (TIME_RANGE.start, TIME_RANGE.end))
    samples = [f"{_SERIES}{{{labels}}} {second} {second}" for second in range(start_s - 600, end_s + 60, 15)]
    plant_openmetrics(scratch, "\n".join([f"# TYPE {_SERIES} unknown", *samples, "# EOF\n"]))
    questions: dict[str, dict[str, object]] = {
        "query_range": {"start": start_s, "end": end_s, "step": 60},
        "query": {"time": end_s},
    }
    answers: dict[str, bytes] = {}
    with running_prometheus(scratch, targets={}, arguments=["--storage.tsdb.retention.time=100y"]) as server:
        for name, question in questions.items():
            form = urllib.parse.urlencode({"query": with_f_string(), **question}).encode()
            with urllib.request.urlopen(f"{server.url}/api/v1/{name}", form) as answer:  # noqa: S310 - our own server
                answers[f"/api/v1/{name}"] = answer.read()
    return answers


def _replay(answers: Mapping[str, bytes], port: Connection) -> None:
    """Give these answers by path until the process is killed; send the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                await reader.readexactly(length)
                body = answers[head.split(" ")[1]]
                start = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(start.encode() + body)
        except asyncio.IncompleteReadError:
            writer.close()  # the client has closed the connection

    async def serve() -> None:
        server = await asyncio.start_server(answer, LOOPBACK, 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _writing(write: Callable[[], str], times: int) -> Callable[[], Any]:
    async def run() -> None:
        for _ in range(times):
            write()

    return run


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print five tables."""
    assert len({write() for write in texts().values()}) == 1
    of_querier = {name: _writing(write, TEXTS) for name, write in texts().items()}
    await _compare_texts(report, f"text of a querier, {TEXTS:,} times", of_querier, Goal(6), repeats=repeats)
    _, *others = of_querier
    over_jinja = {name: of_querier[name] for name in others}
    await _compare_texts(report, "text of a querier, over Jinja2", over_jinja, Goal(0.45), repeats=repeats)
    of_union = {name: _writing(write, 1) for name, write in unions(ids_in_no_order(UNION_IDS)).items()}
    await _compare_texts(report, f"union of {UNION_IDS:,} ids", of_union, Goal(20), repeats=repeats)
    with running_server(_replay, record(scratch)) as (address, pid):
        url = f"http://{address}"
        client = PrometheusClient(url)
        async with aiohttp.ClientSession() as session:
            queries = SmallQueries(url, session, client)
            try:
                await queries.check()
                title = "a small query over a range"
                await report.compare(title, queries.over_a_range(), repeats=repeats, helpers=[pid])
                await report.compare("a small query now", queries.now(), repeats=repeats, helpers=[pid])
            finally:
                await client.aclose()


async def _compare_texts(
    report: Report, title: str, runs: Mapping[str, Callable[[], Any]], goal: Goal, *, repeats: int
) -> None:
    goals = {"statcore": {CPU_RATIO: goal}}
    contenders = [Contender(name=name, run=run, goals=goals.get(name, {})) for name, run in runs.items()]
    await report.compare(title, contenders, repeats=repeats)
