"""Auto-scaling: decides on the number of replicas of each endpoint every few seconds, and keeps the decisions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from statcore.consumers import Deployment, DeploymentRepository, ScalingDecision
from statcore.errors import StatcoreError

_logger: Final = logging.getLogger(__name__)


class ReplicaKeeper:
    """Keeps the desired number of replicas of every deployment in memory.

    A real manager would write the number to its database, and start or stop sessions.
    """

    def __init__(self, repository: DeploymentRepository, deployments: tuple[Deployment, ...]) -> None:
        """Start with the current number of replicas."""
        self._repository = repository
        self._deployments = deployments
        self._decisions: tuple[ScalingDecision, ...] = ()

    async def tick(self, now: datetime) -> None:
        """Decide once, and keep the decisions.

        Raises:
            StatcoreError: no decision can be made; the earlier decisions stay.
        """
        self._decisions = tuple(await self._repository.decide_replicas(self._deployments, now=now))
        decided = list(zip(self._deployments, self._decisions, strict=True))
        for deployment, decision in decided:
            if decision.changed:
                _logger.info("%s: %s", deployment.endpoint_id, decision.reason)
        self._deployments = tuple(_after(deployment, decision, now) for deployment, decision in decided)

    def document(self) -> dict[str, Any]:
        """Return the desired replicas and the outcome of each rule in the last decision, by endpoint."""
        return {
            deployment.endpoint_id: {
                "replicas": deployment.replicas,
                "rules": {outcome.rule.name: outcome.reason for outcome in decision.outcomes},
            }
            for deployment, decision in zip(self._deployments, self._decisions, strict=False)
        }


@asynccontextmanager
async def ticking(keeper: ReplicaKeeper, interval_s: float) -> AsyncGenerator[None]:
    """Call `keeper.tick` every `interval_s` seconds within the block; an error is logged and ends only its own tick."""

    async def tick_forever() -> None:
        while True:
            try:
                await keeper.tick(datetime.now(UTC))
            except StatcoreError as error:
                _logger.warning("no decision on replicas: %s", error)
            except Exception:
                _logger.exception("no decision on replicas")
            await asyncio.sleep(interval_s)

    task = asyncio.create_task(tick_forever())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _after(deployment: Deployment, decision: ScalingDecision, now: datetime) -> Deployment:
    if not decision.changed:
        return deployment
    # The cooldown of the rule that decided begins now.
    rules = [attrs.evolve(rule, last_triggered_at=now) if rule is decision.rule else rule for rule in deployment.rules]
    return attrs.evolve(deployment, replicas=decision.replicas, rules=tuple(rules))
