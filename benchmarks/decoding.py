"""Measures decoding of a Prometheus answer with 120,000 points, recorded from a real server at the start of the run."""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from report import CPU_RATIO, Contender, Goal, Report
from timing import peak_bytes

from statcore.model import MatrixResult
from statcore.testing.servers import find_program, running_prometheus
from statcore_prometheus.wire import MatrixReader

SERIES = 100
POINTS = 1_200
_START_S = 1_795_000_000
_CHUNK = 1 << 16
_PEAK = "peak memory / body"


class _Element(BaseModel):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(BaseModel):
    resultType: str  # noqa: N815 - the server's spelling
    result: list[_Element]


class _Answer(BaseModel):
    status: str
    data: _Data


def with_statcore(body: bytes) -> MatrixResult:
    """Decode with statcore, in chunks as the network delivers them."""
    reader = MatrixReader()
    for start in range(0, len(body), _CHUNK):
        reader.feed(body[start : start + _CHUNK])
    return reader.finish()


def with_json(body: bytes) -> list[tuple[dict[str, str], list[float], list[float]]]:
    """Decode with `json`, as most clients do, and convert the values to numbers."""
    answer = json.loads(body)
    assert answer["status"] == "success"
    return [
        (series["metric"], [time for time, _ in series["values"]], [float(value) for _, value in series["values"]])
        for series in answer["data"]["result"]
    ]


def with_pydantic(body: bytes) -> list[tuple[dict[str, str], list[float], list[float]]]:
    """Decode with `json`, validate with pydantic models, and convert the values to numbers."""
    answer = _Answer.model_validate(json.loads(body))
    return [
        (series.metric, [time for time, _ in series.values], [float(value) for _, value in series.values])
        for series in answer.data.result
    ]


def record(scratch: Path) -> Path:
    """Write series to a real Prometheus, and return the file with its answer to a range query."""
    promtool = find_program("promtool")
    samples = scratch / "samples.txt"
    samples.write_text(_openmetrics())
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", samples, scratch / "data"], check=True, capture_output=True
    )
    end_s = _START_S + (POINTS - 1) * 15
    query = {"query": "node_usage_bytes", "start": _START_S, "end": end_s, "step": 15}
    body = scratch / "answer.json"
    arguments = ["--storage.tsdb.retention.time=100y"]
    with running_prometheus(scratch, targets={}, arguments=arguments) as server:
        address = f"{server.url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own server
            body.write_bytes(answer.read())
    return body


def _openmetrics() -> str:
    numbers = random.Random(1)  # noqa: S311 - not a secret
    lines = ["# TYPE node_usage_bytes gauge"]
    for series in range(SERIES):
        value = numbers.uniform(100, 900)
        for point in range(POINTS):
            value = max(0.0, value + numbers.uniform(-5, 5))
            lines.append(f'node_usage_bytes{{kernel="{series}"}} {value:.2f} {_START_S + point * 15}')
    return "\n".join([*lines, "# EOF\n"])


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Measure and print one table."""
    path = record(scratch)
    body = path.read_bytes()
    small = body[: body.index(b'{"metric"')] + b'{"metric":{},"values":[[1,"1"]]}]}}'
    expected = {tuple(sorted(labels.items())): values for labels, _, values in with_json(body)}
    result = with_statcore(body)
    assert len(result.series) == len(expected) == SERIES
    for series in result.series:
        expected_values = expected[tuple(sorted(series.labels.items()))]
        assert len(expected_values) == len(series) == POINTS
        assert all(map(math.isclose, expected_values, series.values))

    decoders: dict[str, tuple[Callable[[bytes], Any], dict[str, Goal]]] = {
        "json + lists of floats": (with_json, {}),
        "pydantic over json": (with_pydantic, {}),
        "statcore": (with_statcore, {CPU_RATIO: Goal(0.35), _PEAK: Goal(1.5)}),
    }

    def decoding(decode: Callable[[bytes], Any]) -> Callable[[], Any]:
        async def run() -> None:
            decode(body)
            await asyncio.sleep(0)

        return run

    contenders = [
        Contender(
            name=name,
            run=decoding(decode),
            goals=goals,
            figures={_PEAK: peak_bytes(decode, warm_up=small, body=path) / len(body)},
        )
        for name, (decode, goals) in decoders.items()
    ]
    title = f"decoding {SERIES * POINTS:,} points, {len(body) / 1e6:.2f} MB"
    await report.compare(title, contenders, repeats=repeats)
