"""The wire format, both ways, against plain msgpack and redis-py on a real server."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgpack
import pytest
from redis import Redis

from statcore.model import MetricValue
from statcore.testing.servers import Server
from statcore_valkey import ValkeyStatistics, ValkeyStatisticsSink

DAY_S = 86_400
ENDPOINT, REPLICA, KERNEL = str(uuid4()), str(uuid4()), str(uuid4())
VALUE = MetricValue(
    current="512.5",
    capacity="1024",
    pct="50.05",
    unit_hint="bytes",
    stats={"min": "-0", "max": "NaN", "sum": "1E+30", "avg": "Infinity", "diff": "-3", "rate": "0.001"},
)
MAP = {
    "current": "512.5",
    "capacity": "1024",
    "pct": "50.05",
    "unit_hint": "bytes",
    "stats.min": "-0",
    "stats.max": "NaN",
    "stats.sum": "1E+30",
    "stats.avg": "Infinity",
    "stats.diff": "-3",
    "stats.rate": "0.001",
}
HISTOGRAM = {"__type": "HISTOGRAM", "current": {"0.1": "3", "+Inf": "9"}, "threshold_unit": "le", "count": 9, "sum": None}


def stored(server: Server, key: str, *, db: int = 0) -> tuple[bytes, int]:
    """Return the value under a key as redis-py reads it, and its remaining seconds."""
    with Redis(host="127.0.0.1", port=server.port, db=db) as client:
        value = client.get(key)
        assert isinstance(value, bytes)
        return value, client.ttl(key)


def plant(server: Server, values: dict[str, object], *, db: int = 0) -> None:
    """Store values with redis-py."""
    with Redis(host="127.0.0.1", port=server.port, db=db) as client:
        client.mset(values)


def is_just_below(ttl_s: int, expected_s: int) -> bool:
    """Return whether a remaining time is at most some seconds below the expected one."""
    return expected_s - 60 < ttl_s <= expected_s


async def test_written_kernels_are_plain_msgpack(valkey: Server, sink: ValkeyStatisticsSink) -> None:
    """The key is the id, `stats.` keys are flat, numbers are text, no capacity is nil, and it is kept for a day."""
    await sink.store_kernel_statistics({KERNEL: {"mem": VALUE, "cpu_used": MetricValue(current="7")}})
    payload, ttl_s = stored(valkey, KERNEL)
    least = {"current": "7", "capacity": None, "pct": "0.00", "unit_hint": ""}
    assert {"mem": MAP, "cpu_used": least} == msgpack.unpackb(payload)
    assert msgpack.packb({"mem": MAP, "cpu_used": least}) == payload
    assert is_just_below(ttl_s, DAY_S)


@pytest.mark.parametrize(("interval_s", "ttl_s"), [(30, 120), (5, 20), (0.1, 1), (0.3, 2)])
async def test_written_agents_expire_after_four_intervals(
    valkey: Server, sink: ValkeyStatisticsSink, interval_s: float, ttl_s: int
) -> None:
    """The time to live is in whole seconds, at least one."""
    await sink.store_agent_statistics(
        "i-1", node={"mem": VALUE}, devices={"cuda_mem": {"GPU-0": VALUE}}, interval_s=interval_s
    )
    payload, left_s = stored(valkey, "i-1")
    assert {"node": {"mem": MAP}, "devices": {"cuda_mem": {"GPU-0": MAP}}} == msgpack.unpackb(payload)
    assert is_just_below(left_s, ttl_s)


async def test_written_inference_values_expire_after_two_minutes(valkey: Server, sink: ValkeyStatisticsSink) -> None:
    """Endpoints and replicas have keys of their own."""
    await sink.store_endpoint_statistics({ENDPOINT: {"latency": HISTOGRAM}})
    await sink.store_replica_statistics({(ENDPOINT, REPLICA): {"running": {"__type": "GAUGE", **MAP}}})
    payload, ttl_s = stored(valkey, f"inference.{ENDPOINT}.app")
    assert {"latency": HISTOGRAM} == msgpack.unpackb(payload)
    assert is_just_below(ttl_s, 120)
    payload, ttl_s = stored(valkey, f"inference.{ENDPOINT}.replica.{REPLICA}")
    assert {"running": {"__type": "GAUGE", **MAP}} == msgpack.unpackb(payload)
    assert is_just_below(ttl_s, 120)


async def test_written_counts_are_text(valkey: Server, sink: ValkeyStatisticsSink) -> None:
    """Counts of containers are kept for a day, activity of sessions in the live database without expiry."""
    await sink.store_container_count("i-1", 12)
    count, ttl_s = stored(valkey, "container_count.i-1")
    assert b"12" == count
    assert is_just_below(ttl_s, DAY_S)
    await sink.store_session_activity(KERNEL, requests=3, last_response_ms=40)
    assert (b"3", -1) == stored(valkey, f"session.{KERNEL}.requests", db=2)
    assert (b"40", -1) == stored(valkey, f"session.{KERNEL}.last_response_time", db=2)


async def test_entries_of_plain_msgpack_are_read(valkey: Server, store: ValkeyStatistics) -> None:
    """Kernels, endpoints, replicas and agents may have extension types, and keys that are no text."""
    device = UUID("0d1f9a52-6f35-4d0e-9a44-0f6f7a1c2b3d")
    ext = msgpack.ExtType(1, device.bytes)
    plant(
        valkey,
        {
            KERNEL: msgpack.packb({"mem": MAP, "owner": {"id": ext}}),
            f"inference.{ENDPOINT}.app": msgpack.packb({"latency": HISTOGRAM}),
            f"inference.{ENDPOINT}.replica.{REPLICA}": msgpack.packb({"running": MAP}),
            "i-1": msgpack.packb({"node": {"mem": MAP}, "devices": {"cuda_mem": {ext: MAP}}}),
        },
    )
    kernel = {"mem": MAP, "owner": {"id": str(device)}}
    assert [kernel] == list(await store.fetch_kernel_statistics([KERNEL]))
    assert [{"latency": HISTOGRAM}] == list(await store.fetch_endpoint_statistics([ENDPOINT]))
    assert [{"running": MAP}] == list(await store.fetch_replica_statistics([(ENDPOINT, REPLICA)]))
    agent = {"node": {"mem": MAP}, "devices": {"cuda_mem": {str(device): MAP}}}
    assert [agent] == list(await store.fetch_agent_statistics(["i-1"]))


async def test_activity_is_read_from_the_live_database(valkey: Server, store: ValkeyStatistics) -> None:
    """Integers as text are read from database 2 alone."""
    keys = {f"session.{KERNEL}.requests": "5", f"session.{KERNEL}.last_response_time": "17"}
    plant(valkey, dict.fromkeys(keys, "9"), db=0)
    plant(valkey, dict(keys), db=2)
    assert [{"requests": 5, "last_response_ms": 17}] == list(await store.fetch_inference_metrics([KERNEL]))


async def test_removing_an_agent_takes_its_count_with_it(valkey: Server, sink: ValkeyStatisticsSink) -> None:
    """Both keys of the agent are removed, another agent's stay."""
    for agent in ("i-1", "i-2"):
        await sink.store_agent_statistics(agent, node={}, devices={}, interval_s=30)
        await sink.store_container_count(agent, 1)
    await sink.remove(["i-1"])
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        assert {b"i-2", b"container_count.i-2"} == set(client.keys())
