"""A metric backend over the samples that its options list, whose utilization has ten digits."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs

from statcore import InputError, MatrixResult, QueryTimeRange, Series, UtilizationMetricQuerier, VectorResult
from statcore.promql import RATE_INTERVAL, Selector
from statcore_memory import MemoryMetrics

DIFFERENCES: Final = {"values_are_exact": "Utilization is rounded to ten digits."}


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def _round_matrix(answer: MatrixResult) -> MatrixResult:
    series = [
        Series(labels=found.labels, timestamps=found.timestamps, values=array("d", map(_rounded, found.values)))
        for found in answer.series
    ]
    return attrs.evolve(answer, series=tuple(series))


def _round_vector(answer: VectorResult) -> VectorResult:
    samples = [attrs.evolve(sample, value=_rounded(sample.value)) for sample in answer.samples]
    return VectorResult(samples=tuple(samples), warnings=answer.warnings, infos=answer.infos, partial=answer.partial)


class RoundingMetrics:
    """A `MetricQuerierPort` that also is a `PromQLPort` and a `DiagnosisPort`."""

    def __init__(self, memory: MemoryMetrics) -> None:
        """Answer from series in memory."""
        self._memory = memory

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the utilization over a range."""
        return _round_matrix(await self._memory.query_utilization(querier, time_range, rate_interval=rate_interval))

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        /,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the utilization at an instant."""
        return _round_vector(await self._memory.query_utilization_now(querier, time=time, rate_interval=rate_interval))

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the values of a label."""
        return await self._memory.label_values(label, match=match, time_range=time_range)

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return label sets."""
        return await self._memory.series(match, time_range=time_range)

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate PromQL at an instant."""
        return await self._memory.query(promql, time=time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate PromQL over a range."""
        return await self._memory.query_range(promql, time_range)

    async def diagnose(self) -> str | None:
        """Find no fault."""
        return None

    async def ping(self) -> None:
        """Answer."""

    async def aclose(self) -> None:
        """Close the series in memory."""
        await self._memory.aclose()


async def open_backend(url: str, options: Mapping[str, Any]) -> RoundingMetrics:
    """Open a backend whose option `samples` lists `{name, labels, value}`, all of them scraped now."""
    del url
    memory = MemoryMetrics(retention=timedelta(hours=1))
    try:
        samples = [(sample["name"], sample["labels"], float(sample["value"])) for sample in options.get("samples", ())]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"samples must list name, labels and value: {error!r}") from error
    memory.append_scrape(samples, target="batteries", time=datetime.now(UTC))
    return RoundingMetrics(memory)
