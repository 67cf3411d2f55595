"""Ids and values for the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import MetricValue
from statcore.ports.sink import StatisticsSinkPort
from statcore.testing.expectations import expect, plain

PLAIN_VALUE = MetricValue(
    current="512.5",
    capacity="1024",
    pct="50.05",
    unit_hint="bytes",
    stats={"min": "0", "max": "900", "sum": "12345.678", "avg": "411.5", "diff": "-3", "rate": "0.001"},
)
GAUGE: dict[str, Any] = {"__type": "GAUGE", **PLAIN_VALUE.to_map()}
HISTOGRAM: dict[str, Any] = {
    "__type": "HISTOGRAM",
    "current": {"0.1": "3", "2.5": "11", "+Inf": "12"},
    "threshold_unit": "le",
    "count": 12,
    "sum": "17.25",
}
NOTHING: dict[str, Any] = {"node": {}, "devices": {}}
"""An agent without metrics."""
NO_ACTIVITY = {"requests": 0, "last_response_ms": 0}


def new_ids(count: int) -> list[str]:
    """Return ids that no store has yet."""
    return [str(uuid4()) for _ in range(count)]


def new_agents(count: int) -> list[str]:
    """Return agent ids that no store has yet."""
    return [f"i-{id_}" for id_ in new_ids(count)]


def numbered(number: int) -> dict[str, MetricValue]:
    """Return the metrics of an object; the number tells it from others."""
    return {"mem": MetricValue(current=str(number), unit_hint="bytes")}


async def plant_kernels(sink: StatisticsSinkPort, count: int) -> list[str]:
    """Store kernels with numbered metrics, from 0 on, and return their ids."""
    ids = new_ids(count)
    await sink.store_kernel_statistics({id_: numbered(number) for number, id_ in enumerate(ids)})
    return ids


def shown(metrics: Mapping[str, MetricValue]) -> dict[str, dict[str, Any]]:
    """Return metrics as an entry of a batch shows them."""
    return {name: value.to_map() for name, value in metrics.items()}


def expect_entries(expected: Sequence[object], batch: StatisticsBatch, about: str) -> None:
    """Fail unless the batch has these entries, None where nothing is, and no problem."""
    expect(list(expected), [plain(entry) for entry in batch], about)
    expect({}, dict(batch.problems), f"the problems of {about}")


def expect_numbers(expected: Sequence[int | None], batch: StatisticsBatch) -> None:
    """Fail unless the batch has these numbered metrics, None where nothing is, and no problem."""
    expect_entries([None if number is None else shown(numbered(number)) for number in expected], batch, "entries")
