"""Coalesced queriers are answered as each would be alone, by the memory adapter."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.coalescing import Labelled, labelled, mixed_queriers, planted_series, time_ranges

from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier, coalesce
from statcore.statistics import UtilizationSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore_memory import MemoryMetrics

MAX_VALUES = st.sampled_from([1, 2, 3, 256])
NUMBERS = st.one_of(st.floats(), st.floats(-1e6, 1e6), st.integers(0, 9).map(float))


def load(series: list[PlantedSeries]) -> MemoryMetrics:
    """Scrape every series as a target of its own, in order of time."""
    memory = MemoryMetrics()
    scrapes = defaultdict(list)
    for number, (name, labels, samples) in enumerate(series):
        for time, value in samples:
            scrapes[time].append((f"target {number}", (name, labels, value)))
    for time, scraped in sorted(scrapes.items()):
        for target, sample in scraped:
            memory.append_scrape([sample], target=target, time=time)
    return memory


def test_a_source_answers_every_querier_as_if_it_were_alone() -> None:
    """For queriers of every kind and strategy: the same label sets with the same samples, over a range and now.

    The memory adapter adds series in the order of their labels, so that even the last digits are equal.
    """
    shared: Counter[tuple[str, object]] = Counter()

    @settings(max_examples=2 * settings().max_examples)
    @given(planted_series(NUMBERS), mixed_queriers(), MAX_VALUES, time_ranges())
    def check(
        series: list[PlantedSeries], queriers: list[UtilizationMetricQuerier], max_values: int, between: QueryTimeRange
    ) -> None:
        memory = load(series)
        source = UtilizationSource(memory, max_values=max_values)
        answered: list[Labelled] = []

        async def compare() -> None:
            ranges = await source.read_utilization_batch(queriers, between)
            now = await source.read_utilization_now_batch(queriers, time=between.end)
            for querier, matrix, vector in zip(queriers, ranges, now, strict=True):
                assert isinstance(matrix, MatrixResult)
                assert isinstance(vector, VectorResult)
                answered.append(labelled(matrix))
                assert labelled(await memory.query_utilization(querier, between)) == labelled(matrix)
                assert labelled(await memory.query_utilization_now(querier, time=between.end)) == labelled(vector)
            for batch in coalesce(queriers, max_values=max_values):
                for position in batch.positions if len(batch.positions) > 1 else ():
                    if answered[position]:
                        shared[type(queriers[position]).__name__, batch.query_strategy()] += 1

        asyncio.run(compare())

    check()
    kinds, strategies = map(set, zip(*shared, strict=True))
    assert set(QueryStrategy) == strategies, shared
    assert {"ContainerMetricQuerier", "FixedQuerier"} <= kinds, shared  # the other kinds are rarely drawn twice


@given(planted_series(NUMBERS), mixed_queriers(), MAX_VALUES, MAX_VALUES, time_ranges())
def test_coalesced_queriers_can_be_coalesced_again(
    series: list[PlantedSeries],
    queriers: list[UtilizationMetricQuerier],
    max_values: int,
    more_values: int,
    between: QueryTimeRange,
) -> None:
    """The answer of the outer batch splits into those of the inner batches, and these into those of the queriers."""
    memory = load(series)

    async def compare() -> None:
        inner = coalesce(queriers, max_values=max_values)
        outer = coalesce(inner, max_values=more_values)
        answered: dict[int, MatrixResult] = {}
        for batch in outer:
            answer = await memory.query_utilization(batch, between)
            for position, part in zip(batch.positions, batch.split(answer), strict=True):
                answered.update(zip(inner[position].positions, inner[position].split(part), strict=True))
        expected = [labelled(await memory.query_utilization(querier, between)) for querier in queriers]
        assert expected == [labelled(answered[position]) for position in range(len(queriers))]

    asyncio.run(compare())
