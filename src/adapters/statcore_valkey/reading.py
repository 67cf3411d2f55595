"""From keys to entries: read in chunks, checked in slices, and what is wrong with which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from statcore.errors import MalformedEntryError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.model.batch import Entry
from statcore_valkey.codec import decode_count
from statcore_valkey.database import Database, expect_integer, expect_values
from statcore_valkey.deadline import Deadline
from statcore_valkey.options import ValkeyOptions

ReadEntry: TypeAlias = Callable[..., Entry]
"""Checks a payload: `read(payload, key=…)`; raises `MalformedEntryError`."""

_TURN_BYTES: Final = 512_000
"""How much is checked between two turns of the event loop: half a millisecond of usual entries."""
_ENTRY_BYTES: Final = 4_000
"""What an entry counts for beyond its length, so that small ones do not come in thousands."""
_TYPES: Final = (b"list", b"set", b"zset", b"hash", b"stream")
_GONE: Final = -2
_FOR_EVER: Final = -1


@attrs.define(kw_only=True, eq=False)
class Reading:
    """A batch in the making: add keys, chunk by chunk, then take the batch."""

    database: Database
    options: ValkeyOptions
    deadline: Deadline
    entries: list[Entry | None] = attrs.field(factory=list["Entry | None"], init=False)
    problems: dict[int, Problem] = attrs.field(factory=dict[int, Problem], init=False)
    ages_s: dict[int, float] = attrs.field(factory=dict[int, float], init=False)

    async def add_statistics(self, keys: Sequence[str], *, read: ReadEntry, ttl_s: int | None) -> None:
        """Read payloads from keys that live for `ttl_s` seconds after each write, or None where that is not known."""
        # The time to live comes first: an entry that is written in between is then fresher than told, never staler.
        dated = self.options.ages or self.options.freshness_s is not None
        lives = [("PTTL", key) for key in keys] if dated else []
        *left, values = await self.database.ask([*lives, ("MGET", *keys)], deadline=self.deadline)
        payloads = expect_values(values, length=len(keys), service=self.database.service)
        missing: dict[int, str] = {}
        first, checked = len(self.entries), 0
        for position, (key, payload) in enumerate(zip(keys, payloads, strict=True), start=first):
            if payload is None:
                missing[position] = key
                self.entries.append(None)
                continue
            self.entries.append(self._entry(payload, key, position, read))
            checked += _ENTRY_BYTES + len(payload)
            if checked > _TURN_BYTES:
                checked = 0
                await asyncio.sleep(0)
        for position, (key, left_ms) in enumerate(zip(keys, left, strict=False), start=first):
            if self.entries[position] is not None:
                self._add_age(position, key, expect_integer(left_ms, service=self.database.service), ttl_s)
        if missing:
            await self._explain(missing)

    async def add_activity(self, keys: Sequence[tuple[str, str]]) -> None:
        """Read the request count and last response time of sessions from pairs of keys."""
        flat = [key for pair in keys for key in pair]
        (values,) = await self.database.ask([("MGET", *flat)], deadline=self.deadline)
        numbers = [decode_count(value) for value in expect_values(values, length=len(flat), service=self.database.service)]
        for pair, *counts in zip(keys, numbers[::2], numbers[1::2], strict=True):
            if missing := [key for key, count in zip(pair, counts, strict=True) if count is None]:
                message = f"no number at {' and '.join(missing)}"
                self.problems[len(self.entries)] = Problem(ProblemKind.INCOMPLETE, message=message, key=missing[0])
                counts = [0, 0]  # noqa: PLW2901 - in both, since one without the other is no activity
            self.entries.append(dict(zip(("requests", "last_response_ms"), counts, strict=True)))

    def batch(self) -> StatisticsBatch:
        """Return what was added."""
        return StatisticsBatch(self.entries, problems=self.problems, ages_s=self.ages_s)

    def _entry(self, payload: bytes, key: str, position: int, read: ReadEntry) -> Entry | None:
        limit = self.options.max_entry_bytes
        if len(payload) > limit:
            message = f"key {key!r} holds {len(payload)} bytes, more than max_entry_bytes = {limit}"
            self.problems[position] = Problem(ProblemKind.OVERSIZED, message=message, key=key)
            return None
        try:
            return read(payload, key=key)
        except MalformedEntryError as error:
            message = str(error)
        except Exception as error:  # noqa: BLE001 - one payload never takes the others with it
            message = f"key {key!r} cannot be decoded: {type(error).__name__}"
        self.problems[position] = Problem(ProblemKind.MALFORMED, message=message, key=key)
        return None

    def _add_age(self, position: int, key: str, left_ms: int, ttl_s: int | None) -> None:
        """Note the age of an entry, and that it is stale, or that the age is unknown."""
        age_s, unknown = 0.0, None
        if left_ms == _FOR_EVER:
            unknown = "it never expires"
        elif left_ms != _GONE:  # gone means that it was written after PTTL was answered
            if ttl_s is None:
                unknown = "agent_interval_s is not set"
            elif left_ms > ttl_s * 1000:
                unknown = f"it expires in {left_ms / 1000:.3f} s, but is written for {ttl_s} s"
            else:
                age_s = ttl_s - left_ms / 1000
        if unknown:
            message = f"the age of key {key!r} is unknown: {unknown}"
            self.problems[position] = Problem(ProblemKind.UNDATED, message=message, key=key)
            return
        self.ages_s[position] = age_s
        bound_s = self.options.freshness_s
        if bound_s is not None and age_s > bound_s:
            message = f"the age of key {key!r} is {age_s:.3f} s; fresh is up to {bound_s:g} s"
            self.problems[position] = Problem(ProblemKind.STALE, message=message, key=key)

    async def _explain(self, missing: Mapping[int, str]) -> None:
        """Find the keys that MGET takes for missing because they hold another type than a string.

        Nearly always none exists, which one command for all of them tells; only otherwise each is asked for its type.
        """
        (count,) = await self.database.ask([("EXISTS", *missing.values())], deadline=self.deadline)
        if not expect_integer(count, service=self.database.service):
            return
        types = await self.database.ask([("TYPE", key) for key in missing.values()], deadline=self.deadline)
        for (position, key), kind in zip(missing.items(), types, strict=True):
            if kind not in (b"none", b"string"):  # a string has come since
                known = kind.decode() if kind in _TYPES else "value of another type"
                message = f"key {key!r} holds a {known}, not a string"
                self.problems[position] = Problem(ProblemKind.UNAVAILABLE, message=message, key=key)
