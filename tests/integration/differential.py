"""What the memory adapter and a real Prometheus are given alike, and how their answers are compared."""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Iterable
from datetime import timedelta
from http.client import HTTPConnection
from operator import itemgetter
from pathlib import Path
from typing import Final, TypeAlias

from statcore.errors import QueryRejectedError
from statcore.model import MatrixResult, QueryTimeRange, VectorResult, format_sample_value
from statcore.model.time import from_unix_ms
from statcore.testing.servers import plant_openmetrics
from statcore_memory import MemoryMetrics

Samples: TypeAlias = list[tuple[int, float]]
Planted: TypeAlias = tuple[str, dict[str, str], Samples]
"""A series: the metric, the labels, and the samples in unix ms."""
Answer: TypeAlias = list[tuple[list[tuple[str, str]], list[tuple[float, float]]]]

BASE_MS: Final = 1_795_000_020_000
"""A full minute, about which samples are planted: the steps of subqueries are full minutes."""


def loaded_ms(time: int) -> int:
    """Return the time that promtool gives a sample: it cuts off what is left after the multiplication."""
    return int(float(f"{time / 1000:.3f}") * 1000)


def time_range(start_ms: int, end_ms: int, step_ms: int) -> QueryTimeRange:
    """Return a range in unix milliseconds."""
    return QueryTimeRange(start=from_unix_ms(start_ms), end=from_unix_ms(end_ms), step=timedelta(milliseconds=step_ms))


def load_into_prometheus(series: Iterable[Planted], folder: Path) -> None:
    """Write the blocks of a data folder."""
    by_name: dict[str, list[str]] = {}
    for name, labels, drawn in series:
        exposition = exposed(name, labels)
        lines = by_name.setdefault(name, [f"# TYPE {name} unknown"])
        lines += [f"{exposition} {format_sample_value(value)} {time / 1000:.3f}" for time, value in drawn]
    lines = [line for lines in by_name.values() for line in lines]
    plant_openmetrics(folder, "\n".join([*lines, "# EOF", ""]))


def exposed(name: str, labels: dict[str, str]) -> str:
    """Write a series as a target exposes it."""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    pairs = ",".join(f'{label}="{value.translate(escapes)}"' for label, value in labels.items() if value)
    return f"{name}{{{pairs}}}"


def load_into_memory(series: Iterable[Planted], semantics: int) -> MemoryMetrics:
    """Scrape every series as a target of its own, so that none ends before its samples do."""
    memory = MemoryMetrics(retention="1d", semantics=semantics)
    for name, labels, drawn in series:
        for time, value in drawn:
            memory.append_scrape([(name, labels, value)], target=exposed(name, labels), time=time / 1000)
    return memory


def semantics_of(connection: HTTPConnection) -> int:
    """Return the major version of a server; one that was built from source may not say which it is, and is a new one."""
    connection.request("GET", "/api/v1/status/buildinfo")
    version = json.loads(connection.getresponse().read())["data"]["version"]
    return 2 if version.startswith("2.") else 3


def ask_prometheus(connection: HTTPConnection, path: str, **form: str) -> Answer:
    """Return the series as labels in their order and (unix seconds, value) pairs.

    Raises:
        QueryRejectedError: the server refused the query.
    """
    body = urllib.parse.urlencode(form)
    connection.request("POST", f"/api/v1/{path}", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = json.loads(connection.getresponse().read())
    if answer["status"] != "success":
        raise QueryRejectedError(answer["error"])
    return [
        (
            list(series["metric"].items()),
            [(time, float(value)) for time, value in series.get("values") or [series["value"]]],
        )
        for series in answer["data"]["result"]
    ]


def of_memory(result: MatrixResult | VectorResult) -> Answer:
    """Return an answer of the memory adapter in the same shape."""
    if isinstance(result, VectorResult):
        return [(list(sample.labels.items()), [(sample.timestamp, sample.value)]) for sample in result.samples]
    return [(list(one.labels.items()), list(zip(one.timestamps, one.values, strict=True))) for one in result.series]


def by_labels(instant: Answer) -> Answer:
    """Return the samples of an instant sorted by their labels: a server gives them in any order."""
    return sorted(instant, key=itemgetter(0))


def assert_equal(expected: Answer, actual: Answer, question: object) -> None:
    """Fail unless series, their order and all times are the same, and values agree to 1e-9 relative."""
    assert [labels for labels, _ in expected] == [labels for labels, _ in actual], question
    for (labels, points), (_, found) in zip(expected, actual, strict=True):
        assert [time for time, _ in points] == [time for time, _ in found], (question, labels)
        for (time, value), (_, other) in zip(points, found, strict=True):
            both_nan = math.isnan(value) and math.isnan(other)
            assert both_nan or math.isclose(value, other, rel_tol=1e-9), (question, labels, time, value, other)
