"""Sessions and ages on a real Valkey, in the keys that real agents write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

import msgpack
from click.testing import CliRunner
from redis import Redis

from statcore.model import MetricValue, ProblemKind
from statcore.model.inventory import KernelRecord
from statcore.statistics import SessionStatistics, StatisticsRepositories
from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Server
from statcore_cli.app import cli
from statcore_memory import MemoryInventory
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink


def mem(current: int) -> dict[str, MetricValue]:
    """Return the metrics of a kernel of 100 bytes."""
    return {"mem": MetricValue(current=str(current), capacity="100", pct=str(current), unit_hint="bytes")}


def planted(*kernels: str, **owner: str) -> str:
    """Return ten minutes of one byte of memory for each kernel, as OpenMetrics text."""
    labels = {"container_metric_name": "mem", "value_type": "current", "agent_id": "i-1", **owner}
    now = int(time.time())
    samples = [(second, 1.0) for second in range(now - 600, now, 15)]
    name = "backendai_container_utilization"
    return openmetrics_text(PlantedSeries(name, {**labels, "kernel_id": id_}, samples) for id_ in kernels)


def read_kernels(*arguments: str, **variables: str) -> Any:
    """Return the JSON document of `statcore kernels`."""
    result = CliRunner().invoke(cli, ["kernels", *arguments, "--format", "json"], env=variables)
    assert 0 == result.exit_code
    return json.loads(result.stdout)


async def test_a_page_of_sessions_is_one_mget(redis: Redis, sink: ValkeyStatisticsSink, store: ValkeyStatistics) -> None:
    """There are a hundred sessions of two kernels; one kernel has no entry, and one session has an entry of its own."""
    inventory, kernels = MemoryInventory(), dict[str, list[str]]()
    for number in range(100):
        kernels[str(uuid4())] = [str(uuid4()) for _ in range(2)]
        session_id, ids = list(kernels.items())[-1]
        for id_ in ids:
            inventory.register_kernel(KernelRecord(kernel_id=id_, session_id=session_id))
        await sink.store_kernel_statistics({ids[0]: mem(number), ids[1]: mem(1)})
    sessions = list(kernels)
    redis.delete(kernels[sessions[42]][1])
    await sink.store_kernel_statistics({sessions[7]: mem(77)})
    redis.config_resetstat()
    repository = StatisticsRepositories.create(store).repository
    batch = await SessionStatistics(repository, inventory).get_session_statistics_batch(sessions)
    assert 1 == redis.info("commandstats")["cmdstat_mget"]["calls"]
    expected = [str(number + 1) for number in range(100)]
    expected[42], expected[7] = "42", "77"
    assert expected == [entry and entry["mem"]["current"] for entry in batch]
    assert [42] == list(batch.problems)
    assert (ProblemKind.INCOMPLETE, f"kernel {kernels[sessions[42]][1]} has no statistics") == (
        batch.problems[42].kind,
        batch.problems[42].message,
    )
    assert ["200", "50"] == [batch[99]["mem"][name] for name in ("capacity", "pct")] if batch[99] else False


async def test_ages_are_read_on_request(redis: Redis, sink: ValkeyStatisticsSink, store: ValkeyStatistics) -> None:
    """They follow from the time to live; without one, or with a longer one, the age is unknown and the entry undated."""
    old, eternal, odd = ids = [str(uuid4()) for _ in range(3)]
    await sink.store_kernel_statistics({id_: mem(1) for id_ in ids})
    redis.expire(old, 86_400 - 3_600)
    redis.persist(eternal)
    redis.expire(odd, 86_400 + 60)
    batch = await store.fetch_kernel_statistics(ids)
    assert ({}, {}) == (dict(batch.ages_s), dict(batch.problems))
    batch = await store.with_ages().fetch_kernel_statistics(ids)
    assert [0] == list(batch.ages_s)
    assert 3_600 == int(batch.ages_s[0])
    assert dict.fromkeys((1, 2), ProblemKind.UNDATED) == {
        position: problem.kind for position, problem in batch.problems.items()
    }


def test_the_command_shows_the_age(valkey: Server, redis: Redis) -> None:
    """The table and JSON have the age, or say that it is unknown."""
    old, eternal = ids = [str(uuid4()) for _ in range(2)]
    payload = msgpack.packb({"mem": mem(1)["mem"].to_map()})
    redis.set(old, payload, ex=86_400 - 3_600)
    redis.set(eternal, payload)
    document = read_kernels(*ids, "--statistics-url", valkey.url)
    assert (3_600, None) == (int(document["ages_s"][old]), document["ages_s"][eternal])
    assert {eternal: "undated"} == {id_: problem["kind"] for id_, problem in document["problems"].items()}
    shown = CliRunner().invoke(cli, ["kernels", *ids, "--statistics-url", valkey.url]).stdout
    header, first, second, *_ = (line.split() for line in shown.splitlines())
    column = header.index("AGE_S")
    assert "3600" == first[column].partition(".")[0]
    assert "unknown" == second[column]


def test_the_command_sums_the_kernels_of_a_session(
    valkey: Server, redis: Redis, prometheus_holding: Callable[..., AbstractContextManager[Server]]
) -> None:
    """Prometheus knows which kernels these are; Valkey has their entries, which one MGET reads."""
    session, *kernels = (str(uuid4()) for _ in range(3))
    for id_, current in zip(kernels, (30, 20), strict=True):
        redis.set(id_, msgpack.packb({"mem": mem(current)["mem"].to_map()}), ex=86_400)
    with prometheus_holding(planted(*kernels, session_id=session)) as prometheus:
        redis.config_resetstat()
        document = read_kernels(session, "--statistics-url", valkey.url, "--metrics-url", prometheus.url)
    found = document["kernels"][session]["mem"]
    assert ["50", "200", "25"] == [found[name] for name in ("current", "capacity", "pct")]
    assert {} == document["problems"]
    assert 0 <= document["ages_s"][session]
    assert 1 == redis.info("commandstats")["cmdstat_mget"]["calls"]


def test_the_command_reads_kernels_from_the_set_source(
    valkey: Server, redis: Redis, prometheus_holding: Callable[..., AbstractContextManager[Server]]
) -> None:
    """The same kernel has 30 bytes in Valkey and 1 in Prometheus."""
    kernel = str(uuid4())
    redis.set(kernel, msgpack.packb({"mem": mem(30)["mem"].to_map()}), ex=86_400)
    with prometheus_holding(planted(kernel)) as prometheus:
        urls = ["--statistics-url", valkey.url, "--metrics-url", prometheus.url]
        for where, expected in (("store", "30"), ("metrics", "1")):
            document = read_kernels(kernel, *urls, STATCORE_KERNEL_STATISTICS=where)
            assert expected == document["kernels"][kernel]["mem"]["current"]
    refused = CliRunner().invoke(cli, ["kernels", kernel, *urls, "--kernel-statistics", "valkey"])
    assert 2 == refused.exit_code
    assert "--kernel-statistics: kernel_statistics must be one of store, metrics" in refused.output
