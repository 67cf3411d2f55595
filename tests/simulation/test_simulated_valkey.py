"""The simulated Valkey answers as a real one does: the same commands are sent to both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulation.command_scripts import Step, replies, steps
from tests.support.polling import until

from statcore.testing.servers import LOOPBACK, Server
from statcore.testing.simulation import Simulation, simulate
from statcore.testing.simulation.valkey import SimulatedValkey, User

Script: TypeAlias = Sequence[Step]

_KEYS = ("a", "b", "c")
_WORDS = ("0", "1", "-7", "007", "-0", " 1", "9223372036854775806", "9223372036854775807", "word", "")


async def _replies(script: Script, *, host: str = "store", port: int = 6379) -> list[Any]:
    return await replies({"store": (host, port)}, script)


def _simulated(script: Script, **settings: Any) -> list[Any]:
    async def scenario(simulation: Simulation) -> list[Any]:
        server = SimulatedValkey(simulation.network, "store")
        for name, value in settings.items():
            setattr(server, name, value)
        server.start()
        return await _replies(script)

    return simulate(scenario, seed=1)


def _real(server: Server, script: Script) -> list[Any]:
    return asyncio.run(_replies(script, host=LOOPBACK, port=server.port))


def _steps(*commands: str) -> Script:
    return steps("store", *commands)


@pytest.mark.parametrize(
    "script",
    [
        _steps("PING", "PING hello", "PING a b", "ECHO word", "NONSENSE", "NONSENSE a b", "GET", "GET a b", "SET a"),
        _steps(
            "GET a", "SET a 1", "GET a", "TYPE a", "STRLEN a", "EXISTS a a b", "PTTL a", "PTTL b", "DEL a b a", "TYPE a"
        ),
        _steps("SET a 1 EX 100", "SET a 2 KEEPTTL", "PTTL b", "SET a 3 NX", "SET b 3 XX", "SET b 3 NX", "GET b", "SET b 4"),
        _steps("SET a 1 NX XX", "SET a 1 EX", "SET a 1 EX 0", "SET a 1 EX -1", "SET a 1 EX x", "SET a 1 EX 1 PX 1"),
        _steps("SET a 1 ODD", "SET a 1 EX 5 KEEPTTL", "SET a 1 EX 99999999999999999999", "SET a 1 PX 9223372036854775807"),
        _steps("RPUSH a 1 2", "GET a", "MGET a b", "STRLEN a", "TYPE a", "INCR a", "HSET a f 1", "SET a 1", "RPUSH a 1"),
        _steps("HSET a f 1 g 2 f 3", "HSET a h", "TYPE a", "GET a", "RPUSH a 1", "DEL a", "INCR a", "INCR a", "GET a"),
        _steps("SET a word", "INCR a", "EXPIRE a 0", "EXISTS a", "EXPIRE a 100", "SET a 1", "EXPIRE a x", "PEXPIRE a -5"),
        _steps("SELECT 1", "SET a 1", "SELECT 0", "GET a", "DBSIZE", "SELECT 15", "SELECT 16", "SELECT -1", "SELECT x"),
        [*_steps("SELECT 3", "SET a 1"), *steps("store/b", "GET a", "DBSIZE"), *_steps("DBSIZE")],
        _steps("AUTH word", "AUTH default word", "AUTH nobody word", "AUTH a b c", "GET a"),
        _steps("CLIENT SETINFO LIB-NAME a", "CLIENT SETNAME me", "CLIENT NONSENSE", "CLIENT", "QUIT"),
        _steps("HSET a f", "HSET a f 1 g", "SET b word", "HSET b f 1", "RPUSH b 1", "INFO nothing", "TIME a", "PING a"),
        _steps("CLUSTER SLOTS", "ASKING", "READONLY", "ROLE", "FLUSHALL", "DBSIZE", "HELLO 9"),
    ],
)
def test_the_replies_are_those_of_a_real_server(valkey: Server, script: Script) -> None:
    """Values, nothing, types, numbers and errors: each reply is the same, byte by byte."""
    assert _real(valkey, script) == _simulated(script)


_COMMANDS = st.one_of(
    st.tuples(st.sampled_from(["GET", "TYPE", "STRLEN", "PTTL", "INCR", "DEL"]), st.sampled_from(_KEYS)),
    st.tuples(st.sampled_from(["MGET", "EXISTS", "DEL"]), *[st.sampled_from(_KEYS)] * 3),
    st.tuples(st.sampled_from(["SET", "RPUSH"]), st.sampled_from(_KEYS), st.sampled_from(_WORDS)),
    st.tuples(st.just("SET"), st.sampled_from(_KEYS), st.sampled_from(_WORDS), st.sampled_from(["NX", "XX", "nx", "GX"])),
    st.tuples(st.just("HSET"), st.sampled_from(_KEYS), st.sampled_from(_WORDS), st.sampled_from(_WORDS)),
    st.tuples(st.just("SELECT"), st.sampled_from(["0", "1"])),
    st.tuples(st.just("DBSIZE")),
)


@given(script=st.lists(st.tuples(st.sampled_from(["store", "store/b"]), _COMMANDS), max_size=30))
def test_any_commands_are_answered_as_by_a_real_server(valkey_server: Server, script: Script) -> None:
    """Commands by chance on two connections: each reply is the same."""
    script = [*steps("store/c", "FLUSHALL"), *script]
    assert _real(valkey_server, script) == _simulated(script)


async def _until_closed(host: str, port: int, content: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(content)
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "content",
    [
        b"PING\r\nSET a 1\r\nGET a\r\nQUIT\r\n",
        b"\r\n*0\r\n*1\r\n$4\r\nPING\r\n*1\r\n:4\r\nPING\r\n",
        b"*x\r\n$4\r\nPING\r\n",
        b"*1\r\n$x\r\nPING\r\n",
        b"*1\r\n$-1\r\nPING\r\n",
        b"*99999999999\r\n",
        b"*2\r\n$4\r\nQUIT\r\n$0\r\n\r\n",
    ],
)
def test_bytes_that_are_no_command_are_answered_as_by_a_real_server(valkey: Server, content: bytes) -> None:
    """The connection is closed after the error; words in one line are a command, and empty ones are none."""

    async def scenario(simulation: Simulation) -> bytes:
        SimulatedValkey(simulation.network, "store").start()
        return await _until_closed("store", 6379, content)

    assert asyncio.run(_until_closed(LOOPBACK, valkey.port, content)) == simulate(scenario, seed=1)


def test_a_hung_server_answers_when_it_goes_on() -> None:
    """It takes connections and commands meanwhile; `heal` ends this and the other faults, and starts it again."""

    async def scenario(simulation: Simulation) -> None:
        server = SimulatedValkey(simulation.network, "store")
        server.start()
        server.hang()
        waiting = asyncio.create_task(_replies(_steps("PING", "SET a 1")))
        await asyncio.sleep(100)
        assert not waiting.done()
        server.heal()
        assert ["+PONG", "+OK"] == await waiting
        server.is_loading, server.delay_s = True, 3.0
        server.crash()
        with pytest.raises(ConnectionRefusedError):
            await _replies(_steps("PING"))
        server.heal()
        assert ["+PONG", b"1"] == await _replies(_steps("PING", "GET a"))
        server.restart(with_data=False)
        assert ["$-1"] == await _replies(_steps("GET a"))

    simulate(scenario, seed=1)


def test_a_slow_server_takes_its_time_for_each_command() -> None:
    """Commands of other connections come between."""

    async def scenario(simulation: Simulation) -> float:
        server = SimulatedValkey(simulation.network, "store")
        server.start()
        server.delay_s = 10.0
        start_s = server.time_s()
        reader, writer = await asyncio.open_connection("store", 6379)
        writer.write(b"PING\r\n" * 3)
        await reader.readline()
        assert ["+PONG"] == await _replies(_steps("PING"))
        await reader.readline()
        await reader.readline()
        writer.close()
        return server.time_s() - start_s

    assert 30 == int(simulate(scenario, seed=1))


def test_a_user_is_refused_as_by_a_real_server(valkey: Server) -> None:
    """Wrong passwords, commands and keys that are not allowed, and no password where one is needed."""
    rules = ["resetpass", ">word", "resetkeys", "~mine*", "+@all", "-mget", "-client|setname", "-role"]
    with_acl = _steps("ACL SETUSER reader reset on " + " ".join(rules))
    script = _steps(
        "AUTH reader wrong",
        "AUTH reader word",
        "GET mine1",
        "GET other",
        "MGET mine1",
        "EXISTS mine1 other",
        "DEL other",
        "CLIENT SETNAME me",
        "CLIENT SETINFO LIB-NAME a",
        "ROLE",
        "GET",
        "NONSENSE",
        "PING",
    )
    denied = frozenset({"mget", "client|setname", "role"})
    users = {"default": User("default"), "reader": User("reader", "word", denied=denied, key_prefixes=(b"mine",))}
    try:
        _real(valkey, with_acl)
        assert _real(valkey, script) == _simulated(script, users=users)
    finally:
        _real(valkey, _steps("ACL DELUSER reader"))


def test_a_server_with_a_password_refuses_strangers_as_a_real_one(valkey: Server) -> None:
    """Before AUTH no command is answered; one word is the password of the default user."""
    script = _steps("PING", "GET", "NONSENSE", "SELECT 1", "AUTH wrong", "GET a", "AUTH word", "GET a")
    try:
        _real(valkey, _steps("CONFIG SET requirepass word"))
        assert _real(valkey, script) == _simulated(script, users={"default": User("default", "word")})
    finally:
        _real(valkey, _steps("AUTH word", "CONFIG SET requirepass "))


def test_a_replica_refuses_writes_as_a_real_one(valkey: Server) -> None:
    """Reads are answered, writes are not."""
    script = _steps("SET a 1", "GET a", "SET", "DEL a", "SET a 1 NX XX", "PING")
    try:
        _real(valkey, _steps("REPLICAOF 127.0.0.1 1"))
        assert _real(valkey, script) == _simulated(script, is_read_only=True)
    finally:
        _real(valkey, _steps("REPLICAOF NO ONE"))


async def _is_loading(server: Server) -> bool:
    (info,) = await _replies(_steps("INFO persistence"), host=LOOPBACK, port=server.port)
    return b"\r\nloading:1" in info


def test_a_server_that_loads_answers_as_a_real_one(start_valkey: Callable[..., Server]) -> None:
    """While a replica takes over the data of its primary, some commands are answered and most are not."""
    script = _steps(
        *("PING", "GET a", "MGET a b", "SET a 1", "TYPE a", "EXISTS a", "PTTL a", "STRLEN a", "DEL a", "INCR a", "DBSIZE"),
        *("SELECT 1", "TIME a", "ROLE a", "INFO nothing", "CLIENT SETINFO LIB-NAME a", "ECHO a", "CLUSTER SLOTS", "ASKING"),
        *("READONLY", "READWRITE", "NONSENSE", "GET", "HELLO 9", "AUTH a", "FLUSHALL", "QUIT"),
    )
    primary = start_valkey(arguments=["--repl-diskless-sync-delay", "0"])
    replica = start_valkey(arguments=["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"])
    _real(primary, _steps(*(f"SET key-{number} {'a' * 100}" for number in range(20_000))))
    _real(replica, _steps(f"REPLICAOF 127.0.0.1 {primary.port}"))
    asyncio.run(until(partial(_is_loading, replica), "a replica that loads"))
    assert _real(replica, script) == _simulated(script, is_loading=True, is_read_only=True)


@pytest.mark.parametrize("options", ["PX 100000", "EX 100"])
def test_the_time_to_live_is_that_of_a_real_server(valkey: Server, options: str) -> None:
    """It is told in milliseconds, also after a SET that keeps it; another SET takes it away."""
    later = ("PTTL a", "SET a 2 KEEPTTL", "PTTL a", "EXPIRE a 50", "PTTL a", "SET a 3", "PTTL a")
    script = _steps(f"SET a 1 {options}", *later)
    pairs = zip(_real(valkey, script), _simulated(script), strict=True)
    for real, simulated in pairs:
        is_time = isinstance(simulated, int) and simulated > 1
        assert simulated == real or (is_time and abs(simulated - real) < 20_000)


def test_keys_expire_on_the_virtual_clock() -> None:
    """A key lives as long as its time to live, and is then gone for every command."""

    async def scenario(simulation: Simulation) -> list[list[Any]]:
        SimulatedValkey(simulation.network, "store").start()
        found = [await _replies(_steps("SET a 1 EX 86400"))]
        for seconds in (86_399.9, 0.1):
            await asyncio.sleep(seconds)
            found.append(await _replies(_steps("MGET a b", "EXISTS a", "DBSIZE", "SET a 2 XX KEEPTTL")))
        return found

    assert [["+OK"], [[b"1", "$-1"], 1, 1, "+OK"], [["$-1", "$-1"], 0, 0, "$-1"]] == simulate(scenario, seed=1)
