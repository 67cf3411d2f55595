"""A fake Valkey with scripted answers to commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import TypeAlias

from tests.support.tcp import listening

Answers: TypeAlias = dict[bytes, list[bytes]]
StartFake: TypeAlias = Callable[..., Awaitable[str]]
"""The fixture `fake_valkey`, which starts a server with scripted answers and returns its URL."""


@asynccontextmanager
async def running_fake_valkey(*scripts: Answers) -> AsyncGenerator[str]:
    """Yield the URL of a server that gives the answers to each command in turn, the last one again and again.

    Any other command is answered with OK. Several scripts are those of one connection each, the last that of all further
    connections.
    """
    connections = count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = scripts[min(next(connections), len(scripts) - 1)]
        try:
            while words := int((await reader.readline()).strip(b"*\r\n") or 0):
                command = [await _read_word(reader) for _ in range(words)]
                turns = answers.get(command[0], [b"+OK\r\n"])
                writer.write(turns.pop(0) if len(turns) > 1 else turns[0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async with listening(serve) as port:
        yield f"valkey://127.0.0.1:{port}"


async def _read_word(reader: asyncio.StreamReader) -> bytes:
    length = int((await reader.readline()).strip(b"$\r\n"))
    return (await reader.readexactly(length + 2))[:-2]
