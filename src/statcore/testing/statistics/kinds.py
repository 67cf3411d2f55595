"""Kernels, sessions, endpoints, replicas and agents are stored apart."""

from __future__ import annotations

from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import MetricValue, ProblemKind
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import StatisticsPort
from statcore.testing.expectations import expect, plain
from statcore.testing.statistics.planting import (
    AGENT_INTERVAL_S,
    GAUGE,
    HISTOGRAM,
    KERNELS,
    NO_ACTIVITY,
    NOTHING,
    PLAIN_VALUE,
    expect_entries,
    new_agents,
    new_ids,
    numbered,
    shown,
)


async def check_sessions_are_stored_like_kernels(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Ids of sessions and of kernels may be in one batch."""
    kernel, session = new_ids(2)
    await sink.store_kernel_statistics({session: numbered(7), kernel: numbered(8)})
    await KERNELS.expect([8, 7], store, [kernel, session])


async def check_endpoints_round_trip(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """Statistics of several endpoints, written at once, are read back in the order of the ids."""
    first, second, unknown = new_ids(3)
    await sink.store_endpoint_statistics({first: {"running": GAUGE}, second: {"latency": HISTOGRAM, "running": GAUGE}})
    batch = await store.fetch_endpoint_statistics([second, unknown, first])
    expected = [{"latency": HISTOGRAM, "running": GAUGE}, None, {"running": GAUGE}]
    expect_entries(expected, batch, "endpoints")


async def check_replicas_belong_to_their_endpoint(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A replica is found by (endpoint, replica), in this order, and under no other endpoint."""
    endpoint, other, replica = new_ids(3)
    await sink.store_replica_statistics({(endpoint, replica): {"running": GAUGE}, (other, replica): {"latency": HISTOGRAM}})
    pairs = [(other, replica), (replica, endpoint), (endpoint, other), (endpoint, replica)]
    batch = await store.fetch_replica_statistics(pairs)
    expected = [{"latency": HISTOGRAM}, None, None, {"running": GAUGE}]
    expect_entries(expected, batch, "replicas")


async def check_agents_round_trip(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """An agent has the metrics of its node, and of its devices by metric and device id; either may be empty."""
    full, bare = new_agents(2)
    devices = {"cuda_mem": {"GPU-0": PLAIN_VALUE, "GPU-1": MetricValue(current="NaN")}, "cuda_util": {"0": PLAIN_VALUE}}
    node = {"mem": PLAIN_VALUE, "cpu_util": MetricValue(current="1")}
    await sink.store_agent_statistics(full, node=node, devices=devices, interval_s=AGENT_INTERVAL_S)
    await sink.store_agent_statistics(bare, node={}, devices={}, interval_s=AGENT_INTERVAL_S)
    batch = await store.fetch_agent_statistics([bare, full])
    stored = {metric: shown(of) for metric, of in devices.items()}
    expect_entries([NOTHING, {"node": shown(node), "devices": stored}], batch, "agents")


async def check_inference_metrics_round_trip(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """The activity of a session is two integers; real zeros and numbers of any size have no problem."""
    busy, idle = new_ids(2)
    await sink.store_session_activity(busy, requests=2**53 + 1, last_response_ms=2**53 + 3)
    await sink.store_session_activity(idle, requests=0, last_response_ms=0)
    batch = await store.fetch_inference_metrics([idle, busy, idle])
    expected = [NO_ACTIVITY, {"requests": 2**53 + 1, "last_response_ms": 2**53 + 3}, NO_ACTIVITY]
    expect_entries(expected, batch, "activities")


async def check_missing_inference_metrics_are_incomplete_zeros(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A session without activity is zeros, never None, and *incomplete*, so that nobody takes them for real zeros."""
    known, *unknown = new_ids(3)
    await sink.store_session_activity(known, requests=3, last_response_ms=4)
    batch = await store.fetch_inference_metrics([unknown[0], known, unknown[1]])
    expected = [NO_ACTIVITY, {"requests": 3, "last_response_ms": 4}, NO_ACTIVITY]
    expect(expected, [plain(entry) for entry in batch], "activities")
    kinds = {position: problem.kind for position, problem in batch.problems.items()}
    expect({0: ProblemKind.INCOMPLETE, 2: ProblemKind.INCOMPLETE}, kinds, "kinds of problem")


async def check_kinds_do_not_mix(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """An id that is a kernel, an endpoint and a session with activity has an entry of its own for each."""
    (id_,) = new_ids(1)
    await sink.store_kernel_statistics({id_: numbered(1)})
    expect(StatisticsBatch([None]), await store.fetch_endpoint_statistics([id_]), "an endpoint where only a kernel is")
    expect(StatisticsBatch([None]), await store.fetch_replica_statistics([(id_, id_)]), "a replica where only a kernel is")
    await sink.store_endpoint_statistics({id_: {"running": GAUGE}})
    await sink.store_replica_statistics({(id_, id_): {"latency": HISTOGRAM}})
    await sink.store_session_activity(id_, requests=5, last_response_ms=6)
    await KERNELS.expect([1], store, [id_])
    expect_entries([{"running": GAUGE}], await store.fetch_endpoint_statistics([id_]), "the endpoint")
    expect_entries([{"latency": HISTOGRAM}], await store.fetch_replica_statistics([(id_, id_)]), "the replica")
    expect_entries([{"requests": 5, "last_response_ms": 6}], await store.fetch_inference_metrics([id_]), "the activity")
