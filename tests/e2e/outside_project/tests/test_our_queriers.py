"""This project's queriers: conformance, their PromQL, their numbers, shared requests, and what else reads queriers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from outside_batteries import BatteryMetricQuerier, PackMetricQuerier, PhaseMetricQuerier
from outside_batteries.plugin import PACK_SPEC, PHASE_SPEC
from outside_batteries.queriers import PackMetric, PercentOfRating, Quantile, lowest

from statcore import ContainerMetricQuerier, InputError, LabelMatcher, PluginError, QueryStrategy, VectorResult
from statcore.plugins import QuerierSpec
from statcore.promql import Aggregation, Selector, render, selectors_in, utilization_query
from statcore.queriers import (
    CoalescedQuerier,
    MatchOperator,
    PercentOfCapacity,
    ResolvedQuerier,
    coalesce,
    resolve,
    strategy_key,
)
from statcore.testing.conformance import QuerierConformance
from statcore.testing.queriers import FixedQuerier
from statcore_memory import MemoryMetrics

ONE, TWO = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


class TestBatteries(QuerierConformance):
    """The class that the hook returns bare."""

    def queriers(self) -> list[BatteryMetricQuerier]:
        """Return some with and without each field."""
        return [
            BatteryMetricQuerier(),
            BatteryMetricQuerier(metric_name="energy", battery_id=ONE),
            BatteryMetricQuerier(metric_name="energy", battery_id=TWO),
            BatteryMetricQuerier(maker="Volta"),
        ]


class TestPacks(QuerierConformance):
    """The class of the spec with an example."""

    def queriers(self) -> list[PackMetricQuerier]:
        """Return some with and without each field."""
        return [
            PackMetricQuerier(site="north"),
            PackMetricQuerier(site="south"),
            PackMetricQuerier(site="north", metric=PackMetric.CYCLES, other_than="Volta"),
        ]

    def spec(self) -> QuerierSpec:
        """Return what the plugin contributes."""
        return PACK_SPEC


class TestPhases(QuerierConformance):
    """The class with strategies of its own: a function, one with `replaces`, and one with a parameter."""

    def queriers(self) -> list[PhaseMetricQuerier]:
        """Return some of each strategy."""
        names = ("lowest", "rated", "switching")
        alone = [PhaseMetricQuerier(metric_name=name) for name in names]  # type: ignore[arg-type]
        return [*alone, *(PhaseMetricQuerier(metric_name="rated", battery_id=id_, phase="a") for id_ in ("b1", "b2"))]

    def spec(self) -> QuerierSpec:
        """Return what the plugin contributes."""
        return PHASE_SPEC


ONE_PHASE = 'battery_id="b1",phase="a"'
TEXTS: list[tuple[Any, str]] = [
    (BatteryMetricQuerier(), "sum by (battery_id)(battery_charge)"),
    (BatteryMetricQuerier(metric_name="energy", maker='V"'), 'sum by (battery_id)(rate(battery_energy{maker="V\\""}[5m]))'),
    (
        PackMetricQuerier(site="north", metric=PackMetric.CYCLES, other_than="Volta"),
        'sum by (site)(rate(pack_measurement{metric="cycles",site="north",maker!="Volta"}[5m]))',
    ),
    (PhaseMetricQuerier(phase="a"), 'min by (battery_id)(min_over_time(battery_current{phase="a"}[5m]))'),
    (
        PhaseMetricQuerier(metric_name="rated", battery_id="b1", phase="a"),
        (
            f'(sum by (battery_id)(battery_current{{{ONE_PHASE},state="on"}})'
            ' / sum by (battery_id)(battery_rating{battery_id="b1"} > 0.0)) * 100.0'
        ),
    ),
    (
        PhaseMetricQuerier(metric_name="switching"),
        "histogram_quantile(0.5, sum by (battery_id,le)(rate(battery_switching_seconds_bucket[5m])))",
    ),
]


@pytest.mark.parametrize(("querier", "text"), TEXTS, ids=[type(querier).__name__ for querier, _ in TEXTS])
def test_a_querier_becomes_the_text_that_it_always_became(querier: Any, text: str) -> None:
    """`render` writes the expression; its selectors can be listed; the window is an argument."""
    expression = utilization_query(querier)
    assert text == render(expression) == expression.text
    assert {selector.name for selector in selectors_in(expression)} >= {querier.name()}
    assert text.replace("5m", "7m") == render(utilization_query(querier, rate_interval=timedelta(minutes=7)))


def test_a_resolved_querier_is_a_named_tuple() -> None:
    """`name`, `wanted`, `group_by` and `strategy`, in this order; strategies are tested with one that is built by hand."""
    resolved = resolve(PhaseMetricQuerier(metric_name="rated", battery_id="b1"))
    name, wanted, group_by, strategy = resolved
    assert ("battery_current", {"battery_id": "b1"}, ("battery_id",), PercentOfRating()) == tuple(resolved)
    assert (name, wanted, group_by, strategy) == (resolved.name, resolved.wanted, resolved.group_by, resolved.strategy)
    assert {"battery_id": LabelMatcher.equal("b1")} == resolved.labels
    assert resolved == ResolvedQuerier(name=name, wanted=wanted, group_by=group_by, strategy=strategy)
    assert "other" == resolved._replace(name="other").name == resolved._replace(name="other")[0]

    by_hand = ResolvedQuerier("x", {"maker": LabelMatcher.one_of(["a", "b"])}, (), lowest)
    assert 'min(min_over_time(x{maker=~"a|b"}[1m]))' == render(lowest(by_hand, "1m"))


def test_resolving_sorts_the_grouping_and_keeps_the_order_of_labels() -> None:
    """A querier that breaks its contract is a `PluginError` that names class and method."""
    resolved = resolve(FixedQuerier("x", {"b": "1", "a": LabelMatcher.regex("2.*")}, group_by=["z", "a", "z"]))
    assert (["b", "a"], ("a", "z"), "gauge") == (list(resolved.wanted), resolved.group_by, resolved.strategy)
    with pytest.raises(PluginError) as caught:
        resolve(FixedQuerier("x", group_by="text"))
    assert ("group_by_labels", "statcore.testing.queriers.FixedQuerier") == (caught.value.method, caught.value.plugin)


def test_matchers_in_all_forms() -> None:
    """Operators and operands can be read, literal values are escaped, and an empty set is refused."""
    forms = (LabelMatcher.equal, LabelMatcher.not_equal, LabelMatcher.regex, LabelMatcher.not_regex)
    assert ["=", "!=", "=~", "!~"] == [form("x").operator for form in forms] == list(MatchOperator)
    assert LabelMatcher.not_equal("x") == LabelMatcher("!=", "x") == LabelMatcher(MatchOperator.NOT_EQUAL, "x")
    several = LabelMatcher.one_of(["b.", "a", "a"])
    assert (MatchOperator.REGEX, r"a|b\.", ("a", "b.")) == (several.operator, several.value, several.alternatives)
    assert several == LabelMatcher.regex(r"a|b\.")
    assert () == LabelMatcher.regex(r"a|b\.").alternatives
    assert LabelMatcher.equal("a") == LabelMatcher.one_of(["a"])
    assert LabelMatcher.one_of({"a"}).is_within(several)
    assert not several.is_within(LabelMatcher.equal("a"))
    assert 2 == len({LabelMatcher.equal("a"), LabelMatcher.one_of("a" for _ in range(2)), several})
    for refused in ([], "text", [1]):
        with pytest.raises(InputError):
            LabelMatcher.one_of(refused)  # type: ignore[arg-type]


def test_alike_queriers_share_a_request_and_get_their_own_series() -> None:
    """Positions, the merged labels and grouping, and the shares of the answer."""
    queriers = [BatteryMetricQuerier(battery_id=TWO), BatteryMetricQuerier(maker="m"), BatteryMetricQuerier(battery_id=ONE)]
    together, alone = coalesce(queriers)
    assert [(0, 2), (1,)] == [together.positions, alone.positions]
    assert isinstance(together, CoalescedQuerier)
    assert {"battery_id": LabelMatcher.one_of([str(ONE), str(TWO)])} == dict(together.labels())
    assert (["battery_id"], QueryStrategy.GAUGE) == (list(together.group_by_labels()), together.query_strategy())
    assert "battery_charge" == together.name()

    answer = asyncio.run(_charges().query_utilization_now(together, time=NOW))
    assert [[20.0], [10.0]] == [[sample.value for sample in part.samples] for part in together.split(answer)]
    assert (answer,) == alone.split(answer)
    assert 3 == len(coalesce([*queriers, queriers[0]], max_values=1))
    with pytest.raises(InputError):
        coalesce(queriers, max_values=0)


def test_replaced_labels_and_different_strategies_share_nothing() -> None:
    """Queriers share where strategies are equal, and never along a label that a strategy replaces."""
    phases = [PhaseMetricQuerier(metric_name="rated", battery_id="b1", phase=phase) for phase in "ab"]
    assert 2 == len(coalesce(phases))
    fixed = [FixedQuerier("x", {"a": str(n)}, group_by=["a"], strategy=Quantile(0.5)) for n in range(3)]
    assert 1 == len(coalesce(fixed))
    assert strategy_key(Quantile(0.5)) == strategy_key(Quantile(0.5)) != strategy_key(Quantile(0.9))
    assert strategy_key(QueryStrategy.RATE) != strategy_key(PercentOfCapacity())


def test_a_strategy_that_reads_more_is_refused() -> None:
    """An expression without one of the querier's matchers is the plugin's fault, before anything is sent."""
    wide = FixedQuerier("x", {"a": "1"}, strategy=lambda query, window: Aggregation("sum", Selector(query.name)))  # noqa: ARG005
    with pytest.raises(PluginError):
        utilization_query(wide)


def _charges() -> MemoryMetrics:
    memory = MemoryMetrics()
    samples = [("battery_charge", {"battery_id": str(id_)}, 10.0 * number) for number, id_ in enumerate((ONE, TWO), 1)]
    memory.append_scrape(samples, target="t", time=NOW)
    return memory


def test_the_numbers_in_memory() -> None:
    """Percent of the rating as the memory backend evaluates it."""
    memory = MemoryMetrics()
    current = {"battery_id": "b1", "phase": "a", "state": "on"}
    memory.append_scrape(
        [("battery_current", current, 5.0), ("battery_rating", {"battery_id": "b1"}, 20.0)], target="t", time=NOW
    )
    querier = PhaseMetricQuerier(metric_name="rated", battery_id="b1", phase="a")
    answer: VectorResult = asyncio.run(memory.query_utilization_now(querier, time=NOW))
    assert [({"battery_id": "b1"}, 25.0)] == [(sample.labels, sample.value) for sample in answer.samples]


def test_the_querier_of_containers() -> None:
    """Keyword-only, ids in any spelling, percent by a strategy of its own."""
    cpu = {"metric_name": "cpu_util", "agent_id": "i-1"}
    querier = ContainerMetricQuerier(**cpu, value_type="current", kernel_id=str(ONE).upper())
    assert ONE == querier.kernel_id
    assert {"value_type", "agent_id", "kernel_id"} == set(querier.group_by_labels())
    assert str(ONE) == querier.labels()["kernel_id"]
    assert QueryStrategy.RATE is querier.query_strategy()
    assert PercentOfCapacity(is_counter=True) == ContainerMetricQuerier(**cpu, value_type="pct").query_strategy()
    for refused in ({"metric_name": "net_rx", "value_type": "pct"}, {"metric_name": "mem", "value_type": "x"}):
        with pytest.raises(InputError):
            ContainerMetricQuerier(**refused)
