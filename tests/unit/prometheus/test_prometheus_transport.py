"""Reading a body; all else of the transport is tested with a server, in tests/faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from statcore_prometheus.cutting import PIECE_BYTES
from statcore_prometheus.endpoint import read_endpoint
from statcore_prometheus.options import PrometheusOptions
from statcore_prometheus.transport import Transport


class OneChunk:
    """A response of which everything is there already."""

    def __init__(self, body: bytes) -> None:
        """Take the body."""
        self.content = self
        self._body = body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield the body."""
        yield self._body


class Notes:
    """A reader that notes the pieces, and which turn of the event loop each one came in."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.turn = 0
        self.pieces: list[tuple[int, bytes]] = []

    def feed(self, chunk: bytes, /) -> None:
        """Note a piece."""
        self.pieces.append((self.turn, chunk))

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the notes."""
        return self.pieces


async def test_others_get_a_turn_between_pieces() -> None:
    """However much is there at once, it is decoded piece by piece, and the event loop goes round in between."""
    options = PrometheusOptions()
    endpoint = read_endpoint("http://127.0.0.1:1", options)
    notes = Notes()

    async def count_turns() -> None:
        while True:
            notes.turn += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_turns())
    body = bytes(range(256)) * (10 * PIECE_BYTES // 256) + b"rest"
    response: Any = OneChunk(body)
    pieces = await Transport([endpoint], options, None)._read(response, notes, endpoint)
    counter.cancel()
    assert body == b"".join(piece for _, piece in pieces)
    assert 11 == len({turn for turn, _ in pieces})
    assert PIECE_BYTES == max(len(piece) for _, piece in pieces)
