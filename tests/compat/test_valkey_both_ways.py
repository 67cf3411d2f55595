"""What the released agent and manager write, statcore reads; what statcore writes, the released manager reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from real_agent import AGENT_ID, INTERVAL_S, DockerNumbers, Kernel, live_client, running_agent, stat_client

from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import Server
from statcore_collector import Collector, KernelTarget
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink

ROUND_S = 0.2


def plain(entry: Any) -> Any:
    """Return an entry with plain mappings all the way down."""
    return {key: plain(value) for key, value in entry.items()} if isinstance(entry, Mapping) else entry


async def test_kernels_that_the_agent_writes_are_read_as_the_manager_reads_them(
    valkey: Server, store: ValkeyStatistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rounds, so that rates are there; each entry is to the letter what the manager's own client returns."""
    kernels = [Kernel(kernel_id=uuid4(), docker=DockerNumbers(mem=2**20, mem_limit=2**30)) for _ in "ab"]
    ids = [str(kernel.kernel_id) for kernel in kernels]
    async with running_agent(valkey, tmp_path, kernels, monkeypatch) as agent, stat_client(valkey) as manager:
        for round_number in range(2):
            kernels[0].docker.cpu_ns = 10**9 * round_number
            kernels[0].docker.net_rx = 1820 + 10_000 * round_number
            await agent.measure_kernels()
            expected = await manager.get_session_statistics_batch([*ids, str(uuid4())])
            batch = await store.fetch_kernel_statistics([*ids, str(uuid4())])
            assert expected == [plain(entry) for entry in batch]
            assert {} == batch.problems
            await asyncio.sleep(ROUND_S)  # the agent's rates are over the time between its rounds
    assert expected[0] is not None
    assert {"1820", "1000"} == {expected[0][metric]["capacity"] for metric in ("net_rx", "cpu_util")}
    assert 0 < float(expected[0]["net_rx"]["current"])


async def test_an_agent_and_its_devices_are_read_as_the_manager_reads_them(
    valkey: Server, store: ValkeyStatistics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent measures this machine with its own plugins."""
    async with running_agent(valkey, tmp_path, [], monkeypatch) as agent, stat_client(valkey) as manager:
        await agent.measure_node()
        (expected,) = await manager.get_agent_statistics_batch([AGENT_ID])
        (entry,) = await store.fetch_agent_statistics([AGENT_ID])
    assert expected == plain(entry)
    assert {"cpu_util", "mem", "disk", "net_rx", "net_tx"} == set(plain(entry)["node"])


async def test_activity_that_the_manager_writes_is_read(valkey: Server, store: ValkeyStatistics) -> None:
    """A whole pair, half a pair, and none: the manager answers zeros for the last two, statcore says so too."""
    whole, half, none = (str(uuid4()) for _ in "123")
    async with live_client(valkey) as manager:
        await manager.incr_live_data(f"session.{whole}.requests")
        await manager.store_live_data(f"session.{whole}.last_response_time", "120")
        await manager.incr_live_data(f"session.{half}.requests")
        expected = await manager.get_session_statistics_batch([whole, half, none])
    batch = await store.fetch_inference_metrics([whole, half, none])
    assert expected == list(map(plain, batch))
    assert {1: ProblemKind.INCOMPLETE, 2: ProblemKind.INCOMPLETE} == {at: one.kind for at, one in batch.problems.items()}


async def test_what_statcore_writes_the_manager_reads(valkey: Server, sink: ValkeyStatisticsSink) -> None:
    """Kernels, agents with devices, counts, endpoints, and activity."""
    kernel, session, endpoint = (str(uuid4()) for _ in "123")
    value = MetricValue(current="5", capacity="10", pct="50", unit_hint="bytes", stats={"max": "6"})
    gauge = {"__type": "GAUGE", **value.to_map()}
    await sink.store_kernel_statistics({kernel: {"mem": value}})
    await sink.store_agent_statistics(
        AGENT_ID, node={"mem": value}, devices={"cuda_mem": {"GPU-0": value}}, interval_s=INTERVAL_S
    )
    await sink.store_container_count(AGENT_ID, 3)
    await sink.store_endpoint_statistics({endpoint: {"vllm_num_requests_running": gauge}})
    await sink.store_session_activity(session, requests=7, last_response_ms=80)
    async with stat_client(valkey) as statistics, live_client(valkey) as live:
        assert [{"mem": value.to_map()}] == await statistics.get_session_statistics_batch([kernel])
        agent = {"node": {"mem": value.to_map()}, "devices": {"cuda_mem": {"GPU-0": value.to_map()}}}
        assert [agent] == await statistics.get_agent_statistics_batch([AGENT_ID])
        assert [3] == await statistics.get_agent_container_counts_batch([AGENT_ID])
        expected = [{"vllm_num_requests_running": gauge}]
        assert expected == await statistics.get_inference_app_statistics_batch([endpoint])
        assert [{"requests": 7, "last_response_ms": 80}] == await live.get_session_statistics_batch([session])


async def test_the_collector_writes_the_keys_and_hints_that_the_agent_writes(
    valkey: Server, sink: ValkeyStatisticsSink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every metric that both measure: the same keys and unit hint, of kernels, the node, and devices."""
    theirs = Kernel(kernel_id=uuid4(), docker=DockerNumbers(cpu_ns=10**9, mem=2**20, mem_limit=2**30, io_read=1, net_rx=5))
    ours = KernelTarget(pid=os.getpid(), kernel_id=uuid4())
    collector = Collector(sink, agent_id="i-statcore", interval_s=ROUND_S)
    collector.add(ours)
    async with running_agent(valkey, tmp_path, [theirs], monkeypatch) as agent, stat_client(valkey) as manager:
        for _ in range(2):
            await agent.measure_kernels()
            await agent.measure_node()
            await collector.collect()
            await asyncio.sleep(ROUND_S)  # two rounds have time between them, of which rates are made
        kernels = await manager.get_session_statistics_batch([str(theirs.kernel_id), ours.kernel_id])
        agents = await manager.get_agent_statistics_batch([AGENT_ID, "i-statcore"])
    expected, found = (_shape(kernel, agent) for kernel, agent in zip(kernels, agents, strict=True))
    shared = expected.keys() & found.keys()
    assert {("kernel", "cpu_util"), ("node", "mem"), ("devices", "cpu_util")} <= shared
    assert {key: expected[key] for key in shared} == {key: found[key] for key in shared}


def _shape(kernel: Any, agent: Any) -> dict[tuple[str, str], tuple[set[str], str]]:
    """Return, by kind of object and metric, which keys a metric has and its unit hint."""
    values = {("kernel", metric): value for metric, value in kernel.items()}
    values |= {("node", metric): value for metric, value in agent["node"].items()}
    values |= {("devices", metric): next(iter(devices.values())) for metric, devices in agent["devices"].items()}
    return {key: (set(value), value["unit_hint"]) for key, value in values.items()}
