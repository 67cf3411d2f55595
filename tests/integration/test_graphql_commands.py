"""The number of commands that a query needs, counted by a real Valkey."""

from __future__ import annotations

import json
from contextlib import aclosing
from math import ceil
from typing import Any

import attrs
import msgpack
import pytest
from redis import Redis
from redis.asyncio.connection import AbstractConnection
from tests.support.graphql_host import Host, inventory_of, kernel_id, session_id

from statcore.testing.servers import Server
from statcore_graphql.schema import encode_response
from statcore_valkey import ValkeyOptions, ValkeyStatistics

SESSIONS = 5_000
IDS_A_COMMAND = 1_000
"""Keys that the adapter names in one command; the activity of a session is two of them."""
PATIENT = ValkeyOptions(timeout_s=60)
"""On a busy machine thousands of sessions take longer than the default timeout."""
OF_CONNECTING = {"hello", "select", "client|setinfo", "client|setname", "info", "config|resetstat"}


@pytest.fixture
def planted(valkey: Server) -> Server:
    """A Valkey with statistics and activity of all sessions, and statistics of their kernels."""
    payload = msgpack.packb({"mem": {"current": "1"}})
    with Redis(host="127.0.0.1", port=valkey.port) as client, Redis(host="127.0.0.1", port=valkey.port, db=2) as live:
        client.mset({id_(number): payload for number in range(SESSIONS) for id_ in (session_id, kernel_id)})
        halves = ("requests", "last_response_time")
        live.mset({f"session.{session_id(number)}.{half}": number for number in range(SESSIONS) for half in halves})
    return valkey


async def commands(server: Server, redis: Redis, query: str, *, sessions: int) -> dict[str, int]:
    """Return how often each command was sent for a query without errors, except the commands of connecting."""
    async with aclosing(ValkeyStatistics.from_url(server.url, options=PATIENT)) as store:
        host = Host(statistics=store, inventory=inventory_of(SESSIONS), chunk_size=100_000)
        redis.config_resetstat()
        data = await host.execute_cleanly(query, limit=sessions)
        sent = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in redis.info("commandstats").items()}
    assert [{"requests": n, "last_response_ms": n} for n in range(sessions)] == [
        item["inference_metrics"] for item in data["compute_session_list"]["items"]
    ]
    return {name: calls for name, calls in sent.items() if name not in OF_CONNECTING}


@pytest.mark.parametrize("sessions", [10, 500, 501, 1_000, 5_000])
@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        pytest.param("inference_metrics", 1, id="the query of the first proposal"),
        pytest.param("inference_metrics live_stat kernels { live_stat again: live_stat }", 2, id="all kinds"),
    ],
)
async def test_a_query_costs_one_command_a_chunk_and_kind(
    planted: Server, redis: Redis, fields: str, kinds: int, sessions: int
) -> None:
    """Up to five hundred sessions need one MGET, and no other command. Sessions and kernels are one kind."""
    query = f"query ($limit: Int!) {{ compute_session_list(limit: $limit) {{ items {{ {fields} }} }} }}"
    sent = await commands(planted, redis, query, sessions=sessions)
    assert {"mget": kinds * ceil(2 * sessions / IDS_A_COMMAND)} == sent


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("sessions", [1_000, 5_000])
@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        pytest.param("inference_metrics", 1, id="inference metrics"),
        pytest.param("kernels { live_stat }", 1, id="kernels"),
        pytest.param("live_stat kernels { live_stat }", 1, id="sessions and kernels"),
        pytest.param('kernels { live_stat some: live_stat(fields: ["mem.current"]) } inference_metrics', 2, id="both"),
    ],
)
async def test_a_query_costs_one_exchange_a_kind(
    planted: Server,
    monkeypatch: pytest.MonkeyPatch,
    fields: str,
    kinds: int,
    sessions: int,
    *,
    encoded: bool,
) -> None:
    """The commands for all sessions are sent at once, however many there are."""
    sent: list[int] = []
    send = AbstractConnection.send_packed_command

    async def counting(self: AbstractConnection, command: Any, *arguments: Any, **options: Any) -> None:
        sent.append(len(command))
        await send(self, command, *arguments, **options)

    query = f"query ($limit: Int!) {{ compute_session_list(limit: $limit) {{ items {{ {fields} }} }} }}"
    async with aclosing(ValkeyStatistics.from_url(planted.url, options=PATIENT)) as store:
        host = Host(statistics=store, inventory=inventory_of(SESSIONS), chunk_size=100_000)
        await host.execute_cleanly(query, limit=1)  # connects
        monkeypatch.setattr(AbstractConnection, "send_packed_command", counting)
        context = attrs.evolve(host.context(), encoded=encoded)
        result = await host.schema.execute(query, variable_values={"limit": sessions}, context_value=context)
    assert None is result.errors
    items = json.loads(encode_response(result.data))["compute_session_list"]["items"]
    assert sessions == len(items)
    if "kernels" in fields:
        assert {"mem": {"current": "1"}} == items[-1]["kernels"][0]["live_stat"]
    assert kinds == len(sent)
