"""A request of the service ends before an adapter's own deadline: the adapter ends in time, and says what it knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from tests.faults.fake_prometheus import Reply, StartClient, StartFake, never
from tests.support.valkey_readers import payloads
from tests.support.valkey_topologies import ValkeyCluster
from tests.support.web_host import runtime_of

from statcore.concurrency import Deadline
from statcore.errors import TimedOutError, UnavailableError
from statcore.model import ProblemKind, StatisticsBatch
from statcore.runtime import Runtime
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_valkey import ValkeyOptions, ValkeyStatistics
from statcore_web.limits import request_ends_with
from statcore_web.observation import Observation

PATIENT_S = 60.0
"""The deadline of the adapters."""
REQUEST_S = 5.0


@asynccontextmanager
async def request(**ports: Any) -> AsyncGenerator[Runtime]:
    """Yield ports for the time of a request."""
    async with Deadline(REQUEST_S, waiting_for="the answer to a request") as deadline:
        with request_ends_with(deadline):
            yield Observation().observed(runtime_of(**ports))


async def test_the_error_names_the_server_that_hangs(fake_client: StartClient) -> None:
    """It is that of the adapter, with the time that the server had."""
    server, metrics = await fake_client(never, timeout_s=PATIENT_S)
    with pytest.raises(TimedOutError, match=rf"waited [0-4]\.[0-9]+ s for a complete answer from {server.url}"):
        async with request(metrics=metrics) as runtime:
            await runtime.metrics.label_values("job")


async def test_the_error_names_both_members_of_a_pair(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """One is down, and the other hangs."""
    first, second = await fake_prometheus(http_reply(status=503)), await fake_prometheus(never)
    options = PrometheusOptions(fallback_urls=(second.url,), timeout_s=PATIENT_S)
    async with aclosing(PrometheusClient(first.url, options=options)) as metrics:
        with pytest.raises(UnavailableError, match=rf"{first.url}.*; {second.url}: no answer within"):
            async with request(metrics=metrics) as runtime:
                await runtime.metrics.label_values("job")


async def test_a_pause_beyond_the_request_fails_at_once(fake_client: StartClient, http_reply: Reply) -> None:
    """It would end after the request, although before the adapter's own deadline."""
    _, metrics = await fake_client(http_reply(status=503, retry_after="30"), timeout_s=PATIENT_S)
    with pytest.raises(UnavailableError) as caught:
        async with request(metrics=metrics) as runtime:
            await runtime.metrics.label_values("job")
    assert 30.0 == caught.value.retry_after_s


async def test_a_node_that_hangs_costs_its_own_keys(primaries: ValkeyCluster) -> None:
    """The keys of all other nodes are answered within the request."""
    values = payloads(300)
    primaries.store(values)
    options = ValkeyOptions(live_db=0, timeout_s=PATIENT_S)
    async with aclosing(ValkeyStatistics.from_url(primaries.url, options=options)) as store:
        assert not (await store.fetch_kernel_statistics(list(values))).problems
        primaries.primaries[0].stop()
        async with request(statistics=store) as runtime:
            batch = await runtime.statistics.fetch_kernel_statistics(list(values))
    assert {ProblemKind.UNAVAILABLE} == {problem.kind for problem in batch.problems.values()}
    assert 0 < len(batch.problems) < len(values)


async def test_a_port_without_a_deadline_ends_in_time() -> None:
    """The error names the port; the request goes on."""

    class Hanging:
        async def fetch_agent_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
            await asyncio.Event().wait()
            return StatisticsBatch([None for _ in ids])

    async with request(statistics=Hanging()) as runtime:
        with pytest.raises(TimedOutError, match="statistics to answer"):
            await runtime.statistics.fetch_agent_statistics(["a"])
