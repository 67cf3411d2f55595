"""Keys on any servers with any faults: each key gets its own outcome, whatever happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.valkey_memory_servers import Servers, short_pauses

from statcore.concurrency import Deadline
from statcore.errors import AccessDeniedError, StatcoreError, UnavailableError
from statcore_valkey import Address, Keyspace, Shard, SlotMap, fan_out
from statcore_valkey.commands import ReadValues
from statcore_valkey.discovery import fail_overs
from statcore_valkey.fan_out import Unsynced
from statcore_valkey.slot_map import SLOTS

ADDRESSES: Final = [Address("node", port) for port in range(1, 5)]
TIMEOUT_S: Final = 0.2


@pytest.fixture(scope="module", autouse=True)
def _in_a_hurry() -> Iterator[None]:
    with short_pauses(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_out, "_KEYS_PER_TURN", 3)
        yield


def slot_maps() -> st.SearchStrategy[SlotMap]:
    """Generate maps of one to four primaries, whose ranges of slots are cut anywhere."""
    cuts = st.lists(st.integers(1, SLOTS - 1), max_size=8, unique=True).map(sorted)

    def build(cuts: list[int], owners: list[Address]) -> SlotMap:
        starts = [0, *cuts]
        ends = [*(cut - 1 for cut in cuts), SLOTS - 1]
        shards = {address: Shard(address) for address in owners}
        return SlotMap(
            tuple(
                (first, last, shards[owners[n % len(owners)]])
                for n, (first, last) in enumerate(zip(starts, ends, strict=True))
            )
        )

    return st.builds(build, cuts, st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=4, unique=True))


def keys() -> st.SearchStrategy[list[str]]:
    """Generate keys, some of them several times."""
    return st.lists(st.sampled_from([f"key-{number}" for number in range(40)]), max_size=30)


def owner_of(owners: SlotMap, key: str) -> Address:
    """Return the primary that owns a key."""
    shard = owners.owner(key)
    assert shard is not None
    return shard.primary


async def read(keys_of: Keyspace, names: list[str], *, is_dated: bool = False) -> list[Any]:
    """Return the outcome for each key."""
    async with Deadline(TIMEOUT_S, waiting_for="the event loop") as deadline:
        outcomes = await keys_of.fan_out(names, ReadValues(names, is_dated=is_dated), deadline=deadline)
    await keys_of.aclose()
    return outcomes


@settings(max_examples=40)
@given(
    slot_maps(),
    slot_maps() | st.none(),
    keys(),
    st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(["down", "hung", "denied", "loading"]), max_size=2),
    st.booleans(),
    st.sets(st.sampled_from([f"key-{number}" for number in range(40)])),
)
def test_every_key_gets_its_own_outcome(
    owners: SlotMap,
    known: SlotMap | None,
    names: list[str],
    faults: dict[Address, str],
    is_dated: bool,  # noqa: FBT001 - Hypothesis
    moving: set[str],
) -> None:
    """The value that its owner has, or an error if its owner has a fault, also with an old map and while slots move."""
    values = {f"key-{number}": b"value of %d" % number for number in range(0, 40, 2)}
    servers = Servers(owners=owners, values=values, faults=faults, asking=frozenset(moving))

    def expected(name: str) -> object:
        if fault := faults.get(owner_of(owners, name)):
            return AccessDeniedError if fault == "denied" else UnavailableError
        value = values.get(name)
        return (1_000, value) if is_dated and value is not None else value

    wanted = [expected(name) for name in names]
    try:
        outcomes = asyncio.run(read(servers.keyspace(known), names, is_dated=is_dated))
    except StatcoreError:
        assert wanted
        assert all(isinstance(outcome, type) for outcome in wanted)
    else:
        unsure = fail_overs(known, owners, {}) if known else set()
        for name, right, outcome in zip(names, wanted, outcomes, strict=True):
            if isinstance(outcome, Unsynced):
                assert (None, True) == (right, owner_of(owners, name) in unsure)
            else:
                assert right == (type(outcome) if isinstance(outcome, StatcoreError) else outcome)
