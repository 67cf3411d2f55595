"""Connections to a real server: TLS, sockets, ACL users, other databases, the host's own clients."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import msgpack
import pytest
from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry
from tests.support.certificates import Authority

from statcore.errors import (
    AccessDeniedError,
    InputError,
    ProtocolError,
    TimedOutError,
    UnavailableError,
    UntrustedServerError,
)
from statcore.model import MetricValue
from statcore.testing.servers import Server, find_program, free_port, start_program
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
METRICS = {"mem": {"current": "1", "capacity": None, "pct": "0.00", "unit_hint": ""}}


async def round_trip(url: str, options: ValkeyOptions) -> object:
    """Write statistics and activity, and read them through other connections."""
    async with (
        aclosing(ValkeyStatistics.from_url(url, options=options)) as store,
        aclosing(ValkeyStatisticsSink.from_url(url, options=options)) as sink,
    ):
        await sink.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="1")}})
        await sink.store_session_activity(KERNEL, requests=1, last_response_ms=2)
        await store.ping()
        return *await store.fetch_kernel_statistics([KERNEL]), *await store.fetch_inference_metrics([KERNEL])


WRITTEN = (METRICS, {"requests": 1, "last_response_ms": 2})


@pytest.mark.parametrize("scheme", ["valkey", "redis"])
async def test_over_tcp(valkey: Server, scheme: str) -> None:
    """The schemes of Valkey and of Redis work."""
    assert WRITTEN == await round_trip(f"{scheme}://127.0.0.1:{valkey.port}", ValkeyOptions())


async def test_over_a_unix_socket(start_valkey: Callable[..., Server], tmp_path: Path) -> None:
    """The path of the URL is the path of the socket."""
    socket = tmp_path / "v.sock"
    start_valkey(arguments=["--unixsocket", str(socket)])
    assert WRITTEN == await round_trip(f"unix://{socket}", ValkeyOptions())


async def test_other_databases(valkey: Server) -> None:
    """The numbers of both databases are options."""
    options = ValkeyOptions(statistics_db=5, live_db=7)
    assert WRITTEN == await round_trip(f"{valkey.url}/5", options)
    assert {5: 1, 7: 2} == {db: keys for db in range(16) if (keys := size(valkey, db))}


def size(server: Server, db: int) -> int:
    """Return the number of keys in a database."""
    with Redis(host="127.0.0.1", port=server.port, db=db) as client:
        return int(client.dbsize())


NewAuthority = Callable[[str], Authority]


@pytest.fixture
def authority(new_authority: NewAuthority) -> Authority:
    """The authority that the server and its clients trust."""
    return new_authority("authority")


@pytest.fixture
def tls_url(start_tls_valkey: Callable[..., tuple[Server, str]], authority: Authority) -> str:
    """The URL of a server that listens with TLS, and requires client certificates."""
    return start_tls_valkey(authority.certificate, authority.issue("server"))[1]


async def test_over_tls_with_certificates(tls_url: str, authority: Authority) -> None:
    """The client checks the server's certificate, and shows its own."""
    ca_file, own = str(authority.certificate), authority.issue("client")
    options = ValkeyOptions(tls_ca_file=ca_file, tls_cert_file=str(own.certificate), tls_key_file=str(own.key))
    assert WRITTEN == await round_trip(tls_url, options)


async def test_a_server_that_is_not_trusted_is_refused_at_once(
    tls_url: str, authority: Authority, new_authority: NewAuthority
) -> None:
    """The error is raised long before the deadline and says what is wrong, also for another host name."""
    stranger = new_authority("stranger")
    for trusted, url, advice in (
        (stranger, tls_url, "set tls_ca_file"),
        (authority, tls_url.replace("127.0.0.1", "localhost"), "connect by a host name"),
    ):
        options = ValkeyOptions(timeout_s=600, tls_ca_file=str(trusted.certificate))
        async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store, asyncio.timeout(60):
            with pytest.raises(UntrustedServerError, match=advice):
                await store.ping()


def test_an_encrypted_key_is_refused(authority: Authority) -> None:
    """OpenSSL would ask for the passphrase on the terminal."""
    own = authority.issue("client")
    options = ValkeyOptions(tls_cert_file=str(own.certificate), tls_key_file=str(authority.encrypt(own.key)))
    with pytest.raises(InputError, match="tls_key_file is encrypted"):
        ValkeyStatistics.from_url("valkeys://127.0.0.1", options=options)


@pytest.fixture
def guarded(start_valkey: Callable[..., Server]) -> Server:
    """Return a server whose only user `reader` may read the keys of kernels alone."""
    server = start_valkey()
    with Redis(host="127.0.0.1", port=server.port) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "~6f*", "+@read", "+select", "+ping")
        client.set(KERNEL, msgpack.packb(METRICS))
        client.execute_command("ACL", "SETUSER", "default", "off")
    return server


async def test_an_acl_user_reads_the_allowed_keys(guarded: Server) -> None:
    """`+@read` on the keys is enough for entries, missing keys and ages."""
    url = f"valkey://reader:hunter2@127.0.0.1:{guarded.port}"
    for options in (ValkeyOptions(), ValkeyOptions(freshness_s=1)):
        async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
            assert [METRICS, None] == list(await store.fetch_kernel_statistics([KERNEL, KERNEL.replace("11", "12")]))
            await store.ping()


@pytest.mark.parametrize(
    ("login", "user"),
    [("reader:hunter3@", "reader"), ("nobody:hunter2@", "nobody"), (":hunter2@", "default"), ("", "default")],
)
async def test_a_refused_login_names_the_user_and_never_the_password(guarded: Server, login: str, user: str) -> None:
    """The error is raised at once, long before the deadline."""
    url = f"valkey://{login}127.0.0.1:{guarded.port}"
    options = ValkeyOptions(timeout_s=600)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store, asyncio.timeout(60):
        with pytest.raises(AccessDeniedError, match=f"the user '{user}'") as error:
            await store.fetch_kernel_statistics([KERNEL])
    assert not error.value.retryable
    assert f"127.0.0.1:{guarded.port}" in error.value.service
    assert "hunter" not in f"{error.value!r} {error.value.service} {error.value.__cause__!r} {error.value.__cause__}"


async def test_a_server_that_repeats_the_login_is_not_quoted(start_valkey: Callable[..., Server]) -> None:
    """A server without AUTH repeats the command in its error; neither our error nor its traceback shows it."""
    server = start_valkey(arguments=["--rename-command", "AUTH", ""])
    async with aclosing(ValkeyStatistics.from_url(f"valkey://reader:hunter2@127.0.0.1:{server.port}")) as store:
        with pytest.raises(ProtocolError, match="unknown command 'AUTH'") as error:
            await store.fetch_kernel_statistics([KERNEL])
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


async def test_a_missing_permission_names_the_user(guarded: Server) -> None:
    """Permissions to keys and to commands may be missing; the connection still works for permitted commands."""
    url = f"valkey://reader:hunter2@127.0.0.1:{guarded.port}"
    options = ValkeyOptions(timeout_s=600, pool_size=1)
    async with (
        aclosing(ValkeyStatistics.from_url(url, options=options)) as store,
        aclosing(ValkeyStatisticsSink.from_url(url, options=options)) as sink,
        asyncio.timeout(60),
    ):
        with pytest.raises(AccessDeniedError, match="'reader'"):
            await store.fetch_agent_statistics(["i-1"])
        with pytest.raises(AccessDeniedError, match=r"'reader'.*set"):
            await sink.store_kernel_statistics({KERNEL: {}})
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("decode_responses", [False, True])
async def test_the_hosts_own_clients_are_used_and_not_closed(
    valkey: Server, protocol: int, *, decode_responses: bool
) -> None:
    """Any settings of the clients are kept, and they still work after the store was closed."""
    clients = [
        AsyncRedis.from_pool(
            BlockingConnectionPool(
                host="127.0.0.1", port=valkey.port, db=db, protocol=protocol, decode_responses=decode_responses
            )
        )
        for db in (0, 2)
    ]
    try:
        store, sink = ValkeyStatistics.from_clients(*clients), ValkeyStatisticsSink.from_clients(*clients)
        await sink.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="1")}})
        await sink.store_session_activity(KERNEL, requests=1, last_response_ms=2)
        await store.ping()
        assert [METRICS, None] == list(await store.fetch_kernel_statistics([KERNEL, "none"]))
        assert [{"requests": 1, "last_response_ms": 2}] == list(await store.fetch_inference_metrics([KERNEL]))
        await store.aclose()
        await sink.aclose()
        for client in clients:
            assert client.connection_pool._available_connections
            assert all(connection.is_connected for connection in client.connection_pool._available_connections)
            assert await client.ping()
    finally:
        for client in clients:
            await client.aclose()


@pytest.fixture
def sentinel(start_valkey: Callable[..., Server], tmp_path: Path) -> Iterator[tuple[Server, int]]:
    """Return a server, and the port of a sentinel that knows it as `mymaster`."""
    master, port, config = start_valkey(), free_port(), tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master.port} 1\n")
    program = find_program("valkey-server", "redis-server")
    process = start_program([program, str(config), "--sentinel"], tmp_path / "sentinel.log")
    try:
        with Redis(host="127.0.0.1", port=port, retry=Retry(ConstantBackoff(0.1), 300)) as client:
            client.ping()
        yield master, port
    finally:
        process.terminate()
        process.wait()


async def test_a_sentinels_master_is_used_and_named_by_its_address(sentinel: tuple[Server, int]) -> None:
    """The client is the host's; once the master is gone, the error names its address."""
    master, port = sentinel
    sentinels = Sentinel([("127.0.0.1", port)])  # type: ignore[no-untyped-call]
    clients = [sentinels.master_for("mymaster", db=db, retry=AsyncRetry(NoBackoff(), 0)) for db in (0, 2)]
    try:
        store = ValkeyStatistics.from_clients(*clients, options=ValkeyOptions(timeout_s=5))
        sink = ValkeyStatisticsSink.from_clients(*clients)
        await sink.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="1")}})
        assert [METRICS] == list(await store.fetch_kernel_statistics([KERNEL]))
        master.process.kill()
        master.process.wait()
        where = rf"127\.0\.0\.1:{master.port}, the master 'mymaster' of a sentinel, database 0"
        with pytest.raises((UnavailableError, TimedOutError), match=where) as error:
            await store.fetch_kernel_statistics([KERNEL])
        assert "None" not in str(error.value)
    finally:
        for client in [*clients, *sentinels.sentinels]:
            await client.aclose()
