"""Slot maps: what servers tell about the owners of slots, also in a form that no server should send."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from statcore.errors import ProtocolError
from statcore_valkey import Address, Shard, SlotMap
from statcore_valkey.discovery import fail_overs
from statcore_valkey.slot_map import SLOTS, slot_ranges

A, B, C, D = (Address("10.0.0.1", port) for port in (1, 2, 3, 4))
HALF = SLOTS // 2
FIELDS = [b"name", b"mymaster", b"ip", b"10.0.0.1", b"port", b"1", b"flags", b"master", b"config-epoch", b"7"]


def node(host: object, port: object) -> list[object]:
    """Return a node as CLUSTER SLOTS tells it."""
    return [host, port, b"id", []]


def halves(first: Shard, second: Shard) -> SlotMap:
    """Return a map of two shards."""
    return SlotMap(((0, HALF - 1, first), (HALF, SLOTS - 1, second)))


def test_cluster_slots_become_owners_and_replicas() -> None:
    """Ranges may come in any order, and a shard may own several."""
    answer = [
        [HALF, SLOTS - 1, node(b"10.0.0.1", 2)],
        [0, 9, node(b"10.0.0.1", 1), node(b"10.0.0.1", 3)],
        [20, HALF - 1, node(b"10.0.0.1", 1), node(b"10.0.0.1", 3)],
    ]
    slots = SlotMap.parse(answer, host="elsewhere")
    first, second = Shard(A, replicas=(C,)), Shard(B)
    assert (first, second) == slots.shards
    assert {A, B, C} == slots.addresses
    assert [first, None, first, second] == [slots.owners[slot] for slot in (9, 10, 20, HALF)]
    assert 10 == slots.unowned
    assert None is slots.only
    assert slots.owners[key_slot(b"{a}b")] is slots.owner("{a}c")


@pytest.mark.parametrize("host", [b"", None])
def test_an_empty_host_is_the_host_of_the_server_that_answers(host: bytes | None) -> None:
    """Such a server does not know its own address."""
    slots = SlotMap.parse([[0, SLOTS - 1, node(host, 7)]], host="store")
    assert Shard(Address("store", 7)) == slots.only


@pytest.mark.parametrize("owner", [node(b"?", 1), node(b"10.0.0.1", 0)])
def test_an_owner_without_an_address_is_none(owner: list[object]) -> None:
    """Nobody can be asked for its slots; a replica without an address is left out."""
    assert SLOTS == SlotMap.parse([[0, SLOTS - 1, owner]], host="store").unowned
    assert Shard(A) == SlotMap.parse([[0, SLOTS - 1, node(b"10.0.0.1", 1), owner]], host="store").only


@pytest.mark.parametrize(
    "answer",
    [
        *(None, b"OK", 5, [5], [[]], [[0, 5]], [[0, 5, None]], [[0, 5, [b"a"]]], [[0, 5, [b"a", b"1"]]], [[0, 5, [5, 1]]]),
        *([[5, 0, node(b"a", 1)]], [[-1, 5, node(b"a", 1)]], [[0, SLOTS, node(b"a", 1)]], [[b"0", 5, node(b"a", 1)]]),
        *([[0, 5, node(b"a", 65_536)]], [[0, 5, node(b"\xff", 1)]], [[0, 5, node(b"a b", 1)]], [[0, 5, node(b"a\n", 1)]]),
        [[0, 5, node(b"a", 1)], [5, 6, node(b"b", 1)]],
        [[True, 5, node(b"a", 1)]],
    ],
)
def test_another_answer_is_a_protocol_error(answer: object) -> None:
    """Slots out of range, two owners of a slot, and anything that is not a host and a port."""
    with pytest.raises(ProtocolError, match="CLUSTER SLOTS"):
        SlotMap.parse(answer, host="store")


def scalars() -> st.SearchStrategy[object]:
    """Generate what a server may send in place of anything."""
    return st.none() | st.integers(-2, SLOTS + 2) | st.binary(max_size=3) | st.sampled_from([b"10.0.0.1", b"", b"?"])


@given(st.recursive(scalars(), lambda items: st.lists(items, max_size=4), max_leaves=30))
def test_any_answer_is_a_map_or_a_protocol_error(answer: object) -> None:
    """No answer raises another error."""
    try:
        slots = SlotMap.parse(answer, host="store")
    except ProtocolError:
        return
    assert slots.owners.count(None) == slots.unowned


@given(st.lists(st.integers(0, 40), unique=True).map(sorted))
def test_ranges_of_slots_name_each_slot(slots: list[int]) -> None:
    """Reading the ranges gives the slots again."""
    read: list[int] = []
    for part in filter(None, slot_ranges(slots).split(", ")):
        first, _, last = part.partition("-")
        read += range(int(first), int(last or first) + 1)
    assert slots == read


def test_addresses_are_shown_as_in_urls() -> None:
    """IPv6 addresses have brackets; a socket is a path."""
    assert ["a:1", "[::1]:2", "/run/a"] == [str(Address("a", 1)), str(Address("::1", 2)), str(Address("/run/a", 0))]


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        (halves(Shard(A, replicas=(C,)), Shard(B)), halves(Shard(C), Shard(B)), {C}),
        (halves(Shard(A), Shard(B)), halves(Shard(B), Shard(A)), set()),
        (halves(Shard(A), Shard(B)), SlotMap.of_one(Shard(B)), set()),
        (SlotMap.of_one(Shard(A)), halves(Shard(A), Shard(B)), set()),
        (SlotMap.of_one(Shard(A)), SlotMap.of_one(Shard(B)), {B}),
        (halves(Shard(A), Shard(B)), halves(Shard(C), Shard(D)), {C, D}),
        (SlotMap(((0, 9, Shard(A)),)), SlotMap(((10, 19, Shard(B)),)), set()),
        (
            SlotMap(((0, 9, Shard(A, replicas=(C,))), (10, 19, Shard(B)))),
            SlotMap(((0, 4, Shard(C)), (5, 19, Shard(B)))),  # some slots went on to B after C had taken the place of A
            {B, C},
        ),
        (
            SlotMap(((0, 9, Shard(A)), (10, 19, Shard(B)))),
            SlotMap(((0, 4, Shard(C)), (5, 19, Shard(B)))),  # the same, and no map named C before
            {B, C},
        ),
        (
            SlotMap(((0, 9, Shard(A, replicas=(C,))), (10, 19, Shard(B)))),
            SlotMap(((0, 4, Shard(C)), (5, 5, Shard(A)), (6, 19, Shard(B)))),  # a node does not know yet who owns slot 5
            {A, B, C},
        ),
        (halves(Shard(A, replicas=(C,)), Shard(B)), halves(Shard(C), Shard(A)), {A, C}),
        (
            SlotMap(((0, 9, Shard(A, replicas=(C,))), (10, 19, Shard(B)), (20, 29, Shard(D)))),
            SlotMap(((0, 9, Shard(C)), (10, 14, Shard(A)), (15, 29, Shard(D)))),  # A took the place of B; D has slots of B
            {A, C, D},
        ),
    ],
)
def test_a_fail_over_is_not_a_move_of_slots(before: SlotMap, after: SlotMap, taken: set[Address]) -> None:
    """Slots take their keys along, but not those of a server that was replaced, whoever has them now."""
    assert taken == fail_overs(before, after, before.followed)


def test_a_server_without_slots_was_not_replaced_by_its_replica() -> None:
    """A new primary and its former replica have got slots of another primary, which has all its keys."""
    before = SlotMap(((0, 19, Shard(B)),))
    after = SlotMap(((0, 4, Shard(A)), (5, 9, Shard(C)), (10, 19, Shard(B))))
    assert set() == fail_overs(before, after, {C: A})


def test_sentinels_tell_a_master_and_its_replicas() -> None:
    """Replicas that are down are left out, and so is the next master while a fail-over runs."""

    def replica(port: int, flags: bytes) -> list[bytes]:
        return [b"ip", b"10.0.0.1", b"port", b"%d" % port, b"flags", flags]

    replicas = [replica(2, b"slave"), replica(3, b"s_down,slave,disconnected")]
    slots = SlotMap.parse_sentinel([b"10.0.0.1", b"1"], FIELDS, replicas)
    assert (Shard(A, replicas=(B,)), 7) == (slots.only, slots.epoch)
    assert SlotMap.of_one(Shard(B), epoch=7) == SlotMap.parse_sentinel([b"10.0.0.1", b"2"], FIELDS, replicas)


@pytest.mark.parametrize(
    "answers",
    [
        *((None, FIELDS, []), ([b"a"], FIELDS, []), ([b"a", b"x"], FIELDS, []), ([b"\xff", b"1"], FIELDS, [])),
        *(([b"a", b"1"], None, []), ([b"a", b"1"], FIELDS[:-1], []), ([b"a", b"1"], FIELDS[:-2], []), (5, FIELDS, [])),
        *(([b"a", b"1"], FIELDS, [[b"ip"]]), ([b"a", b"1"], FIELDS, [[]]), ([b"a", b"1"], FIELDS, 5)),
    ],
)
def test_another_answer_of_a_sentinel_is_a_protocol_error(answers: tuple[Any, Any, Any]) -> None:
    """Whatever is missing in it."""
    with pytest.raises(ProtocolError, match="sentinel"):
        SlotMap.parse_sentinel(*answers)
