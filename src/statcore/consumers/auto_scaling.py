"""Auto-scaling of endpoints: reads once what the rules of many endpoints look at, and decides for each endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import attrs

from statcore.concurrency import give_way
from statcore.consumers.decision import ScalingDecision, decide
from statcore.consumers.rules import ScalingRule, check_replicas
from statcore.consumers.snapshot import active_replicas, collect, observe
from statcore.model.inventory import EndpointRecord
from statcore.model.text import id_text
from statcore.model.time import parse_time
from statcore.ports.inventory import InventoryPort, find_records
from statcore.ports.metrics import MetricQuerierPort
from statcore.promql.templates import Preset
from statcore.statistics.stateful_source import StatisticsStatefulSource

_Id = TypeVar("_Id", bound=UUID | str)


# tuple itself would be simpler, but mypy's plugin for attrs does not solve type variables.
def _in_order(rules: Iterable[ScalingRule]) -> tuple[ScalingRule, ...]:
    return tuple(rules)


@attrs.frozen(kw_only=True)
class Deployment:
    """An endpoint, its number of replicas, and the rules that may change it; an earlier rule has precedence.

    Raises:
        InputError: the id is not a UUID, or the number of replicas is not a whole number from 0 up.
    """

    endpoint_id: str = attrs.field(converter=id_text)
    replicas: int = attrs.field(validator=check_replicas)
    rules: tuple[ScalingRule, ...] = attrs.field(converter=_in_order)


@attrs.frozen
class AutoScaler:
    """The part that both repositories share: what they read through, and how they decide.

    Args:
        source: live statistics of kernels and endpoints.
        inventory: which replicas an endpoint has, and which kernels their sessions have.
        metrics: the backend that answers queriers and presets of rules. Without it these rules are blind, and no error
            is raised: the rules of one user must not stop the decisions for all others.
        presets: by name, as `PluginRegistry.presets` or `PresetCatalog.presets` has them, for rules that name a preset.
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
        """Return one decision for each deployment; `endpoints` are the endpoints that exist, if they were read before."""
        snapshot = await collect(
            ((deployment.endpoint_id, rule) for deployment in deployments for rule in deployment.rules),
            now=now,
            source=self.source,
            inventory=self.inventory,
            metrics=self.metrics,
            presets=self.presets,
            endpoints=endpoints,
        )
        decisions: list[ScalingDecision] = []
        for deployment in deployments:
            observations = [observe(rule, deployment.endpoint_id, snapshot) for rule in deployment.rules]
            decisions.append(decide(deployment.rules, observations, replicas=deployment.replicas, now=now))
            await give_way()  # entries are decoded when they are observed, and there may be thousands of endpoints
        return decisions


@attrs.frozen
class DeploymentRepository(AutoScaler):
    """Decides for deployments; the manager keeps their numbers of replicas."""

    async def decide_replicas(self, deployments: Sequence[Deployment], *, now: datetime) -> Sequence[ScalingDecision]:
        """Return one decision for each deployment, in order.

        Each kind of data is read at most once for all deployments, and not at all if no rule needs it. A rule whose data
        is missing, stale, malformed, partial or cannot be read is blind, and its outcome says why; a service that fails
        does not raise. While a rule of an endpoint is blind, no rule of that endpoint removes replicas.

        Args:
            deployments: the same endpoint may occur more than once.
            now: an aware datetime, at which queries are evaluated and cool-downs are checked.

        Raises:
            InputError: `now` has no zone.
        """
        return await self._decide(deployments, now=parse_time(now))


@attrs.frozen
class ScheduleRepository(AutoScaler):
    """Decides for endpoints; the inventory knows their numbers of replicas. This is the scheduler's tick."""

    async def autoscale(
        self, rules: Mapping[_Id, Sequence[ScalingRule]], *, now: datetime
    ) -> Mapping[_Id, ScalingDecision | None]:
        """Return a decision for each endpoint, from its number of active replicas; None if the endpoint does not exist.

        What is read and which rules are blind is as in `DeploymentRepository.decide_replicas`, except that an inventory
        that fails raises: without it there is no number of replicas.

        Args:
            rules: by endpoint id, an earlier rule with precedence; usually `ComparatorRule`, but any rule will do.
            now: an aware datetime, at which queries are evaluated and cool-downs are checked.

        Raises:
            InputError: an id is not a UUID, or `now` has no zone.
            StatcoreError: the inventory cannot be read, as `InventoryPort` says.
        """
        moment = parse_time(now)
        ids = {key: id_text(key) for key in rules}
        endpoints = await find_records(self.inventory.find_endpoints, ids.values())
        deployments = {
            key: Deployment(endpoint_id=id_, replicas=len(active_replicas(endpoints[id_])), rules=rules[key])
            for key, id_ in ids.items()
            if id_ in endpoints
        }
        decisions = await self._decide(list(deployments.values()), now=moment, endpoints=endpoints)
        decided = dict(zip(deployments, decisions, strict=True))
        return {key: decided.get(key) for key in rules}
