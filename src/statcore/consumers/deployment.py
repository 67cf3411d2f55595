"""Deciding for deployments whose number of replicas the manager itself keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from statcore.consumers.auto_scaler import AutoScaler, Deployment
from statcore.consumers.decision import ScalingDecision
from statcore.model.time import parse_time


@attrs.frozen
class DeploymentRepository(AutoScaler):
    """Reads what the rules of deployments look at, and decides how many replicas each should have."""

    async def decide_replicas(self, deployments: Sequence[Deployment], *, now: datetime) -> Sequence[ScalingDecision]:
        """Return one decision for each deployment, in order.

        There is at most one read of each kind for all of them, and none that no rule needs. A rule whose data is missing,
        stale, malformed, partial or cannot be read is blind, and its outcome says why; no failure of a service raises.
        While a rule of an endpoint is blind, none of its rules takes replicas away.

        Args:
            deployments: the same endpoint may occur more than once.
            now: aware; when queries are evaluated, and what cool-downs are counted to.

        Raises:
            InputError: `now` has no zone.
        """
        return await self._decide(deployments, now=parse_time(now))
