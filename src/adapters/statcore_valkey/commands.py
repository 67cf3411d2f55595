"""What is done with keys on one node: the commands, and what their answers must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeAlias, cast

import attrs

from statcore.concurrency import Deadline, in_turns
from statcore.errors import ProtocolError, StatcoreError, UnavailableError
from statcore_valkey.error_mapping import LongReplyError, OversizedValueError, WrongTypeError, describe
from statcore_valkey.node import Command, Node
from statcore_valkey.options import DEFAULTS

KEYS_PER_COMMAND: Final = 1_000
"""The most keys of one command: one or two milliseconds of work between turns of the event loop."""
_TYPES: Final = (b"list", b"set", b"zset", b"hash", b"stream")

Values: TypeAlias = "list[bytes | tuple[int, bytes] | StatcoreError | None]"


class Work(Protocol):
    """Does something with keys; a keyspace calls it with the keys of one node."""

    async def __call__(self, node: Node, positions: Sequence[int], /, *, deadline: Deadline) -> list[Any]:
        """Return an answer for the key at each position, in order.

        An answer that is a `StatcoreError` costs that key alone; an answer that is None says that the node has no such key.

        Raises:
            StatcoreError: the work failed for all of these keys.
        """
        ...


@attrs.frozen
class ReadValues:
    """Reads the values of keys.

    An answer is the value, None for a key that does not exist, `WrongTypeError` for a key that holds another type, or
    `OversizedValueError` for a value that is too long to be read. Lengths are read only after a node has refused to read a
    value, which takes three more exchanges.

    Args:
        keys: the key at each position.
        is_dated: whether an answer is a pair of the remaining time to live in milliseconds, as PTTL gives it, and
            the value.
        max_entry_bytes: the most bytes of a value, once lengths are read.
        checks_types: whether keys without a value are checked for another type, which may take a second exchange.
    """

    keys: Sequence[str]
    is_dated: bool = False
    max_entry_bytes: int = DEFAULTS.max_entry_bytes
    checks_types: bool = True

    async def __call__(self, node: Node, positions: Sequence[int], /, *, deadline: Deadline) -> list[Any]:
        """Return the value of the key at each position."""
        keys = self.keys if len(positions) == len(self.keys) else [self.keys[position] for position in positions]
        try:
            return await self._read(node, keys, deadline)
        except LongReplyError:
            return await self._read_short(node, keys, deadline)

    async def _read_short(self, node: Node, keys: Sequence[str], deadline: Deadline) -> list[Any]:
        """Read after the lengths of all values are known, and only the values that are short enough."""
        oversized: dict[int, OversizedValueError] = {}
        kinds = await node.exchange([("TYPE", key) for key in keys], deadline=deadline)
        # On a server that is not part of a cluster, STRLEN of another type would fail the exchange.
        strings = [position for position, kind in enumerate(kinds) if kind == b"string"]
        lengths = await node.exchange([("STRLEN", keys[position]) for position in strings], deadline=deadline)
        for position, length in zip(strings, lengths, strict=True):
            if isinstance(length, int) and length > self.max_entry_bytes:
                oversized[position] = OversizedValueError(
                    keys[position], length=length, max_entry_bytes=self.max_entry_bytes
                )
        short = [key for position, key in enumerate(keys) if position not in oversized]
        values = iter(await self._read(node, short, deadline) if short else [])
        return [oversized[position] if position in oversized else next(values) for position in range(len(keys))]

    async def _read(self, node: Node, keys: Sequence[str], deadline: Deadline) -> list[Any]:
        read = self._read_each if node.is_cluster else self._read_many
        values, ttls_ms = await read(node, keys, deadline)
        if not self.is_dated:
            return values
        async for part in in_turns(range(len(values))):
            for position in part:
                value = values[position]
                if type(value) is bytes:
                    values[position] = expect_integer(ttls_ms[position], node=node), value
        return values

    async def _read_many(self, node: Node, keys: Sequence[str], deadline: Deadline) -> tuple[Values, list[object]]:
        """Read with commands of many keys."""
        commands: list[Command] = []
        parts = _parts(keys)
        for part in parts:
            # PTTL comes before MGET: an entry that is written between them is younger than its age says, never older.
            commands += [("PTTL", key) for key in part] if self.is_dated else []
            commands.append(("MGET", *part))
        answers = await node.exchange(commands, deadline=deadline)
        values: Values = []
        ttls_ms: list[object] = []
        start = 0
        for part in parts:
            count = len(part) if self.is_dated else 0
            ttls_ms += answers[start : start + count]
            values += expect_values(answers[start + count], length=len(part), node=node)
            start += count + 1
        if self.checks_types and None in values:
            missing = [position for position, value in enumerate(values) if value is None]
            await self._explain(node, keys, missing, values, deadline)
        return values, ttls_ms

    async def _read_each(self, node: Node, keys: Sequence[str], deadline: Deadline) -> tuple[Values, list[object]]:
        """Read with commands of one key."""
        if self.is_dated:
            answers = await node.exchange(
                [command for key in keys for command in (("PTTL", key), ("GET", key))], deadline=deadline
            )
            ttls_ms, values = answers[::2], answers[1::2]
        else:
            ttls_ms, values = [], await node.exchange([("GET", key) for key in keys], deadline=deadline)
        wrong: list[int] = []
        async for part in in_turns(range(len(keys)), size=KEYS_PER_COMMAND):
            for position in part:
                value = values[position]
                if value is None or type(value) is bytes:
                    if ttls_ms and isinstance(ttls_ms[position], StatcoreError):
                        values[position] = ttls_ms[position]
                elif isinstance(value, WrongTypeError):
                    wrong.append(position)
                elif not isinstance(value, StatcoreError):
                    values[position] = ProtocolError(f"{node.service} answered {type(value).__name__}, not bytes")
        if wrong and self.checks_types:
            await self._explain(node, keys, wrong, values, deadline)
        return values, ttls_ms

    async def _explain(
        self, node: Node, keys: Sequence[str], positions: Sequence[int], values: Values, deadline: Deadline
    ) -> None:
        """Put errors in the place of values for keys that hold another type than a string.

        On a server that answers commands of many keys, one EXISTS for all usually shows that no such key exists.
        """
        if not node.is_cluster:
            missing = [keys[position] for position in positions]
            commands: list[Command] = [("EXISTS", *part) for part in _parts(missing)]
            counts = await node.exchange(commands, deadline=deadline)
            if not any(expect_integer(count, node=node) for count in counts):
                return
        types = await node.exchange([("TYPE", keys[position]) for position in positions], deadline=deadline)
        for position, kind in zip(positions, types, strict=True):
            key = keys[position]
            if isinstance(kind, StatcoreError):
                values[position] = kind
            elif type(kind) is not bytes:
                raise ProtocolError(f"{node.service} answered {type(kind).__name__}, not a type")
            elif kind not in (b"none", b"string"):  # a string was written after the value was read
                known = kind.decode() if kind in _TYPES else "value of another type"
                values[position] = WrongTypeError(f"key {key!r} holds a {known}, not a string")
            elif node.is_cluster:
                written = UnavailableError(f"key {key!r} was written while it was read", service=node.service)
                values[position] = written if kind == b"string" else None


@attrs.frozen
class Write:
    """Sends a command of one key for each position; the server must confirm it.

    Args:
        commands: the command at each position.
    """

    commands: Sequence[Command]

    async def __call__(self, node: Node, positions: Sequence[int], /, *, deadline: Deadline) -> list[Any]:
        """Return the confirmation, or an error, for each position.

        Raises:
            ProtocolError: an answer is neither.
        """
        is_all = len(positions) == len(self.commands)
        commands = self.commands if is_all else [self.commands[position] for position in positions]
        answers = await node.exchange(commands, deadline=deadline)
        if any(answer != b"OK" and not isinstance(answer, StatcoreError) for answer in answers):
            raise ProtocolError(f"{node.service} did not confirm a write")
        return answers


@attrs.frozen
class Remove:
    """Removes keys, and ignores unknown keys.

    Args:
        keys: the key at each position.
    """

    keys: Sequence[str]

    async def __call__(self, node: Node, positions: Sequence[int], /, *, deadline: Deadline) -> list[Any]:
        """Return a number or an error for each position."""
        keys = [self.keys[position] for position in positions]
        if node.is_cluster:
            return await node.exchange([("DEL", key) for key in keys], deadline=deadline)
        await node.exchange([("DEL", *part) for part in _parts(keys)], deadline=deadline)
        return [0] * len(keys)


def expect_values(answer: object, /, *, length: int, node: Node) -> list[Any]:
    """Return the answer to MGET, bytes or None for each key.

    Raises:
        ProtocolError: the answer has another form; pairing it with the keys would give an id the entry of another id.
    """
    if not isinstance(answer, list):
        raise ProtocolError(f"{node.service} answered {type(answer).__name__}, not a list of {length} values")
    values = cast("list[Any]", cast("Any", answer))
    if len(values) != length:
        raise ProtocolError(f"{node.service} answered {len(values)} values, not {length}")
    for value in values:
        if value is not None and type(value) is not bytes:
            found = describe(value) if isinstance(value, Exception) else type(value).__name__
            raise ProtocolError(f"{node.service} answered something that is not bytes among the values: {found}")
    return values


def expect_integer(answer: object, /, *, node: Node) -> int:
    """Return an answer, which must be an integer.

    Raises:
        ProtocolError: the answer is not an integer.
    """
    if not isinstance(answer, int):
        raise ProtocolError(f"{node.service} answered {type(answer).__name__}, not an integer")
    return answer


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the items in as many parts as there are commands."""
    if len(items) <= KEYS_PER_COMMAND:
        return [items]
    return [items[start : start + KEYS_PER_COMMAND] for start in range(0, len(items), KEYS_PER_COMMAND)]
