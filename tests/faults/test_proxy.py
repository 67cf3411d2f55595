"""The proxy itself: what each of its faults does to the bytes of a connection."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.faults.proxy import StartProxy, TcpProxy
from tests.support.tcp import listening

from statcore.testing.servers import LOOPBACK

PATIENCE_S = 30


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that answers each request with the request."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async with listening(repeat) as port:
        yield port


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a proxy until the block ends; nothing in the block may wait for long."""
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def test_a_connection_is_closed_when_its_handler_ends() -> None:
    """Left open by asyncio, it would be garbage once the client has closed its end, and would warn in another test."""

    async def ignore(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        pass

    async with listening(ignore) as port, asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        assert b"" == await reader.read()
        writer.close()


async def test_connections_that_have_ended_are_not_kept() -> None:
    """A soak makes many thousands; if each were kept, collecting the garbage would stop all proxies for a second."""
    ended = asyncio.Semaphore(0)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.release()

    def count_readers() -> int:
        gc.collect()
        return sum(isinstance(each, asyncio.StreamReader) for each in gc.get_objects())

    async with listening(take) as port, asyncio.timeout(PATIENCE_S):
        counts: list[int] = []
        for _ in range(2):
            for _ in range(20):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                await ended.acquire()
            counts.append(count_readers())
    assert counts[1] - counts[0] < 10


async def test_it_passes_bytes_both_ways(echo: int, tcp_proxy: StartProxy) -> None:
    """Without a fault nothing is changed, and connections are counted."""
    proxy = await tcp_proxy(echo)
    for number in range(3):
        async with connected(proxy) as (reader, writer):
            writer.write(b"%d" % number)
            assert b"%d" % number == await reader.readexactly(1)
    assert 3 == proxy.connections


async def test_a_delay_keeps_each_piece(echo: int, tcp_proxy: StartProxy) -> None:
    """An answer of four pieces takes at least four delays."""
    proxy = await tcp_proxy(echo, piece=2, delay_s=0.02)
    async with connected(proxy) as (reader, writer):
        clock = asyncio.get_running_loop().time
        started_s = clock()
        writer.write(b"12345678")
        assert b"12345678" == await reader.readexactly(8)
        assert 4 * 0.02 <= clock() - started_s


async def test_held_answers_wait(echo: int, tcp_proxy: StartProxy) -> None:
    """Nothing arrives before the proxy lets go, or only as many bytes as were allowed."""
    proxy = await tcp_proxy(echo)
    async with connected(proxy) as (reader, writer):
        for allowed in (b"", b"123"):
            proxy.hold(after=len(allowed))
            writer.write(b"12345678")
            await proxy.held.wait()
            assert allowed == await reader.readexactly(len(allowed))
            rest = asyncio.create_task(reader.readexactly(8 - len(allowed)))
            await asyncio.wait([rest], timeout=0.02)
            assert not rest.done()
            proxy.let_go()
            assert b"12345678" == allowed + await rest


async def test_held_answers_are_let_go_in_parts(echo: int, tcp_proxy: StartProxy) -> None:
    """As many bytes arrive as the proxy lets go, and the rest is held again."""
    proxy = await tcp_proxy(echo)
    async with connected(proxy) as (reader, writer):
        proxy.hold()
        writer.write(b"12345678")
        await proxy.held.wait()
        for part in (b"12", b"345"):
            proxy.let_go(only=len(part))
            await proxy.held.wait()
            assert part == await reader.read(8)
        proxy.let_go()
        assert b"678" == await reader.readexactly(3)


async def test_pieces_trickle(echo: int, tcp_proxy: StartProxy) -> None:
    """An answer arrives in more than one piece, and is the same answer."""
    proxy = await tcp_proxy(echo, piece=1, delay_s=0.001)
    async with connected(proxy) as (reader, writer):
        writer.write(b"12345678")
        pieces: list[bytes] = []
        while len(b"".join(pieces)) < 8:
            pieces.append(await reader.read(8))
    assert b"12345678" == b"".join(pieces)
    assert 2 <= len(pieces)


async def test_a_cut_is_a_reset(echo: int, tcp_proxy: StartProxy) -> None:
    """The client sees that its connection was reset, and can connect again."""
    proxy = await tcp_proxy(echo)
    async with connected(proxy) as (reader, writer):
        writer.write(b"1")
        await reader.readexactly(1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    async with connected(proxy) as (reader, writer):
        writer.write(b"2")
        assert b"2" == await reader.readexactly(1)


async def test_lost_requests_get_no_answer(echo: int, tcp_proxy: StartProxy) -> None:
    """The connection stays open; requests that come later are answered."""
    proxy = await tcp_proxy(echo)
    async with connected(proxy) as (reader, writer):
        proxy.lose_requests()
        writer.write(b"lost")
        await proxy.lost.wait()
        proxy.lose_requests(lose=False)
        writer.write(b"kept")
        assert b"kept" == await reader.readexactly(4)


@pytest.mark.parametrize("piece", [1, 3, 65_536])
async def test_a_limit_ends_the_connection(echo: int, tcp_proxy: StartProxy, piece: int) -> None:
    """Exactly so many bytes of answers arrive, and then the end."""
    proxy = await tcp_proxy(echo, piece=piece, ends_after=5)
    async with connected(proxy) as (reader, writer):
        writer.write(b"12345678")
        assert b"12345" == await reader.read(-1)


async def test_answers_are_rewritten(echo: int, tcp_proxy: StartProxy) -> None:
    """The client gets other bytes than the server sent, and more of them."""
    proxy = await tcp_proxy(echo, rewrite=lambda data: data.replace(b"yes", b"no, not"))
    async with connected(proxy) as (reader, writer):
        writer.write(b"yes.")
        assert b"no, not." == await reader.readexactly(8)
