"""Answers that a server should not give, and errors of the driver: what is raised, and what is read all the same."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import aclosing
from typing import Any

import msgpack
import pytest
from redis import Redis
from tests.faults.fake_valkey import StartFake

from statcore.errors import (
    InputError,
    MalformedEntryError,
    ProtocolError,
    StatcoreError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, commands

IDS = ["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11", "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12"]
KERNEL, OTHER = IDS
METRICS = {"mem": {"current": "1"}}
GOOD = b"*2\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"*1\r\n$1\r\n\x80\r\n", "1 values, not 2"),
        (b"*0\r\n", "0 values, not 2"),
        (b"*3\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n$1\r\n\x80\r\n", "3 values, not 2"),
        (b"*-1\r\n", "NoneType, not a list of 2"),
        (b"$1\r\n\x80\r\n", "bytes, not a list of 2"),
        (b":5\r\n", "int, not a list of 2"),
        (b"*2\r\n$1\r\n\x80\r\n-ERR inside\r\n", "among the values: ResponseError"),
        (b"*2\r\n-ERR inside\r\n$1\r\n\x80\r\n", "among the values: ResponseError"),
        (b"*2\r\n$1\r\n\x80\r\n:7\r\n", "among the values: int"),
        (b"*2\r\n$1\r\n\x80\r\n*1\r\n$1\r\n\x80\r\n", "among the values: list"),
        (b"-ERR whatever\r\n", "unexpected: ResponseError"),
        (b"-WRONGTYPE Operation against a key\r\n", "WRONGTYPE"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "unexpected"),
    ],
)
async def test_an_answer_that_does_not_fit_is_a_protocol_error(fake_valkey: StartFake, answer: bytes, message: str) -> None:
    """It is raised at once, no entry moves to another id, and the next answer is read correctly."""
    url = await fake_valkey({b"MGET": [answer, GOOD]})
    options = ValkeyOptions(timeout_s=60, pool_size=1)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match=message):
            await store.fetch_kernel_statistics(IDS)
        assert [{}, {}] == list(await store.fetch_kernel_statistics(IDS))


async def test_answers_about_activity_must_fit(fake_valkey: StartFake) -> None:
    """Otherwise a session would get the numbers of another."""
    url = await fake_valkey({b"MGET": [b"*3\r\n" + b"$1\r\n7\r\n" * 3]})
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        with pytest.raises(ProtocolError, match="3 values, not 4"):
            await store.fetch_inference_metrics(IDS)


async def test_answers_to_other_commands_must_fit(fake_valkey: StartFake) -> None:
    """Times to live and counts must be integers, and a write must be confirmed."""
    url = await fake_valkey({b"MGET": [GOOD, b"*2\r\n$-1\r\n$-1\r\n"], b"SET": [b"$-1\r\n"]})
    options = ValkeyOptions(freshness_s=5)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match="bytes, not an integer"):
            await store.fetch_kernel_statistics(IDS)
        with pytest.raises(ProtocolError, match="bytes, not an integer"):
            await store.fetch_kernel_statistics(IDS)
    async with aclosing(ValkeyStatisticsSink.from_url(url)) as sink:
        with pytest.raises(ProtocolError, match="did not confirm"):
            await sink.store_container_count("i-1", 1)


async def test_an_error_among_many_answers_leaves_none_behind(fake_valkey: StartFake) -> None:
    """The remaining answers arrive after the next call was sent, and that call does not read them."""
    late = b":1\r\n" + GOOD
    url = await fake_valkey(
        {b"PTTL": [b"-ERR no\r\n", b"", late], b"MGET": [b""]}, {b"PTTL": [b":86400000\r\n"], b"MGET": [GOOD]}
    )
    options = ValkeyOptions(freshness_s=5, pool_size=1, timeout_s=60)
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(ProtocolError, match="unexpected"):
            await store.fetch_kernel_statistics(IDS)
        batch = await store.fetch_kernel_statistics(IDS)
        assert ([{}, {}], {}) == (list(batch), dict(batch.problems))


@pytest.mark.parametrize("extra", [b"+none\r\n", b"$1\r\n\x80\r\n", b"*2\r\n$1"])
async def test_more_answers_than_questions_are_a_protocol_error(fake_valkey: StartFake, extra: bytes) -> None:
    """Which answer belongs to which command is not known, so none is used; the next answer is read correctly."""
    url = await fake_valkey({b"MGET": [GOOD + extra, GOOD]})
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        with pytest.raises(ProtocolError, match="more answers than"):
            await store.fetch_kernel_statistics(IDS)
        assert [{}, {}] == list(await store.fetch_kernel_statistics(IDS))


async def test_an_entry_written_while_it_is_looked_at_is_fresh(fake_valkey: StartFake) -> None:
    """The key did not exist when its time to live was read, and did when its value was read."""
    url = await fake_valkey({b"PTTL": [b":-2\r\n"], b"MGET": [GOOD]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(freshness_s=5))) as store:
        batch = await store.fetch_kernel_statistics(IDS)
    assert ([{}, {}], {}) == (list(batch), dict(batch.problems))


@pytest.mark.parametrize(
    "first",
    [
        b"-LOADING Valkey is loading the dataset in memory\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-MASTERDOWN Link with MASTER is down\r\n",
        b"-ERR max number of clients reached\r\n",
        b"*2\r\n-LOADING Valkey is loading the dataset in memory\r\n$1\r\n\x80\r\n",
    ],
)
async def test_not_now_is_tried_again(fake_valkey: StartFake, first: bytes) -> None:
    """The call is repeated until it succeeds; at the deadline it is an UnavailableError."""
    url = await fake_valkey({b"MGET": [first, first, GOOD]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=60))) as store:
        assert [{}, {}] == list(await store.fetch_kernel_statistics(IDS))
    url = await fake_valkey({b"MGET": [first]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.3))) as store, asyncio.timeout(30):
        with pytest.raises(UnavailableError):
            await store.fetch_kernel_statistics(IDS)


@pytest.mark.parametrize("answer", [b"-MOVED 3999 127.0.0.1:6381\r\n", b"-CROSSSLOT Keys don't hash to the same slot\r\n"])
async def test_a_cluster_is_said_not_to_be_supported(fake_valkey: StartFake, answer: bytes) -> None:
    """The error is raised at once and names the cluster."""
    url = await fake_valkey({b"MGET": [answer]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=60))) as store:
        with pytest.raises(UnsupportedError, match="cluster"):
            await store.fetch_kernel_statistics(IDS)


@pytest.mark.parametrize(
    "answer",
    [
        b"*4294967295\r\n",
        b"*4611686018427387904\r\n",
        b"$99999999999999999999\r\n",
        b":99999999999999999999999\r\n",
        b"*-7\r\n",
        b"\xff\xfe\r\n",
        b"*1\r\n" * 600,
    ],
    ids=repr,
)
async def test_an_answer_that_cannot_be_parsed_is_an_error_of_ours(fake_valkey: StartFake, answer: bytes) -> None:
    """Reads and writes raise errors of ours for any answer that the driver cannot parse."""
    url = await fake_valkey({command: [answer] for command in (b"MGET", b"SET", b"PING", b"DEL")})
    options = ValkeyOptions(timeout_s=0.5)
    async with (
        aclosing(ValkeyStatistics.from_url(url, options=options)) as store,
        aclosing(ValkeyStatisticsSink.from_url(url, options=options)) as sink,
    ):
        for call in (
            store.fetch_kernel_statistics([KERNEL]),
            store.fetch_inference_metrics([KERNEL]),
            store.ping(),
            sink.store_kernel_statistics({KERNEL: {"mem": MetricValue(current="1")}}),
            sink.remove([KERNEL]),
        ):
            with pytest.raises(StatcoreError):
                await call


@pytest.mark.parametrize("answer", [b"*1\r\n$4\r\nnone\r\n", b":1\r\n", b"$-1\r\n"])
async def test_a_type_that_is_no_type_is_a_protocol_error(fake_valkey: StartFake, answer: bytes) -> None:
    """A list, a number or nothing in place of a type says nothing about the key."""
    url = await fake_valkey({b"MGET": [b"*1\r\n$-1\r\n"], b"EXISTS": [b":1\r\n"], b"TYPE": [answer]})
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        with pytest.raises(ProtocolError, match="not a type"):
            await store.fetch_kernel_statistics([KERNEL])


async def test_a_type_that_is_not_text_costs_its_own_entry_alone(fake_valkey: StartFake) -> None:
    """That key is unavailable; the other key is read."""
    url = await fake_valkey(
        {b"MGET": [b"*2\r\n$-1\r\n$1\r\n\x80\r\n"], b"EXISTS": [b":1\r\n"], b"TYPE": [b"+\xff\xfehunter2\r\n"]}
    )
    async with aclosing(ValkeyStatistics.from_url(url)) as store:
        batch = await store.fetch_kernel_statistics([KERNEL, OTHER])
    assert ([None, {}], ProblemKind.UNAVAILABLE) == (list(batch), batch.problems[0].kind)
    assert "another type" in batch.problems[0].message


async def test_a_payload_that_breaks_the_decoder_costs_its_own_entry_alone(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any error of the decoder makes that entry malformed."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.mset({KERNEL: msgpack.packb(METRICS), OTHER: msgpack.packb(METRICS)})

    def read(payload: bytes, /, *, key: str) -> dict[str, Any]:
        if key == KERNEL:
            raise MemoryError
        return dict(msgpack.unpackb(payload))

    monkeypatch.setattr("statcore_valkey.statistics.read_metrics", read)
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store:
        batch = await store.fetch_kernel_statistics([KERNEL, OTHER])
    assert ([None, METRICS], ProblemKind.MALFORMED) == (list(batch), batch.problems[0].kind)


async def test_an_error_of_the_interpreter_is_ours(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors outside the driver become errors of ours, too."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(commands, "expect_values", fail)
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store:
        with pytest.raises(ProtocolError, match=r"unexpected MemoryError in \w+, line \d+ of \w+\.py") as error:
            await store.fetch_kernel_statistics([KERNEL])
    assert isinstance(error.value.__cause__, MemoryError)


@pytest.mark.parametrize("metrics", [None, 5, [], {"mem": 5}, {"mem": None}, {"mem": {"current": "1"}}])
async def test_a_value_that_is_no_metric_is_refused(valkey: Server, metrics: Any) -> None:
    """The error names the type that is expected, and nothing is written."""
    async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink:
        with pytest.raises(InputError, match="MetricValue"):
            await sink.store_kernel_statistics({OTHER: {}, KERNEL: metrics})
        with pytest.raises(InputError, match="MetricValue"):
            await sink.store_agent_statistics("i-1", node=metrics, devices={}, interval_s=1)
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        assert 0 == client.dbsize()


@pytest.mark.parametrize("levels", [32, 495, 900])
@pytest.mark.parametrize("extension", [b"", msgpack.packb(msgpack.ExtType(1, bytes(16)))], ids=["plain", "with a UUID"])
async def test_a_deep_entry_can_be_printed(valkey: Server, levels: int, extension: bytes) -> None:
    """A metric with deep nesting is malformed; printing and comparing the entry works."""
    nested = b"\x81\xa1m" + b"\x81\xa1a" * levels + (extension or b"\x80")
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.mset({KERNEL: nested, OTHER: msgpack.packb(METRICS)})
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store:
        batch = await store.fetch_kernel_statistics([KERNEL, OTHER])
    assert METRICS == batch[1]
    if batch[0] is None:
        assert ProblemKind.MALFORMED is batch.problems[0].kind
    else:
        assert "<malformed>" in repr(batch[0])
        with pytest.raises(MalformedEntryError):
            batch[0]["m"]


@pytest.mark.parametrize(
    "echo",
    [
        b"-ERR unknown command 'AUTH', with args beginning with: 'reader' 'hunter2' \r\n",
        b"-ERR unknown command `AUTH`, with args beginning with: `reader`, `hunter2`, \r\n",
        b"-ERR invalid request: AUTH reader hunter2\r\n",
        b"-hunter2 is not a command\r\n",
        b"-NOPERM reader/hunter2 may not log in\r\n",
        b"-WRONGPASS hunter2 is not the password\r\n",
        b"-LOADING hunter2\r\n",
        b"+hunter2\r\n",
        b":hunter2\r\n",
        b"hunter2\r\n",
    ],
)
@pytest.mark.parametrize("command", [b"AUTH", b"SELECT", b"MGET"])
async def test_no_word_of_a_repeated_command_leaves_the_store(fake_valkey: StartFake, command: bytes, echo: bytes) -> None:
    """The error and its traceback show no password, whatever the wording and the command."""
    url = (await fake_valkey({command: [echo]})).replace("://", "://reader:hunter2@")
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.5))) as store:
        with pytest.raises(StatcoreError) as error:
            await store.fetch_inference_metrics([KERNEL])
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


async def test_a_permission_without_an_answer_is_not_known(fake_valkey: StartFake) -> None:
    """It counts as neither allowed nor refused; a SET that the server refuses for its options is allowed."""
    contradiction, unknown, denied = (
        b"-ERR syntax error\r\n",
        b"-ERR unknown command 'TYPE'\r\n",
        b"-NOPERM No permissions\r\n",
    )
    script = {
        b"SET": [contradiction],
        b"TYPE": [unknown],
        b"PTTL": [denied],
        b"STRLEN": [b"-BUSY wait\r\n"],
        b"EXISTS": [b""],
    }
    url = await fake_valkey(script)
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.5))) as store:
        (facts,) = await store.server_facts()
    assert facts.reads is not None
    assert facts.writes is not None
    assert {"TYPE": None, "PTTL (ages)": False, "EXISTS": None} == {
        action: allowed for action, allowed in facts.reads.items() if not allowed
    }
    assert {True} == set(facts.writes.values())


async def test_an_only_server_that_hangs_has_a_fault(fake_valkey: StartFake) -> None:
    """It is not left out, so that `statcore doctor` says why nothing is known of it."""
    url = await fake_valkey({b"PING": [b""]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.5))) as store:
        (facts,) = await store.server_facts()
    assert ("", True) == (facts.address, "0.5" in (facts.fault or ""))
