"""How many replicas each endpoint shall have: decided every few seconds, and remembered."""

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

_LOGGER: Final = logging.getLogger(__name__)


class ReplicaKeeper:
    """The desired number of replicas of every deployment.

    A real manager would write the number to its database and start or stop sessions; this one only remembers it.
    """

    def __init__(self, repository: DeploymentRepository, deployments: tuple[Deployment, ...]) -> None:
        """Start with the number of replicas that there are."""
        self._repository = repository
        self._deployments = deployments
        self._decisions: tuple[ScalingDecision, ...] = ()

    async def tick(self, now: datetime) -> None:
        """Decide once, and take over what was decided."""
        self._decisions = tuple(await self._repository.decide_replicas(self._deployments, now=now))
        decided = list(zip(self._deployments, self._decisions, strict=True))
        for deployment, decision in decided:
            if decision.changed:
                _LOGGER.info("%s: %s", deployment.endpoint_id, decision.reason)
        self._deployments = tuple(_after(deployment, decision, now) for deployment, decision in decided)

    def document(self) -> dict[str, Any]:
        """Return the desired replicas by endpoint, and what became of the rules last time."""
        return {
            deployment.endpoint_id: {
                "replicas": deployment.replicas,
                "rules": {outcome.rule.name: outcome.reason for outcome in decision.outcomes},
            }
            for deployment, decision in zip(self._deployments, self._decisions, strict=False)
        }


@asynccontextmanager
async def ticking(keeper: ReplicaKeeper, interval_s: float) -> AsyncGenerator[None]:
    """Tick every so many seconds for as long as the block lasts; a tick that fails is logged, and the next one goes on."""

    async def tick_on() -> None:
        while True:
            try:
                await keeper.tick(datetime.now(UTC))
            except StatcoreError as error:
                _LOGGER.warning("no decision on replicas: %s", error)
            except Exception:
                _LOGGER.exception("no decision on replicas")
            await asyncio.sleep(interval_s)

    task = asyncio.create_task(tick_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _after(deployment: Deployment, decision: ScalingDecision, now: datetime) -> Deployment:
    if not decision.changed:
        return deployment
    # The rule that won rests from now on.
    rules = [attrs.evolve(rule, last_triggered_at=now) if rule is decision.rule else rule for rule in deployment.rules]
    return attrs.evolve(deployment, replicas=decision.replicas, rules=tuple(rules))
