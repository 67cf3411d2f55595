"""Faults of the adapter where it reads from many servers, planted by hand: the simulation must find each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from redis.crc import key_slot
from redis.exceptions import ReadOnlyError, ResponseError
from tests.simulation.planting import Plant

from statcore.errors import StatcoreError
from statcore_valkey import databases
from statcore_valkey.commands import Write
from statcore_valkey.discovery import Discovery, most_telling
from statcore_valkey.error_mapping import RedirectError, is_failure
from statcore_valkey.fan_out import FanOut
from statcore_valkey.node import AskingNode, RedisNode
from statcore_valkey.slot_map import SLOTS, Shard, SlotMap

_TTL_MS: Final = 86_400_000


def the_first_map_is_kept(patch: pytest.MonkeyPatch) -> None:
    """What a search finds is ignored: an old primary is kept after a fail-over, and an old map of slots for ever."""
    change = Discovery._change

    def keep(self: Discovery, found: SlotMap) -> None:
        if self.map is None:
            change(self, found)

    patch.setattr(Discovery, "_change", keep)


def maps_do_not_age(patch: pytest.MonkeyPatch) -> None:
    """The sentinels are not asked as long as nothing fails."""
    patch.setattr(Discovery, "search_if_old", lambda _: None)


def asking_is_left_out(patch: pytest.MonkeyPatch) -> None:
    """Keys of a slot that moves are read from the new owner as if the slot were there."""

    async def exchange(self: AskingNode, commands: Any, **settings: Any) -> list[Any]:
        return await self.node.exchange(commands, **settings)

    patch.setattr(AskingNode, "exchange", exchange)


def ask_is_learnt_as_moved(patch: pytest.MonkeyPatch) -> None:
    """A key of a slot that moves changes the owner of the slot."""
    follow = FanOut._follow

    async def learn(self: Any, part: Any, positions: Sequence[int], address: Any, *, is_ask: bool) -> None:
        if is_ask and not part.is_replica:
            owners = list((await self.discovery.current()).owners)
            owners[key_slot(self.keys[positions[0]].encode())] = Shard(address)
            self.discovery.map = SlotMap(tuple((slot, slot, owners[slot]) for slot in range(SLOTS) if owners[slot]))
            is_ask = False
        await follow(self, part, positions, address, is_ask=is_ask)

    patch.setattr(FanOut, "_follow", learn)


def moved_is_not_followed(patch: pytest.MonkeyPatch) -> None:
    """Keys of a slot that has moved are asked for where they were."""
    follow = FanOut._follow

    async def stay(self: Any, part: Any, positions: Sequence[int], address: Any, *, is_ask: bool) -> None:
        await follow(self, part, positions, address if is_ask else part.address or address, is_ask=is_ask)

    patch.setattr(FanOut, "_follow", stay)


def redirects_are_values(patch: pytest.MonkeyPatch) -> None:
    """The text of an error is taken for what a key holds."""
    checked = RedisNode._checked

    def as_value(self: RedisNode, answer: object) -> object:
        return str(answer).encode() if isinstance(answer, ResponseError) else checked(self, answer)

    patch.setattr(RedisNode, "_checked", as_value)


def redirects_are_nothing(patch: pytest.MonkeyPatch) -> None:
    """A key of another node is no key."""
    _change_answers(patch, lambda _, answer: None if isinstance(answer, RedirectError) else answer)


def readonly_is_done(patch: pytest.MonkeyPatch) -> None:
    """A replica that refuses a write is said to have done it."""
    checked = RedisNode._checked

    def as_done(self: RedisNode, answer: object) -> object:
        return b"OK" if isinstance(answer, ReadOnlyError) else checked(self, answer)

    patch.setattr(RedisNode, "_checked", as_done)


def redirected_writes_are_done(patch: pytest.MonkeyPatch) -> None:
    """A write that another node has to do is said to be done."""
    call = Write.__call__

    async def confirm(self: Any, node: Any, positions: Sequence[int], **settings: Any) -> list[Any]:
        answers = await call(self, node, positions, **settings)
        return [b"OK" if isinstance(answer, RedirectError) else answer for answer in answers]

    patch.setattr(Write, "__call__", confirm)


def nodes_are_joined_in_another_order(patch: pytest.MonkeyPatch) -> None:
    """The answers of a node go to its keys from the last to the first."""
    note = FanOut._note

    async def reverse(self: Any, part: Any, answers: list[Any]) -> None:
        await note(self, part, answers[::-1])

    patch.setattr(FanOut, "_note", reverse)


def one_node_fails_all(patch: pytest.MonkeyPatch) -> None:
    """One key without an answer costs all others."""

    def result(self: Any) -> list[Any]:
        failures = [outcome for outcome in self._outcomes if is_failure(outcome)]
        if failures:
            raise most_telling(failures)
        outcomes: list[Any] = self._outcomes
        return outcomes

    patch.setattr(FanOut, "_result", result)


def one_failure_is_the_last(patch: pytest.MonkeyPatch) -> None:
    """Keys that fail are not tried again."""

    def settle(self: Any, _: Any, positions: Sequence[int], error: StatcoreError) -> None:
        self._settle(positions, error)

    patch.setattr(FanOut, "_retry", settle)


def replicas_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A key that a replica does not have is no key."""
    note_missing = FanOut._note_missing

    async def believe(self: Any, part: Any, positions: Sequence[int]) -> None:
        part.is_replica = False
        await note_missing(self, part, positions)

    patch.setattr(FanOut, "_note_missing", believe)


def replicas_say_where_keys_are(patch: pytest.MonkeyPatch) -> None:
    """A key of a slot that moves, which a replica lacks, is looked for at the new owner only."""
    follow = FanOut._follow

    async def believe(self: Any, part: Any, positions: Sequence[int], address: Any, *, is_ask: bool) -> None:
        part.is_replica = False
        await follow(self, part, positions, address, is_ask=is_ask)

    patch.setattr(FanOut, "_follow", believe)


def new_primaries_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A key that a new primary does not have is no key."""
    patch.setattr(Discovery, "is_unsynced", lambda *_: False)


def replicas_are_always_read(patch: pytest.MonkeyPatch) -> None:
    """Replicas are read though nobody asked for it."""
    patch.setattr(FanOut, "reads_replicas", property(lambda self: not self.is_write, lambda *_: None))


def copies_are_young(patch: pytest.MonkeyPatch) -> None:
    """What a replica has counts as just written."""

    def young(node: RedisNode, answer: object) -> object:
        is_old = isinstance(answer, int) and answer > 0 and ("replica" in node.role)
        return _TTL_MS if is_old else answer

    _change_answers(patch, young)


def searches_go_on(patch: pytest.MonkeyPatch) -> None:
    """Closing ends no search."""

    async def do_nothing(_: Any) -> None:
        """Leave it."""

    patch.setattr(Discovery, "aclose", do_nothing)


def earlier_decisions_are_believed(patch: pytest.MonkeyPatch) -> None:
    """Of two sentinels, the one that knows less is right."""
    of_one = SlotMap.of_one

    def earlier(shard: Shard, /, *, epoch: int = 0) -> SlotMap:
        return of_one(shard, epoch=-epoch)

    patch.setattr(SlotMap, "of_one", staticmethod(earlier))


def connections_are_not_confirmed(patch: pytest.MonkeyPatch) -> None:
    """The sentinels are not asked about the server of a new connection."""

    async def confirms(*_: object) -> bool:
        return True

    patch.setattr(Discovery, "confirms", confirms)


def roles_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    """A server is what the sentinels say, whatever it says itself."""

    async def unknown(_: object) -> None:
        """Return nothing."""

    patch.setattr(databases, "_own_role", unknown)


def only_the_first_is_asked(patch: pytest.MonkeyPatch) -> None:
    """The first sentinel decides alone."""

    async def first(calls: Sequence[Any]) -> list[Any]:
        for call in calls[1:]:
            call.close()
        return [await calls[0]]

    patch.setattr(databases, "first_answers", first)


def _change_answers(patch: pytest.MonkeyPatch, change: Any) -> None:
    exchange = RedisNode.exchange

    async def changed(self: RedisNode, commands: Any, **settings: Any) -> list[Any]:
        return [change(self, answer) for answer in await exchange(self, commands, **settings)]

    patch.setattr(RedisNode, "exchange", changed)


_OF_BOTH: Final[list[Plant]] = [
    the_first_map_is_kept,
    nodes_are_joined_in_another_order,
    one_failure_is_the_last,
    replicas_are_believed,
    new_primaries_are_believed,
    replicas_are_always_read,
    copies_are_young,
    searches_go_on,
]
CLUSTER_PLANTS: Final[list[Plant]] = [
    *_OF_BOTH,
    asking_is_left_out,
    ask_is_learnt_as_moved,
    moved_is_not_followed,
    redirects_are_values,
    redirects_are_nothing,
    redirected_writes_are_done,
    one_node_fails_all,
    replicas_say_where_keys_are,
]
SENTINEL_PLANTS: Final[list[Plant]] = [
    *_OF_BOTH,
    maps_do_not_age,
    readonly_is_done,
    earlier_decisions_are_believed,
    connections_are_not_confirmed,
    roles_are_not_checked,
    only_the_first_is_asked,
]
