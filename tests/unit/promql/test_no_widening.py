"""No widening: a plugin's strategy reads no series that its querier does not ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from statcore.errors import InputError, PluginError
from statcore.model import VectorResult
from statcore.promql import (
    Aggregation,
    BinaryOperation,
    Call,
    ConstantLabel,
    Expression,
    HistogramQuantile,
    Number,
    Selector,
    Subquery,
    utilization_query,
)
from statcore.queriers import LabelMatcher, ResolvedQuerier, coalesce
from statcore.statistics import UtilizationSource
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics


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
    with pytest.raises(PluginError, match=r"the strategy .*\.Reading reads more than the query asks for: other") as raised:
        reading(change)
    assert f"does not match {label}; write every matcher of the query in each selector" in str(raised.value)
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
    with pytest.raises(PluginError, match="reads more than the query asks for: no selector matches host='a'"):
        utilization_query(FixedQuerier("m", {"host": "a"}, strategy=strategy))


@attrs.frozen
class Naming:
    """Gives all that is asked for one more label, deep inside."""

    label: str
    replaces: tuple[str, ...] = ()

    def __call__(self, asked: ResolvedQuerier, window: str, /) -> Expression:
        """Return the sum."""
        del window
        named = ConstantLabel(Aggregation("sum", Selector(asked.name, asked.wanted)), self.label, "a")
        return BinaryOperation("*", Aggregation("sum", named, asked.group_by), Number(1))


@pytest.mark.parametrize("label", ["host", "user_id"])
def test_a_constant_label_hides_no_label_that_tells_series_apart(label: str) -> None:
    """Neither one that is matched nor one that says whose a series is: with others, a querier would be answered theirs."""
    queriers = [FixedQuerier("m", {"host": host}, group_by=["host"], strategy=Naming(label)) for host in ("a", "b")]
    (together,) = coalesce(queriers)
    for querier in (*queriers, together):
        with pytest.raises(PluginError, match=rf"Naming reads more .*: label_replace\(sum.* sets {label}, by which series"):
            utilization_query(querier)


def test_a_constant_label_may_be_declared() -> None:
    """Or be another one."""
    for strategy in (Naming("host", ("host",)), Naming("kind")):
        assert "label_replace" in utilization_query(FixedQuerier("m", {"host": "a"}, strategy=strategy)).text


class Unlike(LabelMatcher):
    """A matcher that says of itself that it is within every other."""

    def is_within(self, other: LabelMatcher) -> bool:
        """Return True."""
        del other
        return True


def test_a_matcher_is_no_subclass() -> None:
    """It could say one thing of itself and be another: neither strategies nor queriers have such."""
    with pytest.raises(InputError, match="the label 'host' is matched by text or a LabelMatcher"):
        reading(lambda labels: {**labels, "host": Unlike.regex(".*")})
    with pytest.raises(PluginError, match="text or a LabelMatcher for the label 'host'"):
        utilization_query(FixedQuerier("m", {"host": Unlike.regex(".*")}))


def forgetful(asked: ResolvedQuerier, window: str, /) -> Expression:
    """Take a matcher out of what it is given."""
    labels: Any = asked.wanted
    del window, labels["host"]
    return Aggregation("sum", Selector(asked.name, labels))


def test_a_strategy_cannot_change_what_it_is_held_to() -> None:
    """The matchers are the querier's, whatever becomes of the mapping that it is given."""
    with pytest.raises(PluginError, match="m does not match host='a'"):
        utilization_query(FixedQuerier("m", {"host": "a"}, strategy=forgetful))


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
    wide = FixedQuerier("m", {"host": "a"}, group_by=["host"], strategy=Reading(lambda _: {}))
    first, answer = await UtilizationSource(MemoryMetrics()).read_utilization_now_batch([wide, ordinary])
    assert isinstance(first, PluginError)
    assert VectorResult(samples=()) == answer
