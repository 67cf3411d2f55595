"""The differences of the read-me, and no others, in a real server's answers to values calculated by hand."""

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
from statcore_victoriametrics.client import VictoriaMetricsClient

Plant = Callable[..., None]
ValuesOf = Callable[..., Awaitable[list[float]]]
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
def values_of(client: VictoriaMetricsClient) -> ValuesOf:
    """`values_of(querier, window)` returns the values of the querier's samples at `NOW`."""

    async def ask(querier: FixedQuerier, window: str = "5m") -> list[float]:
        result = await client.query_utilization_now(querier, time=NOW, rate_interval=window)
        return [sample.value for sample in result.samples]

    return ask


@pytest.mark.parametrize("function", ["increase", "delta"])
async def test_an_increase_is_that_of_the_window_alone(plant: Plant, values_of: ValuesOf, function: str) -> None:
    """It is from the first to the last sample in the window, not from zero and not from the sample before."""
    plant(
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


async def test_a_small_fall_of_a_counter_is_no_reset(plant: Plant, values_of: ValuesOf) -> None:
    """A fall by less than an eighth is ignored; a larger fall means that the counter began again at zero."""
    small, large = 876.0, 875.0
    for fallen in (small, large):
        plant([sampled("fallen", [900.0, 1000.0, fallen, fallen + 10], {"to": str(fallen)})])
    for fallen, increase in ((small, 110.0), (large, 985.0)):
        for function, expected in (("increase", increase), ("rate", increase / 45)):
            querier = FixedQuerier("fallen", {"to": str(fallen)}, strategy=Over(function))
            assert [pytest.approx(expected)] == await values_of(querier)


async def test_an_answer_that_is_no_number_is_left_out(plant: Plant, values_of: ValuesOf) -> None:
    """Zero divided by zero has no series."""
    plant([sampled("nothing", [0.0])])
    assert [0.0] == await values_of(FixedQuerier("nothing"))
    assert [] == await values_of(FixedQuerier("nothing", strategy=by_itself))


async def test_one_side_without_labels_is_for_all_of_the_other(plant: Plant, values_of: ValuesOf) -> None:
    """Prometheus finds no pair and answers nothing."""
    plant([sampled("sided", [1.0], {"x": "a"}), sampled("sided", [2.0], {"x": "b"}), sampled("alone", [5.0])])
    assert [-4.0, -3.0] == sorted(await values_of(FixedQuerier("sided", strategy=apart)))


async def test_the_sample_on_the_beginning_of_a_window_is_outside(
    client: VictoriaMetricsClient, plant: Plant, values_of: ValuesOf
) -> None:
    """The four later samples of a minute count; the name stays, unless an aggregation drops it."""
    plant([sampled("edged", [1.0, 2.0, 4.0, 8.0, 16.0])])
    assert [30.0] == await values_of(FixedQuerier("edged", strategy=Over("sum_over_time")), "1m")
    lowest = FixedQuerier("edged", strategy=Over("min_over_time"))
    result = await client.query_utilization_now(lowest, time=NOW, rate_interval="1m")
    assert [({"__name__": "edged"}, 2.0)] == [(dict(sample.labels), sample.value) for sample in result.samples]


async def test_a_class_of_all_characters_misses_some(client: VictoriaMetricsClient, plant: Plant) -> None:
    """A regex does not match it."""
    texts = ["a", "a b", "a.b", "a\nb"]
    plant([sampled("lettered", [1.0], {"x": text}) for text in texts])
    seen = {}
    for regex in (r"[\s\S]*", "(?s).*"):
        seen[regex] = await client.label_values("x", match=Selector("lettered", {"x": LabelMatcher.regex(regex)}))
    assert {r"[\s\S]*": ["a"], "(?s).*": sorted(texts)} == seen
