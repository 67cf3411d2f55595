"""What drivers, decoders and the interpreter raise: what leaves the store is ours, and one bad item costs itself alone."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgpack
import pytest
from redis import Redis

from statcore.errors import InputError, MalformedEntryError, ProtocolError, StatcoreError
from statcore.model import MetricValue, ProblemKind
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink, statistics

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
OTHER = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b12"
METRICS = {"mem": {"current": "1"}}


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
async def test_what_leaves_the_store_is_ours_by_construction(fake_valkey: Callable[..., Any], answer: bytes) -> None:
    """Whatever the driver makes of an answer, to reads of each kind and to writes."""
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


async def test_a_type_that_is_not_text_costs_its_own_entry_alone(fake_valkey: Callable[..., Any]) -> None:
    """The key is unavailable; its neighbour is read."""
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
    """Whatever the decoder raises for it."""
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
    """Also where no driver is involved."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(statistics, "expect_values", fail)
    async with aclosing(ValkeyStatistics.from_url(valkey.url)) as store:
        with pytest.raises(ProtocolError, match=r"unexpected MemoryError in \w+, line \d+ of \w+\.py") as error:
            await store.fetch_kernel_statistics([KERNEL])
    assert isinstance(error.value.__cause__, MemoryError)


@pytest.mark.parametrize("metrics", [None, 5, [], {"mem": 5}, {"mem": None}, {"mem": {"current": "1"}}])
async def test_what_is_no_metric_is_refused(valkey: Server, metrics: Any) -> None:
    """By name, before anything is written."""
    async with aclosing(ValkeyStatisticsSink.from_url(valkey.url)) as sink:
        with pytest.raises(InputError, match="MetricValue"):
            await sink.store_kernel_statistics({OTHER: {}, KERNEL: metrics})
        with pytest.raises(InputError, match="MetricValue"):
            await sink.store_agent_statistics("i-1", node=metrics, devices={}, interval_s=1)
        for interval_s in ("5", None, float("nan")):
            with pytest.raises(InputError, match=r"^interval_s must be a number of seconds"):
                await sink.store_agent_statistics("i-1", node={}, devices={}, interval_s=interval_s)  # type: ignore[arg-type]
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        assert 0 == client.dbsize()


@pytest.mark.parametrize("levels", [32, 495, 900])
@pytest.mark.parametrize("extension", [b"", msgpack.packb(msgpack.ExtType(1, bytes(16)))], ids=["plain", "with a UUID"])
async def test_a_deep_entry_can_be_printed(valkey: Server, levels: int, extension: bytes) -> None:
    """A metric nested deeper than any agent writes is malformed; printing and comparing the entry never fails."""
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
async def test_no_word_of_a_repeated_command_leaves_the_store(
    fake_valkey: Callable[..., Any], command: bytes, echo: bytes
) -> None:
    """Neither in the error nor in its traceback, whatever the server's wording and to whichever command it answers."""
    url = (await fake_valkey({command: [echo]})).replace("://", "://reader:hunter2@")
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=0.5))) as store:
        with pytest.raises(StatcoreError) as error:
            await store.fetch_inference_metrics([KERNEL])
    assert "hunter2" not in "".join(traceback.format_exception(error.value))


async def test_cancellation_leaves_the_store_as_it_is(fake_valkey: Callable[..., Any]) -> None:
    """It is no error that is mapped."""
    url = await fake_valkey({b"MGET": [b""]})
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=60))) as store:
        task = asyncio.create_task(store.fetch_kernel_statistics([KERNEL]))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
