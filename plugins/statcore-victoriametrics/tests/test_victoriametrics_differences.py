"""What the read-me says stays different stays so, and no more than that: a real server's answers, by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from statcore.promql import Aggregation, BinaryOperation, Call, Expression, RangeSelector, Selector, Subquery
from statcore.queriers import LabelMatcher, MetricQuery
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.queriers import FixedQuerier
from statcore.testing.servers import Server
from statcore_victoriametrics.client import VictoriaMetricsClient

Plant = Callable[..., None]
NOW = datetime.fromtimestamp(datetime.now(UTC).timestamp() // 60 * 60 - 600, UTC)
EVERY = timedelta(seconds=15)


def sampled(name: str, values: Sequence[float], labels: Mapping[str, str] | None = None) -> PlantedSeries:
    """Return a series with a sample every 15 seconds, the last of them at `NOW`."""
    times = [(NOW - EVERY * back).timestamp() for back in range(len(values))]
    return PlantedSeries(name, labels or {}, list(zip(reversed(times), values, strict=True)))


@attrs.frozen
class Over:
    """Apply a function to a window, with a strategy of a plugin's own."""

    function: Any
    is_subquery: bool = False

    def __call__(self, query: MetricQuery, window: str) -> Expression:
        """Write the expression."""
        selector = Selector(query.name, query.matchers)
        inner = Subquery(Aggregation("sum", selector), window) if self.is_subquery else RangeSelector(selector, window)
        return Call(self.function, inner)


def by_itself(query: MetricQuery, _: str) -> Expression:
    """Divide a sum by itself."""
    total = Aggregation("sum", Selector(query.name, query.matchers))
    return BinaryOperation("/", total, total)


def apart(query: MetricQuery, _: str) -> Expression:
    """Return each `x` of a metric without the sum of another, which has no labels."""
    return BinaryOperation(
        "-", Aggregation("sum", Selector(query.name, query.matchers), ("x",)), Aggregation("sum", Selector("alone"))
    )


@pytest.fixture
def values_of(client: VictoriaMetricsClient) -> Callable[..., Awaitable[list[float]]]:
    """`values_of(querier, window)` returns the values of the querier's samples at `NOW`."""

    async def ask(querier: FixedQuerier, window: str = "5m") -> list[float]:
        result = await client.query_utilization_now(querier, time=NOW, rate_interval=window)
        return [sample.value for sample in result.samples]

    return ask


@pytest.mark.parametrize("function", ["increase", "delta"])
async def test_an_increase_is_that_of_the_window_alone(
    server: Server, plant: Plant, values_of: Callable[..., Awaitable[list[float]]], function: str
) -> None:
    """From its first to its last sample: neither from zero where the series begins, nor from the sample before."""
    plant(
        server,
        [
            sampled(f"{function}_new", [35.0, 38.0, 41.0, 44.0, 47.0, 50.0]),
            sampled(f"{function}_long", [float(number) for number in range(61)]),
            sampled(f"{function}_once", [7.0]),
        ],
    )
    queriers = {kind: FixedQuerier(f"{function}_{kind}", strategy=Over(function)) for kind in ("new", "long", "once")}
    assert [15.0] == await values_of(queriers["new"])
    assert [19.0] == await values_of(queriers["long"])
    assert [3.0] == await values_of(queriers["long"], "1m")
    assert [] == await values_of(queriers["once"])
    minutes = FixedQuerier(f"{function}_long", strategy=Over(function, is_subquery=True))
    assert [16.0] == await values_of(minutes)


async def test_a_small_fall_of_a_counter_is_no_reset(
    server: Server, plant: Plant, values_of: Callable[..., Awaitable[list[float]]]
) -> None:
    """By less than an eighth the fall is left out; from there on the counter began again at zero."""
    small, large = 876.0, 875.0
    for fallen in (small, large):
        plant(server, [sampled("fallen", [900.0, 1000.0, fallen, fallen + 10], {"to": str(fallen)})])
    for fallen, increase in ((small, 110.0), (large, 985.0)):
        for function, expected in (("increase", increase), ("rate", increase / 45)):
            querier = FixedQuerier("fallen", {"to": str(fallen)}, strategy=Over(function))
            assert [pytest.approx(expected)] == await values_of(querier)


async def test_an_answer_that_is_no_number_is_left_out(
    server: Server, plant: Plant, values_of: Callable[..., Awaitable[list[float]]]
) -> None:
    """Nothing divided by nothing is no series."""
    plant(server, [sampled("nothing", [0.0])])
    assert [0.0] == await values_of(FixedQuerier("nothing"))
    assert [] == await values_of(FixedQuerier("nothing", strategy=by_itself))


async def test_one_side_without_labels_is_for_all_of_the_other(
    server: Server, plant: Plant, values_of: Callable[..., Awaitable[list[float]]]
) -> None:
    """Where Prometheus finds no pair it answers nothing."""
    plant(server, [sampled("sided", [1.0], {"x": "a"}), sampled("sided", [2.0], {"x": "b"}), sampled("alone", [5.0])])
    assert [-4.0, -3.0] == sorted(await values_of(FixedQuerier("sided", strategy=apart)))


async def test_the_sample_on_the_beginning_of_a_window_is_outside(
    client: VictoriaMetricsClient, server: Server, plant: Plant, values_of: Callable[..., Awaitable[list[float]]]
) -> None:
    """Of a minute the four later samples count; and the name stays, unless something aggregates."""
    plant(server, [sampled("edged", [1.0, 2.0, 4.0, 8.0, 16.0])])
    assert [30.0] == await values_of(FixedQuerier("edged", strategy=Over("sum_over_time")), "1m")
    lowest = FixedQuerier("edged", strategy=Over("min_over_time"))
    result = await client.query_utilization_now(lowest, time=NOW, rate_interval="1m")
    assert [({"__name__": "edged"}, 2.0)] == [(dict(sample.labels), sample.value) for sample in result.samples]


async def test_a_class_of_all_characters_misses_some(client: VictoriaMetricsClient, server: Server, plant: Plant) -> None:
    """And there is a regex that does not."""
    texts = ["a", "a b", "a.b", "a\nb"]
    plant(server, [sampled("lettered", [1.0], {"x": text}) for text in texts])
    seen = {}
    for regex in (r"[\s\S]*", "(?s).*"):
        seen[regex] = await client.label_values("x", match=Selector("lettered", {"x": LabelMatcher.regex(regex)}))
    assert {r"[\s\S]*": ["a"], "(?s).*": sorted(texts)} == seen
