"""From the rules of many endpoints to their decisions: what both repositories share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from statcore.concurrency import run_concurrently
from statcore.consumers.decision import ScalingDecision, decide
from statcore.consumers.observation import Abstention, Observation
from statcore.consumers.observing import (
    Observe,
    find_records,
    observe_endpoints,
    observe_kernels,
    observe_presets,
    observe_queries,
    or_abstain,
)
from statcore.consumers.rules import MetricSource, ScalingRule, check_replicas
from statcore.errors import StatcoreError
from statcore.model.inventory import EndpointRecord
from statcore.model.text import describe, id_text
from statcore.ports.inventory import InventoryPort
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.preset import Preset
from statcore.statistics.stateful_source import StatisticsStatefulSource


def _endpoint_id(value: UUID | str) -> str:
    return id_text(value)


def _rules(rules: Iterable[ScalingRule]) -> tuple[ScalingRule, ...]:
    return tuple(rules)


@attrs.frozen(kw_only=True)
class Deployment:
    """An endpoint, how many replicas it has, and the rules that may change that, the earlier one with precedence.

    Raises:
        InputError: the id is not a UUID, or the number of replicas not a whole one from 0 up.
    """

    endpoint_id: str = attrs.field(converter=_endpoint_id)
    replicas: int = attrs.field(validator=check_replicas)
    rules: tuple[ScalingRule, ...] = attrs.field(converter=_rules)


@attrs.frozen
class AutoScaler:
    """The repositories' constructor.

    Args:
        source: live statistics of kernels and endpoints.
        inventory: which replicas an endpoint has, and which kernels they run.
        metrics: what answers the queriers and presets of rules. Without it those rules are blind: the manager's users write
            rules, and one of theirs must not stop the decisions for all others.
        presets: by name, as `PluginRegistry.presets` or `PresetCatalog.presets` has them, for rules that name one.
    """

    source: StatisticsStatefulSource
    inventory: InventoryPort
    metrics: MetricQuerierPort | None = attrs.field(default=None, kw_only=True)
    presets: Mapping[str, Preset] = attrs.field(factory=dict[str, Preset], kw_only=True)

    async def _decide(
        self,
        deployments: Sequence[Deployment],
        *,
        now: datetime,
        endpoints: Mapping[str, EndpointRecord] | None = None,
    ) -> list[ScalingDecision]:
        """Read what the rules need, concurrently, and decide for each deployment; `endpoints` are those found before."""
        rules = [rule for deployment in deployments for rule in deployment.rules]
        by_endpoint, by_query, by_preset = await run_concurrently(
            [
                self._observe_endpoints(deployments, endpoints),
                observe_queries(rules, metrics=self.metrics, now=now),
                observe_presets(rules, presets=self.presets, metrics=self.metrics, now=now),
            ]
        )
        observe_by = {MetricSource.PROMETHEUS: by_query, MetricSource.PRESET: by_preset}
        decisions: list[ScalingDecision] = []
        for deployment in deployments:
            observations = [
                _observation(observe_by.get(rule.source, by_endpoint), deployment.endpoint_id, rule)
                for rule in deployment.rules
            ]
            decisions.append(decide(deployment.rules, observations, replicas=deployment.replicas, now=now))
            await asyncio.sleep(0)  # entries are decoded when they are looked at, and others want their turns
        return decisions

    @or_abstain("the inventory")
    async def _observe_endpoints(
        self, deployments: Sequence[Deployment], endpoints: Mapping[str, EndpointRecord] | None
    ) -> Observe:
        wanted = {
            source: [
                one.endpoint_id
                for one in deployments
                if any(rule.source is source and not rule.void_reason for rule in one.rules)
            ]
            for source in (MetricSource.KERNEL, MetricSource.INFERENCE_FRAMEWORK)
        }
        if endpoints is None:
            endpoints = await find_records(self.inventory.find_endpoints, [id_ for ids in wanted.values() for id_ in ids])
        found = endpoints
        kernels, own = ({id_: found[id_] for id_ in ids if id_ in found} for ids in wanted.values())
        by_kernels, by_own = await run_concurrently(
            [
                observe_kernels(kernels, source=self.source, inventory=self.inventory),
                observe_endpoints(own, source=self.source),
            ]
        )

        def observe(endpoint_id: str, rule: ScalingRule) -> Observation:
            if endpoint_id not in found:
                return Abstention(f"endpoint {endpoint_id} does not exist")
            return (by_kernels if rule.source is MetricSource.KERNEL else by_own)(endpoint_id, rule)

        return observe


def _observation(observe: Observe, endpoint_id: str, rule: ScalingRule) -> Observation:
    if rule.void_reason:
        return Abstention(rule.void_reason)
    try:
        return observe(endpoint_id, rule)
    except StatcoreError as error:  # an entry of a third party's store may decode itself only now
        return Abstention(f"{rule.subject} cannot be read: {describe(error)}")
