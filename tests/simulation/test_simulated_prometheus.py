"""The simulated Prometheus says what a real one says, byte by byte where the client reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.prometheus import SimulatedPrometheus
from statcore_memory import MemoryMetrics

START: Final = 1_795_341_600
SERIES: Final = [
    PlantedSeries("load", {"kernel": "a", "zone": 'é"\n'}, [(START + 15 * n, float(n)) for n in range(41)]),
    PlantedSeries("load", {"kernel": "b"}, [(START + 15 * n, 0.1 + n) for n in range(41)]),
    PlantedSeries("sent", {"kernel": "a"}, [(START + 15 * n, 1e21 * n) for n in range(41)]),
    PlantedSeries("sent", {"kernel": "b"}, [(START + 15 * n, float("nan")) for n in range(41)]),
]
AT: Final = {"time": f"{START + 600}.000"}
RANGE: Final = {"start": f"{START}.000", "end": f"{START + 600}.000", "step": "1m30s"}
SPAN: Final = {"start": f"{START}.000", "end": f"{START + 600}.000"}

OWN_WORDS: Final = [f'invalid parameter "{name}"' for name in ("query", "match[]", "time")]
"""The beginnings of errors whose further words are those of a parser."""
REQUESTS: Final[list[tuple[str, str, Mapping[str, str | list[str]]]]] = [
    ("POST", "query", {"query": "load", **AT, "timeout": "29990ms"}),
    ("GET", "query", {"query": "load", **AT}),
    ("POST", "query", {"query": 'load{zone=~"é.*"}', **AT}),
    ("POST", "query", {"query": "sum by (kernel)(rate(sent[5m]))", **AT}),
    ("POST", "query", {"query": "sum(load)", "time": f"{START}.123"}),
    ("POST", "query", {"query": "load", "time": f"{START + 86_400}.000"}),
    ("POST", "query", {"query": "1", **AT}),
    ("POST", "query", {"query": "time()", "time": f"{START}.500"}),
    ("POST", "query", {"query": "none", **AT}),
    ("POST", "query", {"query": "", **AT}),
    ("POST", "query", {"query": "sum(", **AT}),
    ("POST", "query", {"query": "load + on() load", **AT}),
    ("POST", "query", {"query": "load", "time": "noon"}),
    ("POST", "query", {"query": "load", **AT, "timeout": "long"}),
    ("POST", "query_range", {"query": "load", **RANGE}),
    ("GET", "query_range", {"query": "load", **RANGE}),
    ("POST", "query_range", {"query": "sent", **RANGE, "step": "30"}),
    ("POST", "query_range", {"query": "sum by (kernel)(rate(load[5m]))", **RANGE}),
    ("POST", "query_range", {"query": "1", **RANGE}),
    ("POST", "query_range", {"query": "time()", **RANGE}),
    ("POST", "query_range", {"query": "none", **RANGE}),
    ("POST", "query_range", {"query": "load", **RANGE, "step": "0"}),
    ("POST", "query_range", {"query": "load", **RANGE, "step": "-1"}),
    ("POST", "query_range", {"query": "load", **RANGE, "step": "50ms"}),
    ("POST", "query_range", {"query": "load", **RANGE, "end": f"{START - 1}.000"}),
    ("POST", "query_range", {"query": "load"}),
    ("POST", "query_range", {"query": "load", **SPAN}),
    ("POST", "series", {"match[]": ["none", "load"], **SPAN}),
    ("POST", "series", {"match[]": ["none", "load", "load"]}),
    ("GET", "series", {"match[]": 'sent{kernel!="a"}', **SPAN}),
    ("POST", "series", {"match[]": "none", **SPAN}),
    ("POST", "series", {"match[]": "load{"}),
    ("POST", "series", {}),
    ("GET", "label/kernel/values", {}),
    ("GET", "label/kernel/values", {"match[]": 'load{kernel="a"}', **SPAN}),
    ("GET", "label/__name__/values", {}),
    ("GET", "label/none/values", {}),
    ("POST", "label/kernel/values", {}),
    ("GET", "status/buildinfo", {}),
    ("GET", "nothing", {}),
    ("PUT", "query", {"query": "load"}),
]


async def _answers(host: str, port: int) -> list[tuple[int, str, bytes]]:
    """Send all requests over one connection, and return status, type and body of each answer."""
    reader, writer = await asyncio.open_connection(host, port)
    answers: list[tuple[int, str, bytes]] = []
    for method, path, parameters in REQUESTS:
        text = urlencode(parameters, doseq=True)
        address, form = (f"{path}", text) if method == "POST" else (f"{path}?{text}" if text else path, "")
        lines = [f"{method} /api/v1/{address} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(form)}"]
        lines += ["Content-Type: application/x-www-form-urlencoded"] * (method == "POST")
        writer.write("\r\n".join([*lines, "", form]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(headers["content-length"]))
        answers.append((int(head[0].split()[1]), headers["content-type"], body))
    writer.close()
    await writer.wait_closed()
    return answers


def _memory(semantics: int) -> MemoryMetrics:
    memory = MemoryMetrics(retention="1d", semantics=semantics)
    for name, labels, samples in SERIES:
        for time_s, value in samples:
            memory.append_scrape([(name, labels, value)], target=f"{name}{labels}", time=time_s)
    return memory


@pytest.fixture(scope="module")
def real_prometheus(prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> Iterator[Server]:
    """A Prometheus that holds the series."""
    with prometheus_holding(openmetrics_text(SERIES)) as server:
        yield server


def _simulated(semantics: int) -> list[tuple[int, str, bytes]]:
    async def scenario(simulation: Simulation) -> list[tuple[int, str, bytes]]:
        server = SimulatedPrometheus(simulation.network, "metrics", _memory(semantics))
        server.start()
        return await _answers("metrics", server.port)

    return simulate(scenario, seed=1)


def _comparable(answer: tuple[int, str, bytes]) -> Any:
    """Return an answer as it must be equal: a failed query by the kind of its error; samples of an instant in any order."""
    status, content_type, body = answer
    if content_type != "application/json":
        return answer
    document = json.loads(body)
    if "goVersion" in document.get("data", ()):
        return status, content_type, {"version", "revision", "goVersion"} <= document["data"].keys()
    if document["status"] == "error":
        text = document["error"] if document["errorType"] == "bad_data" else ""
        return (
            status,
            content_type,
            document["errorType"],
            next((words for words in OWN_WORDS if text.startswith(words)), text),
        )
    if isinstance(document["data"], dict) and document["data"]["resultType"] == "vector":
        document["data"]["result"].sort(key=str)
        return status, content_type, document
    return answer


def test_it_answers_as_a_real_one_does(real_prometheus: Server) -> None:
    """Status, type and body are the same for right and for bad requests of each kind that the client sends."""

    async def of_real() -> list[tuple[int, str, bytes]]:
        return await _answers("127.0.0.1", real_prometheus.port)

    expected = asyncio.run(of_real())
    (build,) = [json.loads(body)["data"] for _, _, body in expected if b"goVersion" in body]
    semantics = 2 if build["version"].startswith("2.") else 3
    for request, real, simulated in zip(REQUESTS, expected, _simulated(semantics), strict=True):
        assert _comparable(real) == _comparable(simulated), request
    assert {200, 400, 404, 405, 422} == {status for status, _, _ in expected}
