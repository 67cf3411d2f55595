"""URLs, users, files, and clients of the host: what is accepted, and that no secret is shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis.asyncio.sentinel import Sentinel

from statcore.errors import InputError
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink
from statcore_valkey.node import RedisNode
from statcore_valkey.server import ServerUrl
from statcore_valkey.slot_map import Address


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("valkey://store", ServerUrl(host="store")),
        ("redis://store:7000/", ServerUrl(host="store", port=7000)),
        ("redis://store/3", ServerUrl(host="store", db=3)),
        ("valkeys://store", ServerUrl(host="store", tls=True)),
        ("rediss://store:7000", ServerUrl(host="store", port=7000, tls=True)),
        ("valkey://[::1]:7000", ServerUrl(host="::1", port=7000)),
        ("valkey://reader:secret@store", ServerUrl(host="store", username="reader", password="secret")),  # noqa: S106
        ("valkey://:secret@store", ServerUrl(host="store", password="secret")),  # noqa: S106
        ("valkey://a%40b:c%2Fd%3A%25@store", ServerUrl(host="store", username="a@b", password="c/d:%")),  # noqa: S106
        ("unix:///run/valkey%20a.sock", ServerUrl(path="/run/valkey a.sock")),
        ("unix://reader:secret@/run/a", ServerUrl(path="/run/a", username="reader", password="secret")),  # noqa: S106
        ("VALKEY://store", ServerUrl(host="store")),
        ("valkey+cluster://a", ServerUrl(cluster=(Address("a", 6379),))),
        ("VALKEYS+CLUSTER://a:1,[::1]:2/0", ServerUrl(cluster=(Address("a", 1), Address("::1", 2)), db=0, tls=True)),
        (
            "redis+cluster://a%40b:c%2C%3A@a:1,b",
            ServerUrl(cluster=(Address("a", 1), Address("b", 6379)), username="a@b", password="c,:"),  # noqa: S106
        ),
        (
            "rediss+sentinel://:secret@a,b:1/my%20master/3",
            ServerUrl(
                sentinels=(Address("a", 26379), Address("b", 1)),
                master="my master",
                db=3,
                password="secret",  # noqa: S106
                tls=True,
            ),
        ),
    ],
)
def test_a_url_has_address_and_user(url: str, server: ServerUrl) -> None:
    """Schemes of both names, with and without TLS, and sockets; user and password are percent-decoded."""
    assert server == ServerUrl.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *("", "valkey:", "valkey://", "valkey://:6379", "valkey:///0", "http://store", "store:6379", "unix://"),
        *(
            "unix://store",
            "unix://tmp/store.sock",
            "unix://:9/hunter2@/run/a",
            "valkey://me:hunter2\udc80@store",
            "valkey://store:port",
        ),
        *("valkey://store:0", "valkey+cluster://a,b:0", "valkey+sentinel://a:0/m"),
        *("valkey://store:70000", "valkey://store/zero", "valkey://store/1/2", "valkey://[::1"),
        *("valkey://me:hunter2/x@store", "valkey://me:hunter2@store/hunter2", "valkey://me:hunter2#@store"),
        *("valkey://me:hunter2@store?db=1", "valkey://me:hunter2@store#hunter2", "hunter2://me:hunter2@store"),
        *("valkey+cluster://", "valkey+cluster:a:1", "valkey+cluster://a,,b", "valkey+cluster://a,b:port", "valkey+x://a"),
        *(
            "unix+cluster://a",
            "valkey+cluster://a/b",
            "valkey+cluster://a?db=1",
            "valkey+sentinel://a",
            "valkey+sentinel:///m",
        ),
        *("valkey+sentinel://a/m/x", "valkey+sentinel://me:hunter2/x@a/m", "valkey+cluster://me:hunter2@x@a#hunter2"),
        *(None, 6379, b"valkey://store"),
    ],
)
def test_a_bad_url_is_refused_and_not_shown(url: Any) -> None:
    """The error says what is expected, and quotes nothing of the URL, which may be a password, or no text."""
    with pytest.raises(InputError, match="URL of the Valkey store") as error:
        ServerUrl.from_url(url)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.parametrize("user", ["me:hunter2", "hunter2:", "hunter2"])
async def test_no_repr_shows_the_password(user: str) -> None:
    """The address, the store and the sink hide it, also where it was written in the place of the user."""
    url = f"valkey://{user}@127.0.0.1:1"
    store, sink = ValkeyStatistics.from_url(url), ValkeyStatisticsSink.from_url(url)
    node = store._databases.statistics.node(Address("127.0.0.1", 1))
    assert isinstance(node, RedisNode)
    for shown in (store, sink, node, node.user, node.service, ServerUrl(host="store", password="hunter2")):  # noqa: S106
        assert "hunter2" not in f"{shown!r} {shown}"


def test_the_database_of_the_url_must_be_the_one_of_the_options() -> None:
    """`redis://store/0` is common; another number is an error, since it would be another store."""
    assert ValkeyStatistics.from_url("redis://store/0")
    assert ValkeyStatistics.from_url("redis://store/3", options=ValkeyOptions(statistics_db=3))
    with pytest.raises(InputError, match="database 3, but statistics_db is 0"):
        ValkeyStatistics.from_url("redis://store/3")


def test_a_cluster_has_only_database_0() -> None:
    """Another number is refused before anything is sent; the error says what to set."""
    url = "valkey+cluster://a,b"
    for options in ({}, {"live_db": 1}, {"live_db": 0, "statistics_db": 1}):
        with pytest.raises(InputError, match=r"^(live|statistics)_db is \d, .*; set (live|statistics)_db to 0$"):
            ValkeyStatistics.from_url(url, options=ValkeyOptions.from_settings(options))
    with pytest.raises(InputError, match="database 3, but statistics_db is 0"):
        ValkeyStatistics.from_url(f"{url}/3", options=ValkeyOptions(live_db=0))
    assert ValkeyStatistics.from_url(f"{url}/0", options=ValkeyOptions(live_db=0))


@pytest.mark.parametrize(
    ("url", "setting", "value"),
    [
        ("valkey://a", "read_from_replicas", True),
        ("valkey://a", "sentinel_username", "me"),
        ("valkey+cluster://a", "sentinel_password_file", "/x"),
        ("valkey+sentinel://a/m", "sentinel_username", "me"),
        ("valkey+sentinel://a/m", "sentinel_password_file", "/no/such/file"),
        ("valkey+sentinel://a/m", "tls_ca_file", "/x.pem"),
    ],
)
def test_an_option_that_the_servers_do_not_have_is_refused(url: str, setting: str, value: object) -> None:
    """The error names the option."""
    with pytest.raises(InputError, match=f"^{setting} "):
        ValkeyStatistics.from_url(url, options=ValkeyOptions.from_settings({"live_db": 0, setting: value}))


def test_a_cluster_client_gives_its_nodes_and_settings() -> None:
    """Its user and TLS are used, but not its decoding; the host maps addresses that the cluster tells."""
    login: dict[str, Any] = {"username": "me", "password": "hunter2", "ssl": True}
    client = redis.asyncio.RedisCluster("a", 1, decode_responses=True, address_remap=lambda _: ("b", 2), **login)
    keyspace = ValkeyStatistics.from_clients(client, client)._databases.statistics
    assert (Address("a", 1),) == tuple(keyspace.start)
    start, found = keyspace.node(Address("a", 1)), keyspace.node(Address("x", 9), is_replica=True)
    assert isinstance(start, RedisNode)
    assert isinstance(found, RedisNode)
    settings = start.pool.connection_kwargs
    assert ("a", 1, "me", "hunter2") == tuple(settings[name] for name in ("host", "port", "username", "password"))
    assert not settings.get("decode_responses")
    assert issubclass(start.pool.connection_class, redis.asyncio.SSLConnection)
    assert ("b", 2) == (found.pool.connection_kwargs["host"], found.pool.connection_kwargs["port"])


@pytest.mark.parametrize("setting", ["tls_ca_file", "tls_cert_file"])
def test_tls_files_need_a_tls_url(setting: str) -> None:
    """A certificate has no effect without TLS."""
    with pytest.raises(InputError, match=f"{setting} needs TLS"):
        ValkeyStatistics.from_url("valkey://store", options=ValkeyOptions.from_settings({setting: "/x.pem"}))


def test_a_password_file_that_cannot_be_used_is_named_at_once(tmp_path: Path) -> None:
    """The constructor refuses a missing or empty file, and one beside a password in the URL."""
    empty = tmp_path / "empty"
    empty.touch()
    for file in (empty, "hunter2"):
        with pytest.raises(InputError, match=r"^password_file (must hold one line|cannot be read: .)") as error:
            ValkeyStatistics.from_url("valkey://store", options=ValkeyOptions(password_file=str(file)))
        assert "hunter2" not in "".join(traceback.format_exception(error.value))
    with pytest.raises(InputError, match="expected one of them"):
        ValkeyStatistics.from_url("valkey://me:x@store", options=ValkeyOptions(password_file=str(empty)))


def cluster(kind: type[Any]) -> Any:
    """Return a client of a cluster; its constructor would look for nodes."""
    return object.__new__(kind)


class GlideClient:
    """A client of another driver."""

    async def mget(self, keys: list[str]) -> list[bytes | None]:
        """Read keys."""
        return [None for _ in keys]


@pytest.mark.parametrize("kind", [ValkeyStatistics, ValkeyStatisticsSink])
@pytest.mark.parametrize(
    ("client", "named"),
    [
        (None, "NoneType"),
        ("valkey://me:hunter2@store", "str"),
        (redis.Redis(), "redis.client.Redis"),
        (redis.asyncio.ConnectionPool(), "redis.asyncio.connection.ConnectionPool"),
        (redis.ConnectionPool(), "redis.connection.ConnectionPool"),
        (cluster(redis.cluster.RedisCluster), "redis.cluster.RedisCluster"),
        (Sentinel([("127.0.0.1", 1)]), "redis.asyncio.sentinel.Sentinel"),  # type: ignore[no-untyped-call]  # redis has no types for it
        (GlideClient(), "GlideClient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_client_that_cannot_be_used_is_refused(kind: Any, client: Any, named: str) -> None:
    """The error names the argument, the type of the client, and the types that can be used."""
    right = redis.asyncio.Redis()
    for arguments, name in (((client, right), "statistics"), ((right, client), "live")):
        with pytest.raises(InputError, match=rf"^{name} cannot be \S*{named}; expected redis\.asyncio\.Redis") as error:
            kind.from_clients(*arguments)
        assert "hunter2" not in str(error.value)
        assert all(word in str(error.value) for word in ("Redis.from_pool(pool)", "master_for", "ClientStatistics"))
