"""Strategies that are none of the three: those of plugins, written with values of `statcore.promql`."""

from __future__ import annotations

from typing import Any

import pytest
from tests.own_strategies import Quantile, used

from statcore.errors import InputError, PluginError
from statcore.model import VectorResult, parse_time
from statcore.promql import (
    Expression,
    RangeSelector,
    Selector,
    render,
    utilization_query,
)
from statcore.queriers import ResolvedQuerier, coalesce
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics

# Observations per second that took at most so many seconds.
BUCKETS = {"1": 2.0, "2": 6.0, "+Inf": 8.0}


def asking(strategy: Any, host: str = "a") -> FixedQuerier:
    """Return a querier with a strategy."""
    return FixedQuerier("seconds_bucket", {"host": host}, group_by=["host"], strategy=strategy)


def test_the_expression_is_the_strategys() -> None:
    """It is given the labels, the labels to group by, and the window as text."""
    expected = 'histogram_quantile(0.95, sum by (host,le)(rate(seconds_bucket{host="a"}[90s])))'
    assert expected == render(utilization_query(asking(Quantile(0.95)), rate_interval="90s"))
    assert 'sum by (host)(total{host="a"}) - sum by (host)(free{host="a"})' == render(utilization_query(asking(used)))


def test_queriers_with_equal_strategies_share_a_request() -> None:
    """The strategy is asked with what all of them want; another quantile is another request."""
    queriers = [asking(Quantile(0.5)), asking(Quantile(0.5), "b"), asking(Quantile(0.9), "c"), asking(used)]
    texts = [render(utilization_query(one)) for one in coalesce(queriers)]
    assert [
        'histogram_quantile(0.5, sum by (host,le)(rate(seconds_bucket{host=~"a|b"}[5m])))',
        'histogram_quantile(0.9, sum by (host,le)(rate(seconds_bucket{host="c"}[5m])))',
        'sum by (host)(total{host="a"}) - sum by (host)(free{host="a"})',
    ] == texts


def raising(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Fail."""
    raise LookupError(f"{asked.name} {window}")


def text(asked: ResolvedQuerier, window: str, /) -> Any:
    """Return what could hold anything."""
    return f"{asked.name}[{window}]"


async def awaited(asked: ResolvedQuerier, window: str, /) -> Any:
    """Answer later."""
    return raising(asked, window)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (raising, "raising raised LookupError: seconds_bucket 5m"),
        (text, "text answered 'seconds_bucket[5m]': expected an expression of statcore.promql"),
        (lambda *_: RangeSelector(Selector("up"), "5m"), "<lambda> answered RangeSelector"),
        (lambda: None, "<lambda> raised TypeError"),
        (awaited, "awaited answered <coroutine ob"),
    ],
)
def test_a_strategy_that_breaks_its_contract_is_named(strategy: Any, message: str) -> None:
    """By module and name; text of its own is nothing that could be trusted to stay in its place."""
    with pytest.raises(PluginError, match=r"the strategy .*test_expression_strategies\.") as raised:
        utilization_query(asking(strategy))
    assert message in str(raised.value)
    assert raised.value.plugin.startswith(__name__)
    assert "__call__" == raised.value.method


def test_bad_input_is_the_callers() -> None:
    """A strategy that refuses what it was given says so itself."""
    with pytest.raises(InputError, match=r"a quantile is from 0 to 1, not 95"):
        utilization_query(asking(Quantile(95)))


def test_a_strategy_that_cannot_be_compared_is_refused() -> None:
    """Whether two are the same question could not be told."""

    class Unhashable(list[int]):
        def __call__(self) -> None:
            """Do nothing."""

    with pytest.raises(PluginError, match=r"query_strategy\(\) answered .* a strategy that can be hashed") as raised:
        utilization_query(asking(Unhashable()))
    assert "query_strategy" == raised.value.method


class Odd:
    """A strategy that cannot be looked at."""

    def __hash__(self) -> int:
        """Be like every other."""
        return 1

    def __eq__(self, other: object) -> bool:
        """Fail."""
        raise LookupError

    def __getattr__(self, name: str) -> Any:
        """Fail."""
        raise LookupError(name)

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Any:
        """Fail."""
        return raising(asked, window)


async def test_an_odd_strategy_harms_no_other_querier() -> None:
    """Neither comparing nor naming it takes the batch with it, and its error names its class."""
    ordinary = FixedQuerier("up", {"host": "a"}, group_by=["host"])
    queriers = [asking(Odd()), asking(Odd(), "b"), ordinary]
    first, second, answer = await UtilizationSource(MemoryMetrics()).read_utilization_now_batch(queriers)

    assert isinstance(first, PluginError)
    assert "test_expression_strategies.Odd has no collection of label names in `replaces`: LookupError" in str(first)
    assert isinstance(second, PluginError)
    assert VectorResult(samples=()) == answer


async def test_strategies_are_tested_without_a_server() -> None:
    """The memory backend evaluates whatever a strategy answers with."""
    backend = MemoryMetrics()
    for second in range(0, 120, 15):
        buckets = [("seconds_bucket", {"host": "a", "le": le}, second * rate) for le, rate in BUCKETS.items()]
        amounts = [("total", {"host": "a"}, 100.0), ("free", {"host": "a"}, 30.0)]
        backend.append_scrape([*buckets, *amounts], target="a", time=second)
    for strategy, expected in ((Quantile(0.5), 1.5), (used, 70.0)):
        answer = await backend.query_utilization_now(asking(strategy), time=parse_time(105))
        assert [({"host": "a"}, pytest.approx(expected))] == [(one.labels, one.value) for one in answer.samples]
