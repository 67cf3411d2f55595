"""Bodies of HTTP answers that are too long, endless, compressed, broken off or cut into pieces."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.faults.fake_prometheus import ANSWER, Answer, Reply, StartClient, breaking_off, values
from tests.support.turns import counting_turns

from statcore.errors import ProtocolError, UnavailableError
from statcore_prometheus import PrometheusOptions
from statcore_prometheus.answer_cutter import PIECE_BYTES
from statcore_prometheus.server import Server
from statcore_prometheus.transport import Transport

MIB = 2**20


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
async def test_a_bomb_is_stopped_at_the_cap(
    fake_client: StartClient, http_reply: Reply, compress: Callable[[bytes], bytes]
) -> None:
    """A few kilobytes that decompress to 64 MiB are read up to the limit, once; the error names the limit."""
    bomb = compress(ANSWER.encode() + b" " * (64 * MIB))
    encoding = "gzip" if compress is gzip.compress else "deflate"
    server, client = await fake_client(http_reply(bomb, content_encoding=encoding), gzip=True, max_answer_bytes=MIB)
    with pytest.raises(ProtocolError, match=f"longer than max_answer_bytes, {MIB}"):
        await client.query("up")
    assert 1 == len(server.seen)
    assert len(bomb) < MIB


@pytest.mark.parametrize("length", [MIB, MIB + 1])
async def test_the_cap_is_exact(fake_client: StartClient, http_reply: Reply, length: int) -> None:
    """An answer as long as the limit is read; one byte more is refused."""
    server, client = await fake_client(http_reply(ANSWER.encode().ljust(length)), max_answer_bytes=MIB)
    if length > MIB:
        with pytest.raises(ProtocolError, match="longer than"):
            await client.query("up")
    else:
        assert [7.0] == await values(client)
    assert 1 == len(server.seen)


@pytest.mark.parametrize("status", [200, 500])
async def test_an_endless_body_is_stopped(fake_client: StartClient, status: int) -> None:
    """A body without end is read up to the limit, and the body of an error up to the length that is shown."""
    gone = asyncio.Event()

    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\n\r\n".encode())
        try:
            while True:
                writer.write(b" " * 65_536)
                await writer.drain()
        except ConnectionError:
            gone.set()
            raise

    server, client = await fake_client(pour, max_answer_bytes=4 * MIB, attempts=1)
    with pytest.raises(ProtocolError if status == 200 else UnavailableError):
        await client.query("up")
    async with asyncio.timeout(60):
        await gone.wait()
    assert 1 == len(server.seen)


async def test_compressed_answers_are_read(fake_client: StartClient, http_reply: Reply) -> None:
    """With compression switched on, the client requests it and decompresses answers."""
    server, client = await fake_client(http_reply(gzip.compress(ANSWER.encode()), content_encoding="gzip"), gzip=True)
    assert [7.0] == await values(client)
    assert "gzip" == server.seen[0].headers["accept-encoding"]


async def test_broken_compression_is_no_answer(fake_client: StartClient, http_reply: Reply) -> None:
    """A body that cannot be decompressed is a ProtocolError, after one attempt."""
    server, client = await fake_client(http_reply(ANSWER, content_encoding="gzip"))
    with pytest.raises(ProtocolError, match=f"{server.url}.*decompress"):
        await client.query("up")
    assert 1 == len(server.seen)


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()


@pytest.mark.parametrize(
    "outage",
    [
        breaking_off(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + ANSWER.encode()),
        breaking_off(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n" + ANSWER[:4].encode() + b"\r\n"),
        breaking_off(b"HTTP/1.1 200 OK\r\nContent-"),
        breaking_off(b""),
        reset,
    ],
    ids=["body", "chunks", "headers", "nothing", "reset"],
)
async def test_a_connection_that_breaks_off_is_tried_again(
    fake_client: StartClient, http_reply: Reply, outage: Answer
) -> None:
    """The caller gets the answer of the third attempt, wherever the first two broke off."""
    server, client = await fake_client(outage, outage, http_reply(ANSWER))
    assert [7.0] == await values(client)
    assert 3 == len(server.seen)


@pytest.mark.parametrize(
    "reply", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 99_999]
)
async def test_an_answer_that_is_not_http(fake_client: StartClient, reply: bytes) -> None:
    """Another protocol on the port is a ProtocolError, not an outage."""
    server, client = await fake_client(reply)
    with pytest.raises(ProtocolError, match=f"{server.url}: not an answer in HTTP"):
        await client.query("up")
    assert 1 == len(server.seen)


async def test_an_answer_in_single_bytes_is_the_same(fake_client: StartClient, http_reply: Reply) -> None:
    """An answer may be cut anywhere, also inside a character."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        for byte in http_reply(ANSWER):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    _, client = await fake_client(trickle)
    (sample,) = (await client.query("up")).samples
    assert ({"a": "é😀"}, 1.0, 7.0) == (sample.labels, sample.timestamp, sample.value)


async def test_others_get_a_turn_between_pieces() -> None:
    """A long chunk is decoded piece by piece, and other tasks run in between."""
    options = PrometheusOptions()
    server = Server.from_url("http://127.0.0.1:1", options=options)
    body = bytes(range(256)) * (10 * PIECE_BYTES // 256) + b"rest"
    pieces: list[tuple[int, bytes]] = []

    async def one_chunk() -> AsyncIterator[bytes]:
        yield body

    response: Any = SimpleNamespace(content=SimpleNamespace(iter_any=one_chunk))
    async with counting_turns() as turns:
        reader: Any = SimpleNamespace(feed=lambda chunk: pieces.append((turns.count, chunk)), finish=list)
        await Transport([server], options, None)._read(response, reader, server)
    assert body == b"".join(piece for _, piece in pieces)
    assert 11 == len({turn for turn, _ in pieces})
    assert PIECE_BYTES == max(len(piece) for _, piece in pieces)
