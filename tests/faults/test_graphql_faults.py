"""Bad entries and dead stores among a hundred sessions of a real Valkey, as a GraphQL client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeAlias

import msgpack
import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.support.graphql_host import Answer, Host, inventory_of, kernel_id, session_id

from statcore.model import MetricValue
from statcore.testing.servers import Server, free_port
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

Clients: TypeAlias = Callable[[int, int], AsyncRedis]
COUNT = 100
STATISTICS = "{ compute_session_list { items { live_stat inference_metrics kernels { live_stat } } } }"
ITEMS = "compute_session_list.items"
OPTIONS = ValkeyOptions(freshness_s=3_600, agent_interval_s=30)
SOON = ValkeyOptions(timeout_s=3)
ENOUGH_S = 30
"""Many times the short deadline, so that a slow machine fails no test."""
ZEROS = {"requests": 0, "last_response_ms": 0}


@pytest.fixture
async def planted(valkey: Server) -> Server:
    """A Valkey with the statistics and the activity of all sessions, and the statistics of their kernels."""
    entries = {
        id_(number): {"mem": MetricValue(current=str(number))} for number in range(COUNT) for id_ in (session_id, kernel_id)
    }
    async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink:
        await sink.store_kernel_statistics(entries)
        for number in range(COUNT):
            await sink.store_session_activity(session_id(number), requests=number, last_response_ms=2 * number)
    return valkey


@pytest.fixture
def raw(planted: Server) -> Iterator[Redis]:
    """A plain client of the statistics."""
    with Redis(host="127.0.0.1", port=planted.port) as client:
        yield client


@pytest.fixture
def live(planted: Server) -> Iterator[Redis]:
    """A plain client of the activity."""
    with Redis(host="127.0.0.1", port=planted.port, db=2) as client:
        yield client


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    """Make clients of a port and a database, closed with the test."""
    made: list[AsyncRedis] = []

    def make(port: int, database: int) -> AsyncRedis:
        # Its own retries would take longer than the deadline, and hide that nobody listens.
        made.append(AsyncRedis(host="127.0.0.1", port=port, db=database, retry=Retry(NoBackoff(), 0)))
        return made[-1]

    yield make
    for client in made:
        await client.aclose()


async def ask(server: Server, query: str = STATISTICS, *, options: ValkeyOptions = OPTIONS) -> Answer:
    """Query the sessions of a server."""
    async with aclosing(ValkeyStatistics.from_url(server.url, options=options)) as store:
        return await Host(statistics=store, inventory=inventory_of(COUNT)).execute(query)


def right(number: int) -> dict[str, Any]:
    """Return what a session is when nothing is wrong."""
    mem = {"mem": {"current": str(number), "capacity": None, "pct": "0.00", "unit_hint": ""}}
    activity = {"requests": number, "last_response_ms": 2 * number}
    return {"live_stat": mem, "inference_metrics": activity, "kernels": [{"live_stat": mem}]}


def wrong(**of: dict[int, Any]) -> list[dict[str, Any]]:
    """Return all sessions, with other values for some fields of some."""
    changed = (
        (number, {field: values[number] for field, values in of.items() if number in values}) for number in range(COUNT)
    )
    return [right(number) | change for number, change in changed]


async def test_all_is_right_when_nothing_is_wrong(planted: Server) -> None:
    """Without faults there are no errors and no problems, so the faults below cause theirs."""
    answer = await ask(planted)
    assert wrong() == answer.data["compute_session_list"]["items"]
    assert ([], {}) == (answer.errors, answer.extensions)


async def test_one_of_each_fault_among_a_hundred(planted: Server, raw: Redis, live: Redis) -> None:
    """Malformed, missing, half-present, stale, of the wrong type: each shows on its own path; all else is right."""
    malformed, missing, half, stale, typed, unreadable = 7, 13, 42, 55, 68, 99
    raw.set(session_id(malformed), b"\xff\xfe not a payload")
    raw.delete(session_id(missing), kernel_id(missing))
    live.delete(f"session.{session_id(half)}.last_response_time")
    live.set(f"session.{session_id(unreadable)}.requests", "many")
    raw.expire(session_id(stale), 60)
    raw.delete(kernel_id(typed))
    raw.lpush(kernel_id(typed), "x")
    answer = await ask(planted)
    expected = wrong(
        live_stat={malformed: None, missing: None},
        inference_metrics={half: ZEROS, unreadable: ZEROS},
        kernels={typed: [{"live_stat": None}], missing: [{"live_stat": None}]},
    )
    assert expected == answer.data["compute_session_list"]["items"]
    expected_codes = {
        f"{ITEMS}.{malformed}.live_stat": "MalformedEntryError",
        f"{ITEMS}.{typed}.kernels.0.live_stat": "UnavailableError",
    }
    assert expected_codes == answer.codes
    assert {
        f"{ITEMS}.{half}.inference_metrics": "incomplete",
        f"{ITEMS}.{unreadable}.inference_metrics": "incomplete",
        f"{ITEMS}.{stale}.live_stat": "stale",
    } == answer.problems
    (error,) = [error for error in answer.errors if "Malformed" in error["extensions"]["code"]]
    assert session_id(malformed) in error["message"]
    assert "not a payload" not in str(answer)
    (incomplete,) = [problem for problem in answer.extensions["problems"] if problem["path"][2] == half]
    assert ["compute_session_list", "items", half, "inference_metrics"] == incomplete["path"]
    assert f"session.{session_id(half)}.last_response_time" in incomplete["message"]


@pytest.fixture
def hung_port(start_valkey: Callable[..., Server]) -> int:
    """The port of a server that never answers."""
    hung = start_valkey()
    with Redis(host="127.0.0.1", port=hung.port) as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "ALL")
    return hung.port


@pytest.mark.parametrize(
    ("gone", "code"), [("live", "UnavailableError"), ("statistics", "UnavailableError"), ("live", "TimedOutError")]
)
async def test_a_store_that_is_dead_or_hangs_takes_nothing_with_it(
    planted: Server, clients: Clients, hung_port: int, gone: str, code: str
) -> None:
    """Each path of the one kind has an error, by the adapter's deadline where the server hangs; the other is right."""
    nowhere = hung_port if code == "TimedOutError" else free_port()
    statistics = clients(nowhere if gone == "statistics" else planted.port, 0)
    live = clients(nowhere if gone == "live" else planted.port, 2)
    store = ValkeyStatistics.from_clients(statistics, live, options=SOON)
    async with asyncio.timeout(ENOUGH_S):
        answer = await Host(statistics=store, inventory=inventory_of(COUNT)).execute(STATISTICS)
    everybody = range(COUNT)
    if gone == "live":
        fields, expected = ["inference_metrics"], wrong(inference_metrics=dict.fromkeys(everybody))
    else:
        fields = ["live_stat", "kernels.0.live_stat"]
        nothing = [{"live_stat": None}]
        expected = wrong(live_stat=dict.fromkeys(everybody), kernels=dict.fromkeys(everybody, nothing))
    assert expected == answer.data["compute_session_list"]["items"]
    paths = (f"{ITEMS}.{number}.{field}" for number in everybody for field in fields)
    assert dict.fromkeys(paths, code) == answer.codes
    assert all(error["extensions"]["retryable"] for error in answer.errors)
    assert {} == answer.problems


async def test_metrics_that_are_bad_only_when_they_are_read(planted: Server, raw: Redis) -> None:
    """A metric of another type, with a forbidden extension, or nested too deeply is a problem at its path or an error."""
    mem = {"mem": {"current": "5"}}
    deep: Any = "1"
    for _ in range(120):
        deep = [deep]
    raw.set(session_id(1), msgpack.packb({**mem, "io_read": 5, "io_write": "x"}))
    raw.set(session_id(2), msgpack.packb({**mem, "cuda": {"current": msgpack.ExtType(6, b"pickle")}}))
    raw.set(session_id(3), msgpack.packb({**mem, "deep": {"current": deep}}))
    raw.set(session_id(4), b"\x82\xa3mem\x81\xa7current\xa15\xa4deep\x81\xa1x" + b"\x91" * 100_000 + b"\xa11")
    raw.set(kernel_id(0), msgpack.packb({**mem, "io_read": None}))
    answer = await ask(planted)
    expected = wrong(live_stat={1: mem, 2: None, 3: mem, 4: None}, kernels={0: [{"live_stat": mem}]})
    assert expected == answer.data["compute_session_list"]["items"]
    assert dict.fromkeys([f"{ITEMS}.{number}.live_stat" for number in (2, 4)], "MalformedEntryError") == answer.codes
    where = ["1.live_stat.io_read", "1.live_stat.io_write", "3.live_stat.deep", "0.kernels.0.live_stat.io_read"]
    malformed = {path: kind for path, kind in answer.problems.items() if kind == "malformed"}
    assert dict.fromkeys([f"{ITEMS}.{path}" for path in where], "malformed") == malformed


async def test_numbers_that_are_none_go_through_as_text(planted: Server, raw: Redis) -> None:
    """NaN, infinity and nil are shown as what they are, in strict JSON, and never as zero.

    The maximum of `cpu_util` that agents store is of the counter, not of the rate, and is not shown.
    """
    fields = {"current": "NaN", "capacity": None, "pct": "Infinity", "stats.max": "1E+30", "stats.rate": float("nan")}
    raw.set(session_id(0), msgpack.packb({"cpu_util": fields, 5: {"bytes": b"\xff", "inf": float("-inf")}}))
    answer = await ask(planted, "{ compute_session_list(limit: 1) { items { live_stat } } }")
    expected = {"cpu_util": fields | {"stats.rate": "NaN", "stats.max": None}, "5": {"bytes": "ff", "inf": "-Inf"}}
    assert [{"live_stat": expected}] == answer.data["compute_session_list"]["items"]


async def test_a_bad_metric_of_an_agent_harms_no_other(planted: Server, raw: Redis) -> None:
    """The other metrics of both halves are answered; an agent whose entry is no such map is an error."""
    value = {"current": "1"}
    raw.set("i-0", msgpack.packb({"node": {"mem": value, "bad": 1}, "devices": {"cuda": {"0": value}, "bad": "x"}}), ex=120)
    raw.set("i-1", msgpack.packb({"something": {}}), ex=120)
    answer = await ask(planted, "{ agent_list { items { agent_id live_stat } } }")
    expected = [
        {"agent_id": "i-0", "live_stat": {"node": {"mem": value}, "devices": {"cuda": {"0": value}}}},
        {"agent_id": "i-1", "live_stat": None},
        {"agent_id": "i-2", "live_stat": None},
    ]
    assert expected == answer.data["agent_list"]["items"]
    assert {"agent_list.items.1.live_stat": "MalformedEntryError"} == answer.codes
    paths = [f"agent_list.items.0.live_stat.{half}.bad" for half in ("node", "devices")]
    assert dict.fromkeys(paths, "malformed") == {
        path: kind for path, kind in answer.problems.items() if kind == "malformed"
    }


async def test_a_session_is_its_kernels_put_together(planted: Server, raw: Redis) -> None:
    """Real agents write only the keys of kernels. A bad kernel makes its session incomplete; all keys are in one read."""
    for number in range(3):
        raw.delete(session_id(number))
    raw.set(kernel_id(1), b"garbage")
    raw.delete(kernel_id(2))
    raw.config_resetstat()
    answer = await ask(planted)
    assert (
        wrong(live_stat={1: None, 2: None}, kernels={1: [{"live_stat": None}], 2: [{"live_stat": None}]})
        == answer.data["compute_session_list"]["items"]
    )
    codes = {f"{ITEMS}.1.live_stat": "MalformedEntryError", f"{ITEMS}.1.kernels.0.live_stat": "MalformedEntryError"}
    assert codes == answer.codes
    assert 2 == raw.info("commandstats")["cmdstat_mget"]["calls"]  # one for statistics, one for activity
