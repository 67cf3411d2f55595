"""The cancelled calls find faults that are planted in the adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
from redis.exceptions import RedisError
from tests.simulation.planting import (
    Plant,
    a_cancellation_is_swallowed,
    a_connection_goes_back_dirty,
    a_slot_is_lost,
    check_plant,
    the_host_loses_a_cancellation,
)
from tests.simulation.test_cancelled_calls import CASES

from statcore.errors import StatcoreError
from statcore_graphql import RequestLoaders
from statcore_prometheus.transport import Transport
from statcore_valkey.node import RedisNode


def closing_is_given_up(patch: pytest.MonkeyPatch) -> None:
    """A store whose closing is cancelled keeps the connections that are not closed yet."""

    async def close(node: RedisNode) -> None:
        node._own_lifetime.end(node.service)
        with suppress(RedisError, OSError, RuntimeError):
            await node.pool.aclose()

    patch.setattr(RedisNode, "aclose", close)


def reads_go_on(patch: pytest.MonkeyPatch) -> None:
    """A request of GraphQL that is cancelled leaves reads that no field waits for yet."""
    patch.setattr(RequestLoaders, "cancel", lambda _: None)


def a_cancellation_is_a_failure(patch: pytest.MonkeyPatch) -> None:
    """A request that is cancelled is sent again, as one that failed."""
    attempt = Transport._attempt

    async def again(transport: Transport, *arguments: Any) -> Any:
        try:
            return await attempt(transport, *arguments)
        except asyncio.CancelledError:
            return await attempt(transport, *arguments)

    patch.setattr(Transport, "_attempt", again)


def parts_go_on(patch: pytest.MonkeyPatch) -> None:
    """The servers of a cluster that a cancelled call has asked go on for it."""

    async def wait_for_none(_: Iterable[object]) -> None:
        """End no task."""

    patch.setattr("statcore_valkey.fan_out.end_tasks", wait_for_none)


@pytest.mark.parametrize(
    ("plant", "case"),
    [
        (a_connection_goes_back_dirty, "ValkeyStatistics.fetch_kernel_statistics"),
        (a_cancellation_is_swallowed, "ValkeyStatisticsSink.remove"),
        (a_slot_is_lost, "ValkeyStatistics.fetch_kernel_statistics"),
        (the_host_loses_a_cancellation, "ValkeyStatistics.fetch_kernel_statistics-host's client-new"),
        (closing_is_given_up, "ValkeyStatistics.aclose"),
        (parts_go_on, "ValkeyStatistics.fetch_kernel_statistics-cluster"),
        (reads_go_on, "Query.kernel"),
        (a_cancellation_is_a_failure, "PrometheusClient.query"),
    ],
)
def test_a_planted_fault_is_found(plant: Plant, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call passes without the fault, and not with it."""
    (found,) = [known for known in CASES if str(known).endswith(f".{case}")]
    assert found.cancel(seed=1, most=1)
    plant(monkeypatch)
    with pytest.raises((AssertionError, StatcoreError)) as raised:
        found.cancel(seed=1, most=None)
    check_plant(raised.value)
    assert any("cancelled at moment" in note for note in raised.value.__notes__)
