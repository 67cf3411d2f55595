"""Decisions on the event loop they share with others: cancelled, they leave nothing behind; many, they make room."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from tests.unit.consumers.cluster import Cluster, cpu, decide_one, kernel_rule, query_rule

from statcore.consumers import Deployment


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_decision_cancels_its_reads(turns: int) -> None:
    """However far it is, the caller gets `CancelledError`, and nothing goes on or is left over."""
    running_reads = 0

    async def hang(_: str) -> None:
        nonlocal running_reads
        running_reads += 1
        try:
            await asyncio.Event().wait()
        finally:
            running_reads -= 1

    cluster = Cluster(before=hang)
    endpoint_id = cluster.add_endpoint(1, [cpu("90")])
    task = asyncio.create_task(decide_one(cluster, kernel_rule(), query_rule(), endpoint_id=endpoint_id))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 == running_reads


async def test_others_get_their_turns_between_deployments() -> None:
    """While kernels are gathered, and while entries are decoded, which for thousands takes its time."""
    cluster = Cluster()
    ids = [cluster.add_endpoint(number, [cpu("90")]) for number in range(1, 21)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    deployments = [Deployment(endpoint_id=id_, replicas=1, rules=[kernel_rule()]) for id_ in ids]
    decisions = await cluster.deployments.decide_replicas(deployments, now=datetime.now(UTC))
    counting.cancel()
    assert [2] * 20 == [decision.replicas for decision in decisions]
    assert 40 <= turns
