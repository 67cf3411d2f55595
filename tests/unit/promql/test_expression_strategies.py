"""Strategies that are none of the three: those of plugins, written with values of `statcore.promql`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from tests.own_strategies import Quantile, used

from statcore.errors import InputError, PluginError, UnsupportedError
from statcore.model import QueryTimeRange, VectorResult
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    RangeSelector,
    Selector,
    Subquery,
    render,
    utilization_query,
)
from statcore.queriers import LabelMatcher, ResolvedQuerier, coalesce
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics


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


async def test_memory_says_what_it_cannot_evaluate() -> None:
    """It answers the three strategies alone."""
    with pytest.raises(UnsupportedError, match=r"cannot evaluate histogram_quantile\(0\.5, "):
        await MemoryMetrics().query_utilization(asking(Quantile(0.5)), QueryTimeRange(start=0, end=60, step="1m"))
    with pytest.raises(UnsupportedError, match=r"cannot evaluate sum by \(host\)\(total"):
        await MemoryMetrics().query_utilization_now(asking(used))


@attrs.frozen
class Reading:
    """Divides what is asked for by what is read with other labels."""

    change: Callable[[dict[str, Any]], dict[str, Any]] = attrs.field(eq=False)
    replaces: Any = attrs.field(default=(), eq=False)

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
        """Read the other metric in the deepest place."""
        del window
        other = Call("max_over_time", Subquery(Selector("other", self.change(dict(asked.wanted))), "5m"))
        ours = HistogramQuantile(0.5, Selector(asked.name, asked.wanted))
        return ConstantLabel(Aggregation("sum", BinaryOperation("and", ours, other)), "kind", "x")


def reading(change: Callable[[dict[str, Any]], dict[str, Any]], replaces: Any = ()) -> Expression:
    """Return the expression for three racks of a user on a host."""
    labels = {
        "user_id": "u",
        "host": "a",
        "rack": LabelMatcher.one_of(["r1", "r2", "r3"]),
        "mode": LabelMatcher.regex("a|b"),
    }
    return utilization_query(FixedQuerier("m", labels, strategy=Reading(change, replaces)))


@pytest.mark.parametrize(
    ("change", "label"),
    [
        (lambda _: {}, "user_id='u'"),
        (lambda labels: {**labels, "user_id": "v"}, "user_id='u'"),
        (lambda labels: {**labels, "user_id": LabelMatcher.regex("u")}, "user_id='u'"),
        (lambda labels: {**labels, "host": LabelMatcher.one_of(["a", "b"])}, "host='a'"),
        (lambda labels: {**labels, "host": LabelMatcher.not_equal("a")}, "host='a'"),
        (lambda labels: {name: value for name, value in labels.items() if name != "host"}, "host='a'"),
        (lambda labels: {**labels, "rack": LabelMatcher.one_of(["r1", "r4"])}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": LabelMatcher.regex("r1|r2")}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": LabelMatcher.not_equal("r1")}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "rack": ""}, "rack=~'r1|r2|r3'"),
        (lambda labels: {**labels, "mode": "a"}, "mode=~'a|b'"),
        (lambda labels: {**labels, "mode": LabelMatcher.not_regex("a|b")}, "mode=~'a|b'"),
    ],
)
def test_a_strategy_that_reads_more_than_the_querier_is_refused(change: Any, label: str) -> None:
    """One selector is enough, of whatever series and however deep; the plugin is named, and so is the label."""
    with pytest.raises(
        PluginError, match=r"the strategy .*\.Reading reads more than the querier asks for: other"
    ) as raised:
        reading(change)
    assert f"does not match {label}; each selector takes all of the labels" in str(raised.value)
    assert (f"{__name__}.Reading", "__call__") == (raised.value.plugin, raised.value.method)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels,
        lambda labels: {"phase": "all", **labels},
        lambda labels: {**labels, "host": LabelMatcher.one_of(["a"])},
        lambda labels: {**labels, "rack": "r2"},
        lambda labels: {**labels, "rack": LabelMatcher.one_of(["r3", "r1"])},
        lambda labels: {**labels, "mode": LabelMatcher.one_of(["b", "a"])},
    ],
)
def test_a_strategy_may_read_less(change: Any) -> None:
    """More matchers, and literal values out of those that are asked for."""
    assert "other{" in reading(change).text


def test_a_strategy_may_declare_what_it_replaces() -> None:
    """That label alone, and not in every selector: then the filter would be gone."""
    assert 'rack="all"' in reading(lambda labels: {**labels, "rack": "all"}, ["rack"]).text
    with pytest.raises(PluginError, match="does not match host='a'"):
        reading(lambda _: {"user_id": "u", "rack": "all"}, {"rack"})

    class Everywhere(Reading):
        """Has nothing else."""

        def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
            """Read one series."""
            del window
            return Aggregation("sum", Selector(asked.name, self.change(dict(asked.wanted))))

    strategy = Everywhere(lambda _: {"host": "b"}, ("host",))
    with pytest.raises(PluginError, match="reads more than the querier asks for: no selector matches host='a'"):
        utilization_query(FixedQuerier("m", {"host": "a"}, strategy=strategy))


def forgetful(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Take a matcher out of what it is given."""
    labels: Any = asked.wanted
    del window, labels["host"]
    return Aggregation("sum", Selector(asked.name, labels))


def test_a_strategy_cannot_change_what_it_is_held_to() -> None:
    """The matchers are the querier's, whatever becomes of the mapping that it is given."""
    with pytest.raises(PluginError, match="seconds_bucket does not match host='a'"):
        utilization_query(asking(forgetful))


@pytest.mark.parametrize("label", ["project_id", "user_id", "agent_id", "session_id", "kernel_id"])
def test_what_a_scope_uses_cannot_be_replaced(label: str) -> None:
    """Whether or not the querier matches it, so that nothing slips through once it does."""
    with pytest.raises(PluginError, match=rf"Reading declares {label} in `replaces`") as raised:
        reading(lambda labels: labels, ["le", label])
    assert "replaces" == raised.value.method


@pytest.mark.parametrize("replaces", ["le", 5, None, [5], ["a{"], [None]])
def test_what_is_declared_are_names(replaces: Any) -> None:
    """One text is no collection: each of its letters would be a label."""
    with pytest.raises(PluginError, match="Reading has no collection of label names in `replaces`: InputError"):
        reading(lambda labels: labels, replaces)


def test_queriers_asked_together_read_no_more_than_each() -> None:
    """What they share is what the strategy is given, and is held to."""
    queriers = [
        FixedQuerier("m", {"host": host}, group_by=["host"], strategy=Reading(lambda labels: {**labels, "host": "c"}))
        for host in ("a", "b")
    ]
    with pytest.raises(PluginError, match=r'other.*host="c".* does not match host'):
        [utilization_query(one) for one in coalesce(queriers)]


async def test_a_strategy_that_widens_harms_no_other_querier() -> None:
    """The error stands in its place, and the other is answered."""
    ordinary = FixedQuerier("up", {"host": "a"}, group_by=["host"])
    wide = asking(lambda asked, _window: Aggregation("sum", Selector(asked.name), asked.group_by))
    first, answer = await UtilizationSource(MemoryMetrics()).read_utilization_now_batch([wide, ordinary])
    assert isinstance(first, PluginError)
    assert VectorResult(samples=()) == answer
