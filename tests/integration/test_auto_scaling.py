"""Auto-scaling on what a real Valkey holds, faults included, with queries on the metric backend in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from redis import Redis

from statcore.consumers import (
    ComparatorRule,
    Deployment,
    DeploymentRepository,
    PresetQuery,
    ScalingDecision,
    ScalingRule,
    ScheduleRepository,
    ThresholdRule,
    Verdict,
)
from statcore.model import MetricValue
from statcore.model.inventory import EndpointRecord, KernelRecord, ReplicaRecord
from statcore.promql.templates import Preset
from statcore.queriers import ContainerMetricQuerier
from statcore.statistics import StatisticsStatefulSource
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server
from statcore_memory import MemoryInventory, MemoryMetrics
from statcore_prometheus import PrometheusClient
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
CPU = ThresholdRule(
    name="cpu", source="kernel", metric_name="cpu_util", upper_threshold=80, lower_threshold=20, max_replicas=4
)
REQUESTS = ComparatorRule(
    name="requests",
    source="inference-framework",
    metric_name="vllm_num_requests_running",
    threshold=10,
    comparator="greater-than-or-equal",
    step_size=2,
)


def memory_rule(session_id: str) -> ThresholdRule:
    """Return a rule on the memory of a session."""
    querier = ContainerMetricQuerier(metric_name="mem", value_type="current", session_id=session_id)
    return ThresholdRule(name="mem", source="prometheus", querier=querier, upper_threshold=1_000, lower_threshold=100)


def add(inventory: MemoryInventory, replicas: int) -> tuple[str, list[str]]:
    """Add an endpoint whose replicas are sessions of one kernel each, and return its id and those of its kernels."""
    endpoint_id, kernel_ids = str(uuid4()), [str(uuid4()) for _ in range(replicas)]
    records = [ReplicaRecord(replica_id=str(uuid4()), session_id=str(uuid4())) for _ in kernel_ids]
    inventory.register_endpoint(EndpointRecord(endpoint_id=endpoint_id, replicas=tuple(records)))
    for record, kernel_id in zip(records, kernel_ids, strict=True):
        inventory.register_kernel(KernelRecord(kernel_id=kernel_id, session_id=record.session_id))
    return endpoint_id, kernel_ids


async def sessions_of(inventory: MemoryInventory) -> list[str]:
    """Return the ids of all sessions."""
    return [session.session_id for session in (await inventory.list_sessions()).items]


@pytest.fixture
async def store(valkey: Server) -> AsyncIterator[ValkeyStatistics]:
    """A store whose entries are fresh for a minute."""
    async with aclosing(ValkeyStatistics.from_url(valkey.url, options=ValkeyOptions(freshness_s=60))) as store:
        yield store


def cpu(pct: str) -> dict[str, MetricValue]:
    """Return the metrics of a kernel."""
    return {"cpu_util": MetricValue(current="1", capacity="1000", pct=pct), "mem": MetricValue(current="1")}


async def decide(
    store: ValkeyStatistics, inventory: MemoryInventory, rules: Mapping[str, Sequence[ScalingRule]]
) -> list[ScalingDecision]:
    """Decide by endpoint id for three replicas each, with a metric backend in which each session has 5,000 bytes."""
    metrics = MemoryMetrics(clock=NOW.timestamp)
    what = {"container_metric_name": "mem", "value_type": "current"}
    sessions = await sessions_of(inventory)
    series = [("backendai_container_utilization", {**what, "session_id": id_}, 5_000.0) for id_ in sessions]
    metrics.append_scrape(series, target="agent", time=NOW)
    repository = DeploymentRepository(StatisticsStatefulSource(store), inventory, metrics=metrics)
    all_deployments = [Deployment(endpoint_id=id_, replicas=3, rules=of) for id_, of in rules.items()]
    return list(await repository.decide_replicas(all_deployments, now=NOW))


def malform(redis: Redis, id_: str) -> None:
    """Cut the last byte off a payload."""
    payload = redis.get(id_)
    assert isinstance(payload, bytes)
    redis.set(id_, payload[:-1], keepttl=True)


FAULTS: dict[str, Callable[[Redis, str], object]] = {
    "has malformed data: key": malform,
    "has malformed data: metric 'cpu_util'": lambda redis, id_: redis.set(id_, b"\x81\xa8cpu_util\x05", ex=86_400),
    "has stale data": lambda redis, id_: redis.expire(id_, 86_400 - 61),
    "has oversized data": lambda redis, id_: redis.set(id_, b"x" * 300_000, ex=86_400),
    "has unavailable data": lambda redis, id_: (redis.delete(id_), redis.lpush(id_, "x")),
}


async def expect_one_endpoint_to_be_blind(
    inventory: MemoryInventory, store: ValkeyStatistics, endpoint_ids: Iterable[str], blind: str, *, reason: str
) -> None:
    """Decide for endpoints with three replicas at 90 percent, and check that only one is not scaled."""
    rules = {endpoint_id: [CPU] for endpoint_id in endpoint_ids}
    for endpoint_id, decision in zip(rules, await decide(store, inventory, rules), strict=True):
        (outcome,) = decision.outcomes
        if endpoint_id == blind:
            assert (3, Verdict.ABSTAINED) == (decision.replicas, outcome.verdict)
            assert reason in outcome.reason
        else:
            assert (4, "cpu_util 90.00 > 80: +1") == (decision.replicas, outcome.reason)


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_bad_entry_makes_only_its_endpoint_blind(
    redis: Redis, sink: ValkeyStatisticsSink, store: ValkeyStatistics, fault: str
) -> None:
    """There are a hundred endpoints; the reason names the kernel and its problem."""
    inventory = MemoryInventory()
    kernels = dict(add(inventory, 3) for _ in range(100))
    await sink.store_kernel_statistics({id_: cpu("90.00") for ids in kernels.values() for id_ in ids})
    blind = list(kernels)[42]
    FAULTS[fault](redis, kernels[blind][1])
    await expect_one_endpoint_to_be_blind(inventory, store, kernels, blind, reason=f"kernel {kernels[blind][1]} {fault}")


@pytest.mark.parametrize("pct", ["NaN", "Infinity", "-Infinity"])
async def test_a_percentage_that_is_not_finite_makes_only_its_endpoint_blind(
    sink: ValkeyStatisticsSink, store: ValkeyStatistics, pct: str
) -> None:
    """Agents write such percentages."""
    inventory = MemoryInventory()
    kernels = dict(add(inventory, 3) for _ in range(5))
    blind, (bad, *_) = list(kernels.items())[2]
    await sink.store_kernel_statistics({id_: cpu("90.00") for ids in kernels.values() for id_ in ids} | {bad: cpu(pct)})
    reason = f"kernel {bad} has no finite cpu_util: pct is {pct!r}"
    await expect_one_endpoint_to_be_blind(inventory, store, kernels, blind, reason=reason)


async def test_replicas_without_data_trigger_nothing(
    redis: Redis, sink: ValkeyStatisticsSink, store: ValkeyStatistics
) -> None:
    """One of five without an entry is not left out of the mean; without any entry the rule abstains."""
    inventory = MemoryInventory()
    endpoint_id, ids = add(inventory, 5)
    await sink.store_kernel_statistics({id_: cpu("99.00") for id_ in ids} | {ids[0]: cpu("0.00")})
    reasons = []
    for gone in ([], ids[:1], ids):
        if gone:
            redis.delete(*gone)
        (decision,) = await decide(store, inventory, {endpoint_id: [CPU]})
        reasons.append(decision.outcomes[0].reason)
    assert [
        "cpu_util 79.20 <= 80 and >= 20",
        "cpu_util 79.20 to 99.20 (1 of 5 without data) depends on the missing values",
        "abstained: none of 5 kernels has cpu_util",
    ] == reasons


async def test_a_dead_store_is_not_an_idle_cluster(start_valkey: Callable[..., Server]) -> None:
    """Rules that need it are blind, and a query still decides, all within the deadline."""
    server = start_valkey()
    inventory = MemoryInventory()
    endpoint_id, _ = add(inventory, 3)
    session_id, *_ = await sessions_of(inventory)
    server.process.terminate()
    server.process.wait()
    async with (
        aclosing(ValkeyStatistics.from_url(server.url, options=ValkeyOptions(timeout_s=0.5))) as store,
        asyncio.timeout(10),
    ):
        (decision,) = await decide(store, inventory, {endpoint_id: [CPU, REQUESTS, memory_rule(session_id)]})
    kernels, endpoint, query = (outcome.reason for outcome in decision.outcomes)
    assert kernels.startswith("abstained: kernels cannot be read: UnavailableError: ")
    assert endpoint.startswith("abstained: the endpoints' own statistics cannot be read: UnavailableError: ")
    assert (4, "mem 5000 > 1000: +1") == (decision.replicas, query)


async def test_a_query_without_series_is_not_a_zero(store: ValkeyStatistics) -> None:
    """Each session has its own answer, though one request asks for all of them."""
    inventory = MemoryInventory()
    endpoint_id, _ = add(inventory, 3)
    unknown, known = memory_rule(str(uuid4())), memory_rule((await sessions_of(inventory))[0])
    (decision,) = await decide(store, inventory, {endpoint_id: [unknown, known]})
    assert ["abstained: the query found nothing", "mem 5000 > 1000: +1"] == [
        outcome.reason for outcome in decision.outcomes
    ]


async def test_the_schedulers_tick_reads_each_kind_once(
    redis: Redis, sink: ValkeyStatisticsSink, store: ValkeyStatistics
) -> None:
    """One of a hundred endpoints has a histogram, one a stale entry, one no entry; another endpoint does not exist."""
    inventory = MemoryInventory()
    kernels = dict(add(inventory, number % 4 + 1) for number in range(100))
    histogram, stale, gone, *_ = kernels
    running = {"vllm_num_requests_running": {"__type": "GAUGE", "current": "40", "capacity": None, "pct": "0.00"}}
    distributed = {"vllm_num_requests_running": {"__type": "HISTOGRAM", "current": {"1.0": "9", "+Inf": "40"}}}
    await sink.store_endpoint_statistics({id_: running for id_ in kernels if id_ != gone} | {histogram: distributed})
    await sink.store_kernel_statistics({id_: cpu("10.00") for ids in kernels.values() for id_ in ids})
    redis.expire(f"inference.{stale}.app", 120 - 61)
    redis.config_resetstat()
    repository = ScheduleRepository(StatisticsStatefulSource(store), inventory)
    unknown = str(uuid4())
    down = ComparatorRule(
        name="idle", source="kernel", metric_name="cpu_util", threshold=20, comparator="less-than", step_size=-1
    )
    decisions = dict(await repository.autoscale({id_: [REQUESTS, down] for id_ in (*kernels, unknown)}, now=NOW))
    assert 2 == redis.info("commandstats")["cmdstat_mget"]["calls"]
    assert decisions.pop(unknown) is None
    counted = {id_: (decision.previous, decision.replicas) for id_, decision in decisions.items() if decision}
    # Forty requests are ten or more for each of one to four replicas; without that number, idle kernels take nothing away.
    without = (histogram, stale, gone)
    assert {id_: (len(ids), len(ids) + (0 if id_ in without else 2)) for id_, ids in kernels.items()} == counted
    words = ("a histogram", "stale data", "no vllm_num_requests_running")
    for id_, word in zip(without, words, strict=True):
        decision = decisions[id_]
        assert word in (decision.outcomes[0].reason if decision else "")


async def test_a_rule_on_traffic_is_void_and_an_idle_endpoint_is_scaled_down(
    sink: ValkeyStatisticsSink, store: ValkeyStatistics
) -> None:
    """Agents write the first sample of net_rx as its capacity, so its percentage means nothing."""
    inventory = MemoryInventory()
    endpoint_id, ids = add(inventory, 3)
    traffic = {"net_rx": MetricValue(current="10005.5", capacity="1820", pct="549.75", unit_hint="bps")}
    await sink.store_kernel_statistics({id_: cpu("5.00") | traffic for id_ in ids})
    void = ThresholdRule(name="traffic", source="kernel", metric_name="net_rx", upper_threshold=80)
    (decision,) = await decide(store, inventory, {endpoint_id: [void, CPU]})
    assert (2, CPU) == (decision.replicas, decision.rule)
    assert "void: net_rx has no bound, so its percentage means nothing" == decision.outcomes[0].reason


async def test_nothing_is_scaled_down_while_a_query_finds_nothing(
    sink: ValkeyStatisticsSink, store: ValkeyStatistics
) -> None:
    """The other rule would scale down, before or after the blind one, which the reason names."""
    inventory = MemoryInventory()
    endpoint_id, ids = add(inventory, 3)
    await sink.store_kernel_statistics({id_: cpu("5.00") for id_ in ids})
    blind, sees = memory_rule(str(uuid4())), memory_rule((await sessions_of(inventory))[0])
    for rules in ([CPU, blind], [blind, CPU]):
        (decision,) = await decide(store, inventory, {endpoint_id: rules})
        assert 3 == decision.replicas
        assert "nothing is scaled down while these rules are blind: mem" in decision.reason
    (decision,) = await decide(store, inventory, {endpoint_id: [CPU, sees]})
    assert (2, CPU) == (decision.replicas, decision.rule)


async def test_a_rule_on_a_preset_asks_a_real_prometheus(
    store: ValkeyStatistics, prometheus_holding: Callable[..., AbstractContextManager[Server]]
) -> None:
    """The query has the time of the decision and the labels of the rule; a label without series makes the rule blind."""
    busy = Preset(
        name="queue_per_model",
        description="Requests that wait.",
        template="sum(queue{${{ labels }}})",
        filter_labels=["model"],
    )
    start = int(NOW.timestamp()) - 60
    samples = [(start + second, 7.0 + (second > 0)) for second in range(0, 181, 60)]
    planted = [PlantedSeries("queue", {"model": model, "replica": model}, samples) for model in ("a", "b", "c")]
    inventory = MemoryInventory()
    endpoint_id, _ = add(inventory, 3)

    def rule(*models: str) -> ThresholdRule:
        query = PresetQuery("queue_per_model", labels={"model": list(models)})
        return ThresholdRule(name="queue", source="preset", preset=query, upper_threshold=10, lower_threshold=1)

    with prometheus_holding(openmetrics_text(planted)) as server:
        async with aclosing(PrometheusClient(server.url)) as metrics:
            source, presets = StatisticsStatefulSource(store), {busy.name: busy}
            repository = DeploymentRepository(source, inventory, metrics=metrics, presets=presets)
            all_deployments = [
                Deployment(endpoint_id=endpoint_id, replicas=3, rules=[rule(*models)])
                for models in (("a", "b"), ("a",), ("x",))
            ]
            decisions = await repository.decide_replicas(all_deployments, now=NOW)
    assert [
        "3 to 4: queue: queue 16 > 10: +1",
        "stays at 3: queue: queue 8 <= 10 and >= 1",
        "stays at 3: queue: abstained: the query found nothing",
    ] == [decision.reason for decision in decisions]
