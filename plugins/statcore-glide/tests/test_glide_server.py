"""One server through glide: what a host's client, a cancelled call, wrong entries and a sick server do."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias

import msgpack
import pytest
from redis import Redis
from tests.faults.proxy import TcpProxy
from tests.support.polling import until
from tests.support.valkey_nodes import READER, Security, ValkeyNode, running_server
from tests.support.valkey_readers import metrics, payloads

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    InputError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import LOOPBACK, Server
from statcore_glide import plugin
from statcore_glide.stores import sink_from_clients, sink_from_url, statistics_from_clients, statistics_from_url
from statcore_valkey import ValkeyOptions, ValkeyStatistics

Connect: TypeAlias = Callable[..., Awaitable[Any]]

README = Path(__file__).parent.parent / "README.md"
SHORT = ValkeyOptions(timeout_s=1.0)


def plant(server: Server, count: int) -> list[str]:
    """Store the metrics of `count` kernels, and return their ids."""
    entries = payloads(count)
    with Redis(host=LOOPBACK, port=server.port) as client:
        for id_, payload in entries.items():
            client.set(id_, payload, ex=86_400)
    return list(entries)


async def test_a_hosts_client_stays_open(valkey: Server, connect: Connect) -> None:
    """Closing a reader and a writer over it ends them alone."""
    client = await connect(valkey.port)
    store, sink = statistics_from_clients(client, client), sink_from_clients(client, client)
    await sink.store_kernel_statistics({"k": {"mem": MetricValue(current="0")}})
    assert 1 == sum(entry is not None for entry in await store.fetch_kernel_statistics(["k", "unknown"]))
    await store.aclose()
    await sink.aclose()
    for call in (store.fetch_kernel_statistics(["k"]), store.ping(), sink.remove(["k"])):
        with pytest.raises(ClosedError, match="is closed"):
            await call
    assert b"PONG" == await client.ping()


async def test_a_client_that_the_host_has_closed(valkey: Server, connect: Connect) -> None:
    """The error says so at once, and is not retried."""
    client = await connect(valkey.port)
    store = statistics_from_clients(client, client)
    await store.ping()
    await client.close()
    with pytest.raises(ClosedError, match="is closed"):
        await store.fetch_kernel_statistics(["k"])


async def test_clients_of_a_url_are_closed_with_the_store(valkey: Server) -> None:
    """The server has no more connections than before."""
    with Redis(host=LOOPBACK, port=valkey.port) as admin:
        await until(lambda: 1 == admin.info("clients")["connected_clients"], "the end of earlier connections")
        async with aclosing(await statistics_from_url(f"glide://{LOOPBACK}:{valkey.port}")) as store:
            await store.ping()
            assert 1 < admin.info("clients")["connected_clients"]
        await until(lambda: 1 == admin.info("clients")["connected_clients"], "the end of the connections")


@pytest.mark.parametrize("options", [ValkeyOptions(), ValkeyOptions(freshness_s=600)], ids=["values", "ages"])
async def test_after_a_cancelled_call_the_next_gets_its_own_data(
    valkey: Server, connect: Connect, options: ValkeyOptions
) -> None:
    """All calls share glide's one connection, and the answer to the cancelled call arrives on it first."""
    ids = plant(valkey, 3)
    async with TcpProxy(valkey.port).running() as proxy:
        client = await connect(proxy.port, lazy_connect=True)  # connecting at once stops the event loop, and so the proxy
        store = statistics_from_clients(client, client, options=options)
        await store.ping()
        for _ in range(3):
            proxy.hold()
            cancelled = asyncio.create_task(store.fetch_kernel_statistics(ids[:2]))
            await proxy.held.wait()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            waiting = asyncio.create_task(store.fetch_kernel_statistics(ids[2:]))
            proxy.let_go()
            assert [metrics(2)] == list(await waiting)
            assert [metrics(0), metrics(1)] == list(await store.fetch_kernel_statistics(ids[:2]))
        assert 1 == proxy.connections


async def test_wrong_entries_cost_themselves_alone(valkey: Server, connect: Connect) -> None:
    """Payloads that cannot be decoded or are too large, and a key of another type, are problems among right entries."""
    ids = plant(valkey, 100)
    with Redis(host=LOOPBACK, port=valkey.port) as admin:
        for position, payload in {3: b"\xc1", 5: b"", 7: b"plain text", 11: msgpack.packb({"mem": "x" * 5_000})}.items():
            admin.set(ids[position], payload)
        admin.delete(ids[13])
        admin.lpush(ids[13], "x")
    client = await connect(valkey.port)
    batch = await statistics_from_clients(
        client, client, options=ValkeyOptions(max_entry_bytes=4_000)
    ).fetch_kernel_statistics(ids)
    malformed, oversized, unavailable = ProblemKind.MALFORMED, ProblemKind.OVERSIZED, ProblemKind.UNAVAILABLE
    expected = {3: malformed, 5: malformed, 7: malformed, 11: oversized, 13: unavailable}
    assert expected == {position: problem.kind for position, problem in batch.problems.items()}
    assert {n: None if n in expected else metrics(n) for n in range(100)} == dict(enumerate(batch))


async def test_ages_come_with_the_entries(valkey: Server, connect: Connect) -> None:
    """The remaining time to live tells them, and an old entry is stale."""
    fresh, old = plant(valkey, 2)
    with Redis(host=LOOPBACK, port=valkey.port) as admin:
        admin.expire(old, 86_400 - 1_000)
    client = await connect(valkey.port)
    options = ValkeyOptions(freshness_s=600)
    batch = await statistics_from_clients(client, client, options=options).fetch_kernel_statistics([fresh, old])
    assert {1: ProblemKind.STALE} == {position: problem.kind for position, problem in batch.problems.items()}
    assert [True, False] == [batch.ages_s[position] < 600 for position in (0, 1)]


@pytest.fixture
def node(tmp_path: Path, require_program: Callable[..., str]) -> Any:
    """A server of the test's own."""
    require_program("valkey-server", "redis-server")
    with running_server(tmp_path) as node:
        yield node


async def test_a_hung_server_costs_the_deadline_of_the_call(node: ValkeyNode, connect: Connect) -> None:
    """A longer `request_timeout` of the host's client does not count, and the answer of a later call is its own."""
    node.store(payloads(1))
    client = await connect(node.port, request_timeout=60_000)
    store = statistics_from_clients(client, client, options=SHORT)
    await store.ping()
    node.stop()
    with pytest.raises(TimedOutError, match="waited 1 s for an answer from Valkey at"):
        await store.fetch_kernel_statistics(["k"])
    node.recover()
    await store.ping()


async def test_a_shorter_time_of_the_client_ends_an_attempt_not_the_call(node: ValkeyNode, connect: Connect) -> None:
    """The call is made again until its own deadline, and then names the setting."""
    client = await connect(node.port, request_timeout=100)
    store = statistics_from_clients(client, client, options=ValkeyOptions(timeout_s=30.0))
    await store.ping()
    node.stop()
    waiting = asyncio.create_task(store.ping())
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()
    node.recover()
    await waiting
    node.stop()
    store = statistics_from_clients(client, client, options=SHORT)
    with pytest.raises(UnavailableError, match="request_timeout"):
        await store.ping()


async def test_a_server_that_is_away_at_first_is_found_later(node: ValkeyNode) -> None:
    """A store of a URL opens without the server, fails with its address, and works once the server is there."""
    node.kill()
    async with aclosing(await statistics_from_url(f"glide://{node}", options=SHORT)) as store:
        with pytest.raises(UnavailableError, match=f"Valkey at {node}, database 0, through glide") as caught:
            await store.ping()
        assert "cannot be reached" in str(caught.value)
        node.start()
        await store.ping()


def test_a_store_of_a_url_writes_nothing_to_standard_output(node: ValkeyNode) -> None:
    """It belongs to the program; glide itself would write that it cannot connect."""
    node.kill()
    program = (
        "import asyncio; from statcore_glide.stores import statistics_from_url; from statcore_valkey import ValkeyOptions\n"
        "async def main():\n"
        f"    store = await statistics_from_url('glide://{node}', options=ValkeyOptions(timeout_s=1.0))\n"
        "    try: await store.ping()\n"
        "    except Exception as error: raise SystemExit(str(error))\n"
        "    finally: await store.aclose()\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(README.parent / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert f"Valkey at {node}" in done.stderr


async def test_a_server_that_restarts(node: ValkeyNode) -> None:
    """Calls that fail are made again until the server is back."""
    async with aclosing(await statistics_from_url(f"glide://{node}", options=ValkeyOptions(timeout_s=30.0))) as store:
        await store.ping()
        node.kill()
        waiting = asyncio.create_task(store.fetch_kernel_statistics(["k"]))
        await asyncio.wait([waiting], timeout=0.5)
        assert not waiting.done()
        node.start()
        assert [None] == list(await waiting)


async def test_a_write_that_the_server_refuses(node: ValkeyNode, connect: Connect) -> None:
    """A full memory may be empty again soon, and so may a replica become a primary: both are unavailable."""
    client = await connect(node.port)
    sink = sink_from_clients(client, client, options=SHORT)
    entries = {"k": {"mem": MetricValue(current="1")}}
    node.command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(UnavailableError, match="command not allowed when used memory > 'maxmemory'"):
        await sink.store_kernel_statistics(entries)
    node.command("CONFIG", "SET", "maxmemory", 0)
    node.command("REPLICAOF", LOOPBACK, 1)
    with pytest.raises(UnavailableError, match="read only replica"):
        await sink.store_kernel_statistics(entries)


@pytest.mark.parametrize("password", ["wrong-word", READER.password])
async def test_a_user_that_is_refused(tmp_path: Path, require_program: Callable[..., str], password: str) -> None:
    """A wrong password and a missing permission fail at once, and name the user, never the password."""
    require_program("valkey-server", "redis-server")
    with running_server(tmp_path, security=Security(users=True)) as node:
        node.command("ACL", "SETUSER", READER.name, "-mget")
        url = f"glide://{READER.name}:{password}@{node}"
        async with aclosing(await statistics_from_url(url, options=ValkeyOptions(timeout_s=60.0))) as store:
            with pytest.raises(AccessDeniedError, match=f"refused the user '{READER.name}'") as caught:
                await store.fetch_kernel_statistics(["k"])
        assert password not in str(caught.value)


async def test_tls(tmp_path: Path, security: Security) -> None:
    """`glides://` trusts the authority in `tls_ca_file`, and not a stranger."""
    with running_server(tmp_path, security=security) as node:
        url = f"glides://{READER.name}:{READER.password}@{node}"
        trusting = ValkeyOptions(tls_ca_file=str(security.ca_file))
        async with aclosing(await sink_from_url(url, options=trusting)) as sink:
            await sink.store_kernel_statistics({"k": {"mem": MetricValue(current="1")}})
        async with aclosing(await statistics_from_url(url, options=trusting)) as store:
            assert ["1"] == [entry["mem"]["current"] for entry in await store.fetch_kernel_statistics(["k"]) if entry]
        async with aclosing(await statistics_from_url(url, options=SHORT)) as store:
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await store.ping()


async def test_ids_that_cannot_be_sent(valkey: Server, connect: Connect) -> None:
    """An id that is not text, or holds half a character, is refused before anything is sent."""
    client = await connect(valkey.port)
    store = statistics_from_clients(client, client)
    bad: Any
    for bad, message in ((None, "not text"), ("\ud800", "lone surrogate")):
        with pytest.raises(InputError, match=message):
            await store.fetch_kernel_statistics(["k", bad])


async def test_a_client_for_one_server_on_a_cluster(calm_cluster: Any, connect: Connect) -> None:
    """Some keys are elsewhere: the error says which client is needed."""
    client = await connect(calm_cluster.nodes[0].announced_port)
    with pytest.raises(UnsupportedError, match="is part of a cluster; expected a GlideClusterClient"):
        await statistics_from_clients(client, client).fetch_kernel_statistics([f"k{number}" for number in range(20)])


def test_clients_of_other_drivers_are_refused(valkey: Server) -> None:
    """The error names the argument, the class, and what is expected."""
    client: Any = Redis(host=LOOPBACK, port=valkey.port)
    with client, pytest.raises(InputError, match=r"statistics cannot be redis\.client\.Redis; expected glide\.GlideClient"):
        statistics_from_clients(client, client)


async def test_a_store_of_another_event_loop(valkey: Server) -> None:
    """It says so instead of waiting for an answer that goes to the first loop."""
    store: ValkeyStatistics = await statistics_from_url(f"glide://{LOOPBACK}:{valkey.port}")
    async with aclosing(store):
        await store.ping()
        with pytest.raises(ClosedError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, store.ping())
        await store.ping()


def test_the_example_of_the_read_me(valkey: Server) -> None:
    """It runs as it is, but for the port, and prints the entry that it has stored."""
    (example,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("6379", str(valkey.port))],
        env={"PYTHONPATH": str(README.parent / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("['512', None] {}\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("glide+sentinel://h:1/mymaster", {}, "expected glide://"),
        ("valkey://h:1", {}, "expected glide://"),
        ("glide://", {}, "expected glide://"),
        ("glide://word@h:1", {}, "a user without a password"),
        ("glide://h:1/3", {}, "the URL names database 3, but statistics_db is 0"),
        ("glide://h:1", {"pool_size": 3}, "pool_size cannot be used with glide"),
        ("glide://h:1", {"password_file": "/nowhere"}, "password_file cannot be used with glide"),
        ("glide://h:1", {"tls_ca_file": "/nowhere"}, "tls_ca_file needs TLS"),
        ("glides://h:1", {"tls_ca_file": "/nowhere"}, "tls_ca_file cannot be used: No such file"),
        ("glides://h:1", {"tls_ca_file": __file__}, "tls_ca_file cannot be used"),
        ("glides://h:1", {"tls_cert_file": __file__}, "tls_cert_file together with tls_key_file"),
        ("glide://h:1", {"timeout": 3}, "timeout"),
    ],
)
async def test_a_url_or_an_option_that_cannot_be_used(url: str, options: dict[str, Any], message: str) -> None:
    """It is refused when the store is opened; the error says what is wrong, and repeats no part of the URL."""
    for open_ in (plugin.open_statistics, plugin.open_sink):
        with pytest.raises(InputError, match=message) as caught:
            await open_(url, options)
        assert "word" not in str(caught.value).replace("password", "")
