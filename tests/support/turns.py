"""The turns of the event loop that another task gets while a test works, and the replies that are read in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from redis.asyncio.connection import AbstractConnection

from statcore_valkey import node


@attrs.define
class Turns:
    """The number of turns until now."""

    count: int = 0


@asynccontextmanager
async def counting_turns() -> AsyncIterator[Turns]:
    """Run another task during the block, and count its turns."""
    turns = Turns()

    async def take_turns() -> None:
        while True:
            turns.count += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(take_turns())
    try:
        yield turns
    finally:
        task.cancel()


def noting_replies(patch: pytest.MonkeyPatch, note: Callable[[object], None]) -> None:
    """Call a function with each reply that a Valkey connection reads, from its socket or from what has arrived already."""
    read_response, parsed_replies = AbstractConnection.read_response, node._parsed_replies

    async def read(connection: AbstractConnection, **options: Any) -> object:
        reply = await read_response(connection, **options)
        note(reply)
        return reply

    def noting(connection: AbstractConnection) -> Callable[[], object]:
        arrived = parsed_replies(connection)

        def reply() -> object:
            reply = arrived()
            if type(reply) is not object:
                note(reply)
            return reply

        return reply

    patch.setattr(AbstractConnection, "read_response", read)
    patch.setattr(node, "_parsed_replies", noting)
