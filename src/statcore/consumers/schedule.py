"""The scheduler's tick: deciding from the number of replicas that the inventory counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import attrs

from statcore.consumers.auto_scaler import AutoScaler, Deployment
from statcore.consumers.decision import ScalingDecision
from statcore.consumers.observing import active_replicas, find_records
from statcore.consumers.rules import ScalingRule
from statcore.model.text import id_text
from statcore.model.time import parse_time

_Id = TypeVar("_Id", bound=UUID | str)


@attrs.frozen
class ScheduleRepository(AutoScaler):
    """Reads what the rules of endpoints look at, and decides from the number of active replicas."""

    async def autoscale(
        self, rules: Mapping[_Id, Sequence[ScalingRule]], *, now: datetime
    ) -> Mapping[_Id, ScalingDecision | None]:
        """Return a decision for each endpoint, None for one that does not exist: there is nothing to count.

        Reads and blind rules are those of `DeploymentRepository`, only that without an inventory there is no decision.

        Args:
            rules: by endpoint id, the earlier rule with precedence; usually `ComparatorRule`, and either form will do.
            now: aware; when queries are evaluated, and what cool-downs are counted to.

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
