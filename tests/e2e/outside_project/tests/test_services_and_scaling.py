"""What a host asks over open ports: many queriers, services, presets, and auto-scaling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs
import pytest
from embedding import BATTERY, ENDPOINT, KERNELS, SESSION, cluster, embed
from outside_batteries import BatteryMetricQuerier

from statcore import InputError, MatrixResult, QueryTimeRange, StatcoreError, VectorResult
from statcore.consumers import (
    Abstention,
    ComparatorRule,
    Deployment,
    DeploymentRepository,
    PresetQuery,
    ScheduleRepository,
    ThresholdRule,
    Verdict,
    decide,
)
from statcore.plugins import PluginRegistry, PresetCatalog
from statcore.runtime import Runtime, Settings
from statcore.services import (
    ContainerMetricAction,
    ContainerMetricMetadataAction,
    ContainerMetricOptionalLabel,
    ContainerUtilizationMetricService,
    KernelLiveStatService,
    PresetService,
    available_metrics,
)
from statcore.statistics import UtilizationSource

PRESET: Final = """
[presets.top]
description = "d"
template = "max(battery_charge{${{ labels }}})"
filter_labels = ["maker"]
"""


def test_many_queriers_at_once(registry: PluginRegistry, settings: Settings) -> None:
    """Each querier has one outcome, in order: an answer or its own error."""

    async def work(runtime: Runtime, _: PluginRegistry) -> None:
        source, now = UtilizationSource(runtime.metrics, max_values=10), datetime.now(UTC)
        time_range = QueryTimeRange(start=now - timedelta(minutes=1), end=now, step="30s")
        makers = [BatteryMetricQuerier(maker=maker) for maker in ("\ud800", "m")]
        queriers = [BatteryMetricQuerier(battery_id=UUID(BATTERY)), *makers]
        found, refused, everything = await source.read_utilization_batch(queriers, time_range, rate_interval="1m")
        assert isinstance(found, MatrixResult)
        assert [80.0] == [series.values[-1] for series in found.series]
        assert isinstance(refused, StatcoreError)
        assert isinstance(everything, MatrixResult)
        (now_found,) = await source.read_utilization_now_batch(queriers[:1], time=now)
        assert isinstance(now_found, VectorResult)

    embed(settings, registry, work)


def test_services(registry: PluginRegistry, settings: Settings) -> None:
    """Containers in the old shape, live statistics from the metric backend, and presets of plugins and files."""

    async def work(runtime: Runtime, plugins: PluginRegistry) -> None:
        now = datetime.now(UTC)
        service = ContainerUtilizationMetricService(runtime.metrics, rate_interval="1m")
        labels = ContainerMetricOptionalLabel(value_type="current", kernel_id=KERNELS[0])
        action = ContainerMetricAction("mem", labels, start=now, end=now + timedelta(seconds=1), step="1s")
        for method in (service.fetch_metric, service.query_metric):
            (result,) = (await method(action)).result
            assert (KERNELS[0], None) == (result.metric.kernel_id, result.metric.owner_user_id)
            assert "4096" == result.values[0].value
        assert ["mem"] == (await service.query_metadata(ContainerMetricMetadataAction())).metric_names
        assert ["battery_charge"] == await available_metrics(runtime.metrics, series="battery_charge", metric_label=None)

        live = KernelLiveStatService(runtime.metrics, window="1m")  # type: ignore[arg-type]
        batch = await live.fetch_kernel_statistics([UUID(KERNELS[0]), KERNELS[1]], time=now)
        assert ("4096", None) == (batch[0] and batch[0]["mem"]["current"], batch[1])

        catalog = PresetCatalog.read(plugins, {"file": PRESET})
        assert ("file", "outside-batteries 1.0.0") == (catalog.origin("top"), catalog.origin("battery-charge"))
        presets = PresetService(runtime.metrics, catalog.presets)  # type: ignore[arg-type]
        top = await presets.query_preset_now("top", labels={"maker": "m"})
        assert [80.0] == [sample.value for sample in top.samples]
        time_range = QueryTimeRange(start=now, end=now, step="1s")
        charge = await presets.query_preset("battery-charge", time_range=time_range, group_labels=["maker"])
        assert [{"maker": "m"}] == [series.labels for series in charge.series]
        assert 'max(battery_charge{maker="m"})' == presets.promql("top", time_range=time_range, labels={"maker": "m"})

    embed(settings, registry, work)


def test_kernels_from_the_metric_backend(registry: PluginRegistry, settings: Settings) -> None:
    """`kernel_statistics="metrics"` reads samples in the shape of the store."""

    async def work(runtime: Runtime, _: PluginRegistry) -> None:
        batch = await runtime.repository.get_kernel_statistics_batch(KERNELS)
        assert ["4096", None] == [entry and entry["mem"]["current"] for entry in batch]

    embed(attrs.evolve(settings, kernel_statistics="metrics"), registry, work)


KERNEL_RULE: Final = ThresholdRule(
    name="busy", source="kernel", metric_name="cpu_util", upper_threshold="80", lower_threshold=20, max_replicas=5
)
REQUEST_RULE: Final = ComparatorRule(
    name="requests",
    source="inference-framework",
    metric_name="running",
    threshold=10,
    comparator="greater-than",
    step_size=2,
    cooldown_s=60,
)
QUERY_RULE: Final = ThresholdRule(
    name="flat", source="prometheus", querier=BatteryMetricQuerier(), upper_threshold=50, step_size=3
)
PRESET_RULE: Final = ThresholdRule(
    name="full", source="preset", preset=PresetQuery("battery-charge", labels={"maker": "m"}), upper_threshold=50
)


@pytest.mark.parametrize("rule", [KERNEL_RULE, REQUEST_RULE, QUERY_RULE, PRESET_RULE], ids=lambda rule: rule.name)
def test_both_repositories_decide(rule: Any, registry: PluginRegistry, settings: Settings) -> None:
    """Each source of a rule is read through the source, the inventory, the backend and the presets."""

    async def work(runtime: Runtime, plugins: PluginRegistry) -> None:
        source, now = runtime.repository.source, datetime.now(UTC)
        ports: dict[str, Any] = {"metrics": runtime.metrics, "presets": plugins.presets}
        deployment = Deployment(endpoint_id=UUID(ENDPOINT), replicas=1, rules=[rule])
        decided = DeploymentRepository(source, cluster(), **ports)
        (decision,) = await decided.decide_replicas([deployment], now=now)
        assert (1 + rule.step_size, 1, True) == (decision.replicas, decision.previous, decision.changed)
        triggered = [(outcome.rule, outcome.verdict) for outcome in decision.outcomes]
        assert ([(rule, Verdict.TRIGGERED)], rule) == (triggered, decision.rule)
        assert rule.name in decision.reason

        schedule = ScheduleRepository(source, cluster(), **ports)
        scheduled = await schedule.autoscale({ENDPOINT: [rule], SESSION: [rule]}, now=now)
        assert (decision, None) == (scheduled[ENDPOINT], scheduled[SESSION])
        resting = attrs.evolve(rule, last_triggered_at=now, cooldown_s=60)
        (held,) = await decided.decide_replicas([attrs.evolve(deployment, rules=(resting,))], now=now)
        assert [Verdict.COOLING_DOWN] == [outcome.verdict for outcome in held.outcomes]

    embed(settings, registry, work)


def test_a_blind_rule_holds_back_a_step_down() -> None:
    """`decide` is pure: rules and observations to a decision."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    decision = decide([KERNEL_RULE, REQUEST_RULE], [Decimal(1), Abstention("no data")], replicas=3, now=now)
    assert (3, None, False) == (decision.replicas, decision.rule, decision.changed)
    assert ["held-back", "abstained"] == [outcome.verdict.value for outcome in decision.outcomes]
    with pytest.raises(InputError):
        ThresholdRule(name="x", source="kernel", upper_threshold=1)
