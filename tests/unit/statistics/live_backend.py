"""Stand-in for a metric backend: evaluates the live expressions over values that a test plants."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

import attrs

from statcore.model import Sample, VectorResult
from statcore.model.results import MatrixResult

NOW = datetime(2026, 11, 22, 10, 0, 0, 125_000, tzinfo=UTC)
UUIDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Figures = Mapping[tuple[str, str, str], float]
"""Values by kernel, metric and kind: `current`, `capacity`, `rate_now`, `max`, `avg`, `rate_max`, `rate_avg`."""


def kind_of(promql: str) -> str:
    """Return which of the six expressions a text is."""
    wrapped = next((name for name in ("max", "avg") if promql.startswith(f"{name}_over_time(")), "now")
    return f"rate_{wrapped}" if "rate(" in promql else wrapped


@attrs.define
class LiveBackend:
    """A `PromQLPort` that records queries, as (text, time).

    Args:
        figures: the values that it answers for the kernels that an expression names.
        notes: warnings and so on, for the expressions that name a kernel: by kernel.
        before: awaited with the text before it answers.
        clock: what it answers to `time()`.
        more: samples that it adds to every answer.
    """

    figures: Figures = attrs.field(factory=dict[Any, float])
    notes: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict[str, Any], kw_only=True)
    before: Callable[[str], Awaitable[None]] | None = attrs.field(default=None, kw_only=True)
    clock: tuple[float, ...] = attrs.field(default=(NOW.timestamp(),), kw_only=True)
    more: tuple[Mapping[str, str], ...] = attrs.field(default=(), kw_only=True)
    queries: list[tuple[str, datetime | None]] = attrs.field(factory=list, init=False)

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """See the port."""
        self.queries.append((promql, time))
        if self.before:
            await self.before(promql)
        if promql == "time()":
            return VectorResult(samples=tuple(Sample(labels={}, timestamp=value, value=value) for value in self.clock))
        assert time is not None
        kind, kernels = kind_of(promql), set(UUIDS.findall(promql))
        kinds = ("current", "capacity") if kind == "now" else (kind,)
        labels = [
            ({"kernel_id": kernel, "container_metric_name": metric} | ({"value_type": of} if kind == "now" else {}), value)
            for (kernel, metric, of), value in self.figures.items()
            if of in kinds and kernel in kernels
        ]
        labels += [(more, 1.0) for more in self.more]
        notes = next((self.notes[kernel] for kernel in sorted(kernels & self.notes.keys())), {})
        samples = tuple(Sample(labels=of, timestamp=time.timestamp(), value=value) for of, value in labels)
        return VectorResult(samples=samples, **notes)

    async def query_range(self, *_: object) -> MatrixResult:
        """Fail, since no range is queried."""
        never()


def never() -> NoReturn:
    """Fail: live statistics need no range queries."""
    raise AssertionError("live statistics need no range")
