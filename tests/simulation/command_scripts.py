"""Scripts of commands that are sent to several servers, real or simulated, and their replies."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Place: TypeAlias = tuple[str, int]
Step: TypeAlias = "tuple[str, Sequence[str]]"
"""The name of a connection, which begins with that of a server, and the words of a command."""


async def replies(places: Mapping[str, Place], script: Sequence[Step]) -> list[Any]:
    """Return the reply to each command: bytes, a list or a number; other replies are text with their first character.

    Args:
        places: where each server listens, by its name.
        script: the commands; `node-1` and `node-1/b` are two connections to the server `node-1`.
    """
    connections: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
    found: list[Any] = []
    try:
        for name, words in script:
            if name not in connections:
                connections[name] = await asyncio.open_connection(*places[name.partition("/")[0]])
            reader, writer = connections[name]
            encoded = [word.encode() for word in words]
            writer.write(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded))
            found.append(await _reply(reader))
    finally:
        for _, writer in connections.values():
            writer.close()
            await writer.wait_closed()
    return found


def steps(name: str, *commands: str) -> list[Step]:
    """Return commands for one connection."""
    return [(name, command.split(" ")) for command in commands]


def plain(answer: Any, names: Mapping[bytes, str]) -> Any:
    """Return an answer as text, with names in the place of ids, hosts and ports."""
    if isinstance(answer, list):
        return [plain(item, names) for item in answer]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(answer, int):
        return names.get(b"%d" % answer, answer)
    if answer in names:
        return names[answer]
    text = answer.decode() if isinstance(answer, bytes) else answer
    for word, name in names.items():
        text = re.sub(rf"\b{re.escape(word.decode())}\b", name, text)
    return text


async def _reply(reader: asyncio.StreamReader) -> Any:
    line = (await reader.readline()).decode()
    kind, text = line[:1], line[1:].strip()
    if kind == "$" and int(text) >= 0:
        return (await reader.readexactly(int(text) + 2))[:-2]
    if kind == "*" and int(text) >= 0:
        return [await _reply(reader) for _ in range(int(text))]
    return int(text) if kind == ":" else kind + text
