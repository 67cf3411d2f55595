"""Keys on several servers: what is sent where, what one sick server costs, and what a search for the servers costs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise, permutations, repeat
from typing import Any, Final

import attrs
import pytest
from tests.support.instant_loop import run_instantly, seconds
from tests.support.tcp import listening
from tests.support.turns import counting_turns
from tests.support.valkey_memory_servers import ELSEWHERE, MemoryNode, Servers, short_pauses

from statcore.concurrency import Deadline, deadlines_within
from statcore.errors import AccessDeniedError, ClosedError, InputError, StatcoreError, TimedOutError, UnavailableError
from statcore.testing.cancellation import cancel_at_every_step
from statcore_connection.lifetime import Lifetime
from statcore_valkey import Address, Keyspace, Shard, SlotMap, ValkeyOptions, ValkeyStatistics, WrongTypeError, fan_out
from statcore_valkey import discovery as discovery_module
from statcore_valkey.commands import ReadValues, Remove, Write
from statcore_valkey.discovery import Discovery, first_answers
from statcore_valkey.fan_out import Unsynced
from statcore_valkey.node import Command, RedisNode
from statcore_valkey.server import driver_settings, new_pool
from statcore_valkey.slot_map import SLOTS

FIRST, SECOND, THIRD, FOURTH = (Address("node", port) for port in (1, 2, 3, 4))
HALF: Final = SLOTS // 2
QUARTER: Final = HALF // 2
ENOUGH_S: Final = 60.0
SOON_S: Final = 0.3
KEYS: Final = [f"key-{number}" for number in range(20)]
VALUES: Final = {key: key.encode() for key in KEYS}


@pytest.fixture(autouse=True)
def _in_a_hurry() -> Iterator[None]:
    with short_pauses():
        yield


def halves(first: Address, second: Address, *replicas: Address) -> SlotMap:
    """Return a map of two primaries; the first has the replicas."""
    return SlotMap(((0, HALF - 1, Shard(first, replicas=replicas)), (HALF, SLOTS - 1, Shard(second))))


TWO: Final = halves(FIRST, SECOND)
UPPER: Final = (HALF, SLOTS - 1, Shard(SECOND))


async def read(keyspace: Keyspace, keys: Sequence[Any], *, timeout_s: float = ENOUGH_S) -> list[Any]:
    """Return the outcome for each key."""
    async with Deadline(timeout_s, waiting_for="the event loop") as deadline:
        return await keyspace.fan_out(keys, ReadValues(keys), deadline=deadline)


def owner_of(slots: SlotMap, key: str) -> Address | None:
    """Return the server that owns a key."""
    shard = slots.owner(key)
    return None if shard is None else shard.primary


def keys_of(slots: SlotMap, address: Address) -> list[str]:
    """Return the keys that a server owns."""
    owned = [key for key in KEYS if owner_of(slots, key) == address]
    assert owned
    return owned


def sent_to(servers: Servers, address: Address) -> list[str]:
    """Return the keys for which a server got a command."""
    return [str(command[1]) for receiver, command in servers.received if receiver == address]


async def test_a_key_is_read_from_its_owner_once_for_each_position() -> None:
    """Several keys, one of them twice, go to two servers, and each answer is at its position."""
    servers = Servers(owners=TWO, values=VALUES)
    keys = [*KEYS, KEYS[0], "unknown"]
    assert [*VALUES.values(), VALUES[KEYS[0]], None] == await read(servers.keyspace(TWO), keys)
    assert sorted(keys) == sorted(sent_to(servers, FIRST) + sent_to(servers, SECOND))


async def test_the_keys_of_a_server_are_one_exchange() -> None:
    """The server owns every other slot, as after many moves."""
    slots = SlotMap.parse([[slot, slot, [b"node", 1 + slot % 2]] for slot in range(SLOTS)], host="")
    servers = Servers(owners=slots, values=VALUES)
    assert list(VALUES.values()) == await read(servers.keyspace(slots), KEYS)
    assert 2 == servers.exchanges


async def test_no_keys_need_no_server() -> None:
    """Neither a server nor the map is needed."""
    servers = Servers(owners=TWO)
    assert [] == await read(servers.keyspace(None), [])
    assert ([], 0) == (servers.received, servers.searches)


async def test_many_callers_search_once() -> None:
    """Callers that know no map wait for one search, also if one of them is cancelled."""
    servers = Servers(owners=TWO, values=VALUES)
    keyspace = servers.keyspace(None)
    first, *others = [asyncio.create_task(read(keyspace, KEYS)) for _ in range(16)]
    await asyncio.sleep(0)
    first.cancel()
    assert [list(VALUES.values())] * 15 == await asyncio.gather(*others)
    assert first.cancelled()
    assert 1 == servers.searches


def test_a_search_has_its_whole_time_whoever_begins_it() -> None:
    """The first caller has less time than the search takes; another caller gets the map."""

    @attrs.frozen
    class Slow(TellsSlots):
        async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
            async with Deadline(ENOUGH_S, waiting_for="an answer"):
                await asyncio.sleep(1)
            return await super().exchange(commands, deadline=deadline)

    async def scenario() -> StatcoreError | None:
        slots = [[0, SLOTS - 1, [b"node", 1]]]
        keyspace = Keyspace.of_cluster([FIRST], lambda address, _: Slow(address, slots), timeout_s=ENOUGH_S)
        with deadlines_within(0.5):
            keyspace.discovery.search()
        return await keyspace.discovery.refresh()

    assert run_instantly(scenario()) is None


async def test_a_redirect_is_followed_and_the_map_is_searched_once_for_all_callers() -> None:
    """The old map names the wrong owner of every key."""
    servers = Servers(owners=TWO, values=VALUES)
    keyspace = servers.keyspace(halves(SECOND, FIRST))
    assert [list(VALUES.values())] * 8 == await asyncio.gather(*(read(keyspace, KEYS) for _ in range(8)))
    assert 1 == servers.searches
    servers.received.clear()
    assert list(VALUES.values()) == await read(keyspace, KEYS)
    assert len(KEYS) == len(servers.received)


async def test_keys_that_have_moved_before_their_slot_are_read_there() -> None:
    """The server that gets the slot answers after ASKING; the map stays as it is."""
    moving = keys_of(TWO, FIRST)[:3]
    servers = Servers(owners=TWO, values=VALUES, asking=frozenset(moving))
    assert list(VALUES.values()) == await read(servers.keyspace(TWO), KEYS)
    assert moving == sent_to(servers, ELSEWHERE)
    assert 0 == servers.searches


async def test_redirects_are_followed_again_after_a_pause() -> None:
    """Servers that redirected a key to each other agree during the pause; the key has moved on by then."""
    key = keys_of(TWO, FIRST)[0]
    servers = Servers(owners=TWO)
    keyspace = _without_end(servers.keyspace(TWO))
    call = asyncio.create_task(read(keyspace, [key]))
    before_pause = fan_out._MAX_REDIRECTS + 1
    while len(servers.received) < before_pause:  # noqa: ASYNC110 - the servers have no event for it
        await asyncio.sleep(0)
    for address in (FIRST, SECOND, ELSEWHERE):
        node = keyspace.node(address)
        assert isinstance(node, MemoryNode)
        node.servers.owners, node.servers.values, node.servers.asking = TWO, VALUES, frozenset([key])
    assert [VALUES[key]] == await call


async def test_servers_that_redirect_to_each_other_are_left_at_the_deadline() -> None:
    """Redirects without a pause are few, so that a call sends few commands."""
    servers = Servers(owners=TWO, values=VALUES)
    with pytest.raises(UnavailableError, match="redirect"):
        await read(_without_end(servers.keyspace(TWO)), keys_of(TWO, FIRST)[:1], timeout_s=SOON_S)
    assert 1_000 > len(servers.received)


def _without_end(keyspace: Keyspace) -> Keyspace:
    """Return a keyspace whose servers see the owners change with every command."""
    node = keyspace.new_node

    def new_node(address: Address, is_replica: bool) -> MemoryNode:  # noqa: FBT001 - `NewNode`
        made = node(address, is_replica)
        assert isinstance(made, MemoryNode)
        other = SECOND if address == FIRST else FIRST
        servers = Servers(owners=SlotMap.of_one(Shard(other)))
        servers.received = made.servers.received
        return MemoryNode(servers, address)

    return Keyspace(name="the servers", discovery=keyspace.discovery, new_node=new_node, lifetime=keyspace.lifetime)


@pytest.mark.parametrize("fault", ["down", "loading"])
async def test_a_sick_server_costs_its_own_keys(fault: str) -> None:
    """They are unavailable long before the deadline; all others are right."""
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: fault})
    async with asyncio.timeout(ENOUGH_S / 2):
        outcomes = dict(zip(KEYS, await read(servers.keyspace(TWO), KEYS), strict=True))
    lost = keys_of(TWO, FIRST)
    assert {UnavailableError} == {type(outcomes[key]) for key in lost}
    assert {key: VALUES[key] for key in KEYS if key not in lost} == {key: outcomes[key] for key in KEYS if key not in lost}


def test_a_server_that_was_not_sick_is_waited_for_once() -> None:
    """The first call waits until its deadline, the next does not; a call for that server alone waits again."""
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: "hung"})
    lost = keys_of(TWO, FIRST)

    async def call() -> Keyspace:
        keyspace = servers.keyspace(TWO)
        outcomes = dict(zip(KEYS, await read(keyspace, KEYS, timeout_s=SOON_S), strict=True))
        assert all(isinstance(outcomes[key], UnavailableError) for key in lost)
        async with asyncio.timeout(ENOUGH_S / 2):
            assert str(FIRST) in str((await read(keyspace, KEYS))[KEYS.index(lost[0])])
        with pytest.raises(TimedOutError, match=f"an answer from {FIRST}"):
            await read(keyspace, lost, timeout_s=SOON_S)
        servers.faults.clear()
        assert list(VALUES.values()) == await read(keyspace, KEYS)
        return keyspace

    assert not run_instantly(call()).failing


def test_a_server_that_fails_late_costs_no_other_key() -> None:
    """Others have answered when it fails; it may need as long again, but not longer than the deadline."""
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: "hung"})

    async def call() -> dict[str, Any]:
        reading = asyncio.create_task(read(servers.keyspace(TWO), KEYS, timeout_s=1.0))
        await asyncio.sleep(0.6)
        servers.faults[FIRST] = "down"
        servers.harmed.set()
        return dict(zip(KEYS, await reading, strict=True))

    outcomes = run_instantly(call())
    assert {UnavailableError} == {type(outcomes[key]) for key in keys_of(TWO, FIRST)}
    assert [VALUES[key] for key in keys_of(TWO, SECOND)] == [outcomes[key] for key in keys_of(TWO, SECOND)]


async def test_a_hung_server_is_left_once_another_takes_over() -> None:
    """A call that waits for it gets its keys from the new owner; a key that is missing there is not known to be missing."""
    lost = keys_of(TWO, FIRST)[0]
    servers = Servers(owners=TWO, values={key: VALUES[key] for key in KEYS if key != lost}, faults={FIRST: "hung"})
    keyspace = servers.keyspace(TWO)
    call = asyncio.create_task(read(keyspace, keys_of(TWO, FIRST)))
    await asyncio.sleep(0)
    servers.owners = halves(THIRD, SECOND)
    outcomes = await call
    assert [Unsynced(str(THIRD)) if key == lost else VALUES[key] for key in keys_of(TWO, FIRST)] == outcomes


async def test_a_new_map_is_compared_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a slow server may be many, and all may stay there."""
    monkeypatch.setattr(fan_out, "_KEYS_PER_TURN", 3)
    keys = keys_of(TWO, FIRST)
    servers = Servers(owners=halves(FIRST, THIRD), faults={FIRST: "hung"})
    compared: Counter[int] = Counter()
    owner = SlotMap.owner
    async with counting_turns() as turns:

        def count(slots: SlotMap, key: str) -> Shard | None:
            if slots is servers.owners:
                compared[turns.count] += 1
            return owner(slots, key)

        monkeypatch.setattr(SlotMap, "owner", count)
        with pytest.raises(TimedOutError):
            await read(servers.keyspace(TWO), keys, timeout_s=SOON_S)
    assert len(keys) == compared.total()
    assert 3 == max(compared.values())


async def test_a_map_that_changes_while_it_is_compared_is_compared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a hung server stay there in the first new map, and have a new owner in the second."""
    monkeypatch.setattr(fan_out, "_KEYS_PER_TURN", 1)
    servers = Servers(owners=halves(FIRST, THIRD), values=VALUES, faults={FIRST: "hung"})
    keyspace = servers.keyspace(TWO)

    async def take_over(_: SlotMap) -> None:
        servers.owners = halves(THIRD, SECOND)
        keyspace.discovery.search()

    keyspace.discovery.on_change.append(take_over)
    keys = keys_of(TWO, FIRST)
    assert [VALUES[key] for key in keys] == await read(keyspace, keys)


async def test_slots_that_move_on_after_a_fail_over_take_missing_keys_along() -> None:
    """A key that the new primary has not received is not known to be missing where its slot moves, or is moving."""
    lost = keys_of(TWO, FIRST)[0]
    servers = Servers(owners=halves(THIRD, SECOND), asking=frozenset([lost]))
    keyspace = servers.keyspace(TWO)
    await keyspace.discovery.refresh()
    assert [Unsynced(str(THIRD))] == await read(keyspace, [lost])
    assert [lost] == sent_to(servers, ELSEWHERE)
    servers.owners, servers.asking = SlotMap.of_one(Shard(SECOND)), frozenset()
    await keyspace.discovery.refresh()
    assert [Unsynced(str(SECOND))] == await read(keyspace, [lost])


@pytest.mark.parametrize(
    "maps",
    [
        # the map left out a replica that was down; it has taken over, and one node still knows a slot of the old primary
        [halves(FIRST, SECOND, THIRD), TWO, SlotMap(((0, 9, Shard(FIRST)), (10, HALF - 1, Shard(THIRD)), UPPER))],
        # the same, and the old primary has had other replicas since
        [
            *(halves(FIRST, SECOND, Address("node", port)) for port in (THIRD.port, 10, 11, 12)),
            SlotMap(((0, 9, Shard(FIRST)), (10, HALF - 1, Shard(THIRD)), UPPER)),
        ],
        # a server that no map named has taken over, and most slots have moved on already
        [TWO, SlotMap(((0, 9, Shard(THIRD)), (10, SLOTS - 1, Shard(SECOND))))],
        # the same, and the node that was asked first knew the owner of the slots that have moved on, but not the fail-over
        [
            halves(FIRST, SECOND, THIRD),
            SlotMap(((0, QUARTER - 1, Shard(SECOND)), (QUARTER, HALF - 1, Shard(FIRST)), UPPER)),
            SlotMap(((0, QUARTER - 1, Shard(SECOND)), (QUARTER, HALF - 1, Shard(THIRD)), UPPER)),
        ],
        # the same, and these slots have moved on once more
        [
            halves(FIRST, SECOND, THIRD),
            SlotMap(((0, QUARTER - 1, Shard(SECOND)), (QUARTER, HALF - 1, Shard(FIRST)), UPPER)),
            SlotMap(((0, QUARTER - 1, Shard(FOURTH)), (QUARTER, HALF - 1, Shard(FIRST)), UPPER)),
            SlotMap(((0, QUARTER - 1, Shard(FOURTH)), (QUARTER, HALF - 1, Shard(THIRD)), UPPER)),
        ],
        # the old primary has become a replica of its replica's neighbour, and then its successor
        [halves(FIRST, SECOND, THIRD), halves(THIRD, FIRST)],
    ],
)
async def test_a_fail_over_is_noticed_though_more_has_changed(maps: list[SlotMap]) -> None:
    """Keys that a new primary has not received are not known to be missing, whatever maps told before and tell since."""
    servers = Servers(owners=maps[0])
    keyspace = servers.keyspace(None)
    for servers.owners in maps:
        assert None is await keyspace.discovery.refresh()
    keys = keys_of(TWO, FIRST)
    assert [Unsynced(str(owner_of(maps[-1], key))) for key in keys] == await read(keyspace, keys)


def test_slots_that_come_back_long_after_a_fail_over_are_a_move() -> None:
    """The old primary is a primary again; the one that replaced it then gives its slots away, and gets them back later."""
    shared = SlotMap(((0, 9, Shard(THIRD)), (10, HALF - 1, Shard(FIRST)), UPPER))
    given = SlotMap(((0, 9, Shard(SECOND)), (10, HALF - 1, Shard(FIRST)), UPPER))
    maps = [halves(FIRST, SECOND, THIRD), halves(THIRD, SECOND, FIRST), shared, given, shared]

    async def unsynced() -> list[list[bool]]:
        servers = Servers(owners=TWO)
        discovery = servers.keyspace(None).discovery
        seen: list[list[bool]] = []
        for servers.owners in maps:
            await asyncio.sleep(discovery_module.UNSYNCED_S)
            assert None is await discovery.refresh()
            seen.append([discovery.is_unsynced(address) for address in (FIRST, SECOND, THIRD)])
        return seen

    _, *seen = run_instantly(unsynced())
    assert [[False, False, True], [True, False, True], [False] * 3, [False] * 3] == seen


@pytest.mark.parametrize(
    ("ports", "replicas", "fail_overs"),
    [
        ([(1, 10 + turn) for turn in range(10)], [16, 17, 18], 0),  # the replica alone is another
        ([(10 + turn, 11 + turn) for turn in range(10)], [19], 1),  # the replica takes over, and there is another
        ([(10 + turn, 30 + turn) for turn in range(10)], [36, 37, 38], 1),  # both are others
    ],
)
def test_servers_that_are_gone_for_good_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, ports: list[tuple[int, int]], replicas: list[int], fail_overs: int
) -> None:
    """Each new server has another address, as in containers; only the last replicas and fail-overs are remembered."""
    monkeypatch.setattr(discovery_module, "_MOST_GONE", 2)

    async def change() -> Discovery:
        servers = Servers(owners=TWO)
        discovery = servers.keyspace(None).discovery
        for primary, replica in ports:
            servers.owners = halves(Address("node", primary), SECOND, Address("node", replica))
            assert None is await discovery.refresh()
            await asyncio.sleep(discovery_module.UNSYNCED_S)
        return discovery

    discovery = run_instantly(change())
    assert replicas == [address.port for address in discovery._followed]
    assert fail_overs == len(discovery._unsynced)


def test_a_server_that_fails_once_it_is_gone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second exchange with it fails after the change of the map; the next change leaves nothing of it."""
    monkeypatch.setattr(fan_out, "_LOOK_S", ENOUGH_S)
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: "down"})
    keys = keys_of(TWO, FIRST)

    async def gone() -> list[bool]:
        keyspace = servers.keyspace(TWO)
        reading = asyncio.create_task(read(keyspace, keys))
        await asyncio.sleep(0.001)
        servers.faults[FIRST] = "hung"
        await asyncio.sleep(SOON_S)
        servers.owners = halves(THIRD, SECOND)
        await keyspace.discovery.refresh()
        servers.faults[FIRST] = "down"
        servers.harmed.set()
        assert [VALUES[key] for key in keys] == await reading
        was_failing = FIRST in keyspace.failing
        servers.owners = halves(ELSEWHERE, SECOND)
        await keyspace.discovery.refresh()
        await asyncio.sleep(SOON_S)
        return [was_failing, FIRST in keyspace.failing]

    assert [True, False] == run_instantly(gone())


@pytest.mark.parametrize(("pause_s", "search_s", "takes_s"), [(0.5, 0.7, 0.7), (0.01, 0.4, 0.4), (0.01, 5.0, 0.5)])
def test_keys_of_a_failing_server_wait_for_a_search(
    monkeypatch: pytest.MonkeyPatch, pause_s: float, search_s: float, takes_s: float
) -> None:
    """They are read from their new owner as soon as the search ends, however often they have failed, or are given up."""
    monkeypatch.setattr(fan_out, "_FIRST_PAUSE_S", pause_s)
    monkeypatch.setattr(fan_out, "_LONGEST_PAUSE_S", 2 * pause_s)
    monkeypatch.setattr(fan_out, "_LOOK_S", ENOUGH_S)
    exchange = MemoryNode.exchange

    async def soon(node: MemoryNode, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        await asyncio.sleep(0.001)
        return await exchange(node, commands, deadline=deadline)

    async def call() -> tuple[list[Any], float]:
        keyspace = servers.keyspace(TWO)
        find, start_s = keyspace.discovery.find, seconds()

        async def slowly(known: SlotMap | None) -> SlotMap:
            assert find is not None
            await asyncio.sleep(search_s)
            return await find(known)

        keyspace.discovery.find = slowly
        return await read(keyspace, KEYS), seconds() - start_s

    monkeypatch.setattr(MemoryNode, "exchange", soon)
    servers = Servers(owners=halves(THIRD, SECOND), values=VALUES, faults={FIRST: "down"})
    outcomes, took_s = run_instantly(call())
    lost = keys_of(TWO, FIRST) if takes_s < search_s else []
    assert (lost, pytest.approx(takes_s, abs=0.05)) == (
        [key for key, outcome in zip(KEYS, outcomes, strict=True) if outcome != VALUES[key]],
        took_s,
    )


def test_a_redirect_to_a_failing_server_is_not_a_new_owner() -> None:
    """A slot moves to a server that is down; its key is not waited for much longer than all others."""
    key = keys_of(TWO, FIRST)[0]
    servers = Servers(owners=TWO, values=VALUES, faults={ELSEWHERE: "down"}, asking=frozenset([key]))

    async def call() -> tuple[list[Any], float]:
        start_s = seconds()
        return await read(servers.keyspace(TWO), KEYS), seconds() - start_s

    outcomes, took_s = run_instantly(call())
    assert [key] == [name for name, outcome in zip(KEYS, outcomes, strict=True) if outcome != VALUES[name]]
    assert took_s < SOON_S


async def test_all_servers_down_is_an_error_of_the_call() -> None:
    """A refused user says more than a server that cannot be reached."""
    servers = Servers(owners=TWO, faults={FIRST: "down", SECOND: "denied"})
    with pytest.raises(AccessDeniedError):
        await read(servers.keyspace(TWO), KEYS, timeout_s=SOON_S)
    servers.faults[SECOND] = "down"
    with pytest.raises(UnavailableError, match="is down"):
        await read(servers.keyspace(TWO), KEYS, timeout_s=SOON_S)
    with pytest.raises(UnavailableError, match="is down"):
        await _ping(servers.keyspace(TWO))


def test_pauses_double_and_differ_between_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client makes its next attempts after 0.1 s, 0.2 s, 0.4 s and so on, less a random part of up to half of that."""
    monkeypatch.setattr(fan_out, "_FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(fan_out, "_LONGEST_PAUSE_S", 0.4)
    first_pauses_s: set[float] = set()
    times: list[float] = []
    exchange = MemoryNode.exchange

    async def note(node: MemoryNode, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        times.append(seconds())
        return await exchange(node, commands, deadline=deadline)

    monkeypatch.setattr(MemoryNode, "exchange", note)
    for _ in range(20):
        times.clear()
        servers = Servers(owners=TWO, faults={FIRST: "down"})
        with pytest.raises(UnavailableError, match="is down"):
            run_instantly(read(servers.keyspace(TWO), keys_of(TWO, FIRST), timeout_s=2.0))
        pauses_s = [later - earlier for earlier, later in pairwise(times)]
        assert all(
            longest_s / 2 <= round(pause_s, 6) <= longest_s
            for pause_s, longest_s in zip(pauses_s, chain([0.1, 0.2], repeat(0.4)), strict=False)
        )
        first_pauses_s.add(pauses_s[0])
    assert 20 == len(first_pauses_s)


async def test_a_refused_search_ends_calls_to_servers_that_fail() -> None:
    """Another attempt would find no other server. A search that was refused before the call does not count."""
    servers = Servers(owners=TWO, values=VALUES, faults=dict.fromkeys((FIRST, SECOND), "down"))
    servers.refusal = AccessDeniedError("the servers refused the user watcher")
    keyspace = servers.keyspace(TWO)
    for call in (read(keyspace, KEYS), _ping(keyspace)):
        with pytest.raises(AccessDeniedError, match="watcher"):
            await call
    servers.refusal, exchanges = None, servers.exchanges
    for again in (read(keyspace, KEYS), _ping(keyspace)):
        servers.faults |= {FIRST: "down", SECOND: "down"}
        task = asyncio.create_task(again)
        while exchanges == servers.exchanges:  # noqa: ASYNC110 - the servers tell nobody
            await asyncio.sleep(0)
        servers.faults.clear()
        assert await task in (list(VALUES.values()), None)
        exchanges = servers.exchanges


async def test_slots_without_an_owner_cost_their_own_keys() -> None:
    """The other keys are right."""
    partial = SlotMap(TWO.ranges[1:])
    servers = Servers(owners=TWO, values=VALUES)
    keyspace = servers.keyspace(partial)
    servers.owners = partial
    outcomes = dict(zip(KEYS, await read(keyspace, KEYS), strict=True))
    assert set(keys_of(TWO, FIRST)) == {key for key in KEYS if isinstance(outcomes[key], UnavailableError)}


async def test_a_cluster_without_owners_is_unavailable() -> None:
    """No slot has been given to a server yet."""
    servers = Servers(owners=SlotMap(()))
    for call in (read(servers.keyspace(None), KEYS, timeout_s=SOON_S), _ping(servers.keyspace(None))):
        with pytest.raises(UnavailableError, match="no server owns"):
            await call


async def _ping(keyspace: Keyspace) -> None:
    async with Deadline(SOON_S, waiting_for="the event loop") as deadline:
        await keyspace.ping(deadline=deadline)


async def test_a_write_that_one_server_does_not_confirm_is_an_error() -> None:
    """Writes and removals wait until the deadline, since half of them is not what the caller wanted."""
    servers = Servers(owners=TWO, faults={FIRST: "down"})
    keyspace = servers.keyspace(TWO)
    for work in (Write([("SET", key, "1") for key in KEYS]), Remove(KEYS)):
        with pytest.raises(UnavailableError, match="is down"):
            async with Deadline(SOON_S, waiting_for="the event loop") as deadline:
                await keyspace.fan_out(KEYS, work, deadline=deadline, is_write=True)
    servers.faults.clear()
    async with Deadline(ENOUGH_S, waiting_for="the event loop") as deadline:
        assert [b"OK"] * len(KEYS) == await keyspace.fan_out(
            KEYS, Write([("SET", key, "1") for key in KEYS]), deadline=deadline, is_write=True
        )


async def test_a_driver_of_clusters_as_one_node_repeats_what_failed() -> None:
    """Errors among its answers are no confirmation: keys are repeated, or the call raises."""
    servers = Servers(owners=SlotMap.of_one(Shard(FIRST)), values=VALUES, faults={FIRST: "loading"})
    keyspace = Keyspace.of_one(MemoryNode(servers, FIRST))
    write = Write([("SET", key, "1") for key in KEYS])
    with pytest.raises(UnavailableError, match="loads"):
        async with Deadline(SOON_S, waiting_for="the event loop") as deadline:
            await keyspace.fan_out(KEYS, write, deadline=deadline, is_write=True)
    call = asyncio.create_task(read(keyspace, KEYS))
    await asyncio.sleep(0)
    servers.faults.clear()
    assert list(VALUES.values()) == await call


async def test_a_key_of_another_type_costs_its_own_entry() -> None:
    """The error names the type, as that of one server does."""
    servers = Servers(owners=TWO, values=VALUES, wrong=frozenset(KEYS[:1]))
    first, *others = await read(servers.keyspace(TWO), KEYS)
    assert isinstance(first, WrongTypeError)
    assert f"key {KEYS[0]!r} holds a list, not a string" == str(first)
    assert list(VALUES.values())[1:] == others


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"none", type(None)),
        (b"list", WrongTypeError),
        (b"string", UnavailableError),
        (UnavailableError("loads"), UnavailableError),
    ],
)
async def test_a_key_that_changes_while_it_is_read_is_not_taken_for_missing(kind: object, expected: type) -> None:
    """Only a key that is gone has no data; a key that is a string by now is read again."""

    @attrs.frozen
    class Changing:
        service: str = "node"
        is_cluster: bool = True

        async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
            del deadline
            return [WrongTypeError("wrong") if name == "GET" else kind for name, _ in commands]

        async def aclose(self) -> None: ...

    async with Deadline(SOON_S, waiting_for="the event loop") as deadline:
        assert [expected] == [type(value) for value in await ReadValues(["k"])(Changing(), range(1), deadline=deadline)]


async def test_replicas_are_read_and_a_key_that_they_lack_is_read_from_the_primary() -> None:
    """Replicas of the tests have no key."""
    slots = halves(FIRST, SECOND, THIRD)
    servers = Servers(owners=slots, values=VALUES)
    assert list(VALUES.values()) == await read(servers.keyspace(slots, reads_replicas=True), KEYS)
    owned = keys_of(TWO, FIRST)
    assert (owned, owned) == (sent_to(servers, THIRD), sent_to(servers, FIRST))
    servers.faults[THIRD] = "down"
    assert list(VALUES.values()) == await read(servers.keyspace(slots, reads_replicas=True), KEYS)


async def test_a_replica_does_not_say_where_a_key_of_a_moving_slot_is() -> None:
    """It sends clients to the new owner for each key that it lacks, as Valkey 8 does, also if the primary still has it."""
    slots = halves(FIRST, SECOND, THIRD)
    servers = Servers(owners=slots, values=VALUES, moving=frozenset(KEYS[:5]), asking=frozenset(KEYS[5:10]))
    assert list(VALUES.values()) == await read(servers.keyspace(slots, reads_replicas=True), KEYS)


def test_a_key_that_a_replica_lacks_is_no_answer() -> None:
    """A call for it alone is repeated until the deadline, as long as its primary is down."""
    slots = halves(FIRST, SECOND, THIRD)
    servers = Servers(owners=slots, values=VALUES, faults={FIRST: "down"})

    async def call() -> float:
        with pytest.raises(UnavailableError):
            await read(servers.keyspace(slots, reads_replicas=True), keys_of(TWO, FIRST), timeout_s=5.0)
        return seconds()

    assert 5.0 == pytest.approx(run_instantly(call()))


@pytest.mark.parametrize("fault", ["down", "hung", "loading"])
async def test_the_keys_of_a_sick_replica_are_read_from_the_primary(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs no key; after a rest the replica is read again."""
    slots = halves(FIRST, SECOND, THIRD)
    servers = Servers(owners=slots, values=VALUES, faults={THIRD: fault})
    keyspace = servers.keyspace(slots, reads_replicas=True)
    assert list(VALUES.values()) == await read(keyspace, KEYS, timeout_s=1.0)
    servers.faults.clear()
    servers.received.clear()
    assert list(VALUES.values()) == await read(keyspace, KEYS)
    assert [] == sent_to(servers, THIRD)
    monkeypatch.setattr(fan_out, "_REST_S", 0.0)
    assert list(VALUES.values()) == await read(keyspace, KEYS)
    assert keys_of(TWO, FIRST) == sent_to(servers, THIRD)


@pytest.mark.parametrize("key", [None, 5, "\udc80"])
async def test_a_key_that_is_not_text_is_refused(key: Any) -> None:
    """The error is the one of one server, and nothing is sent."""
    servers = Servers(owners=TWO)
    with pytest.raises(InputError, match="an id"):
        await read(servers.keyspace(TWO), [KEYS[0], key])
    assert [] == servers.received


async def test_a_cancelled_call_leaves_no_task_behind() -> None:
    """Whatever it waits for."""
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: "down"})
    keyspace = servers.keyspace(halves(SECOND, FIRST))

    async def read_all() -> None:
        await read(keyspace, KEYS)

    async def count_tasks() -> None:
        await keyspace.discovery.refresh()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    await cancel_at_every_step(read_all, then=count_tasks)


async def test_closing_ends_a_search_and_its_callers() -> None:
    """A call that waits for the map raises that the store is closed, and so does each later call."""
    started = asyncio.Event()

    async def find(_: SlotMap | None) -> SlotMap:
        started.set()
        await asyncio.Event().wait()
        return TWO

    keyspace = Servers(owners=TWO).keyspace(None)
    keyspace.discovery.find = find
    call = asyncio.create_task(read(keyspace, KEYS))
    await started.wait()
    await keyspace.aclose()
    with pytest.raises(ClosedError):
        await call
    with pytest.raises(ClosedError):
        await read(keyspace, KEYS)


async def test_a_closed_store_begins_nothing() -> None:
    """Neither a call that ran when it was closed nor a later one leaves a task."""
    servers = Servers(owners=TWO, values=VALUES, faults={FIRST: "down"})
    keyspace = servers.keyspace(TWO)
    store = ValkeyStatistics.from_keyspaces(keyspace, keyspace)
    call = asyncio.create_task(store.fetch_kernel_statistics(keys_of(TWO, FIRST)))
    while not servers.searches:  # noqa: ASYNC110 - the servers have no event for it
        await asyncio.sleep(0)
    await store.aclose()
    searches = servers.searches
    for late in (store.ping, store.topology):
        with pytest.raises(ClosedError):
            await late()
    assert isinstance(await keyspace.discovery.refresh(), ClosedError)
    call.cancel()
    await asyncio.wait([call])
    assert {asyncio.current_task()} == asyncio.all_tasks()
    assert searches == servers.searches


async def test_closing_ends_what_follows_each_change_of_the_map() -> None:
    """Connections to a server that has left the cluster may still be closing when another server leaves it."""
    servers = Servers(owners=TWO)
    keyspace = servers.keyspace(None)

    async def close_slowly(_: SlotMap) -> None:
        await asyncio.Event().wait()

    keyspace.discovery.on_change.append(close_slowly)
    for owners in (TWO, halves(FIRST, THIRD)):
        servers.owners = owners
        await keyspace.discovery.refresh()
    await keyspace.aclose()
    assert {asyncio.current_task()} == asyncio.all_tasks()


def test_a_search_ends_a_bounded_time_after_the_first_answer() -> None:
    """Answers that come one after the other do not prolong it."""
    between_s = discovery_module._SETTLE_S / 2

    async def answer(number: int) -> int:
        await asyncio.sleep(1 + number * between_s)
        return number

    async def search() -> tuple[list[int], float]:
        return await first_answers([answer(number) for number in range(10)]), seconds()

    found, ended_s = run_instantly(search())
    assert [0, 1] == found[:2]
    assert 1 + discovery_module._SETTLE_S == pytest.approx(ended_s)


def test_further_servers_are_asked_while_none_answers() -> None:
    """One fails and one never answers; of those that are asked next one answers, so the last is not asked."""
    asked: list[str] = []
    long_s = discovery_module._LONG_S

    async def ask(name: str) -> str:
        asked.append(name)
        if name == "fails":
            raise UnavailableError("down")
        await asyncio.sleep(long_s / 2 if name == "answers" else ENOUGH_S)
        return name

    async def search() -> tuple[list[str], float]:
        later = ([ask(name) for name in names] for names in (["hangs", "answers"], ["last"]))
        return await first_answers([ask("fails"), ask("hangs")], later=later), seconds()

    found, ended_s = run_instantly(search())
    assert ["answers"] == found
    assert ["fails", "hangs", "hangs", "answers"] == asked
    assert 1.5 * long_s + discovery_module._SETTLE_S == pytest.approx(ended_s)


DOWN: Final = UnavailableError
DENIED: Final = AccessDeniedError


@pytest.mark.parametrize(
    ("fates", "asked", "raised"),
    [
        ([DOWN, DOWN, None, DOWN], [0, 1, 2], None),
        ([DOWN, DENIED, DENIED, None], [0, 1, 2, 3], None),
        ([DOWN, DENIED, DOWN, DOWN], [0, 1, 2, 3], DENIED),
        ([DENIED, DENIED, None, None], [0, 1], DENIED),
    ],
)
async def test_further_servers_are_asked_once_all_have_failed(
    fates: list[type[StatcoreError] | None], asked: list[int], raised: type[StatcoreError] | None
) -> None:
    """The search ends at the first that answers; or once all that were asked refuse the user, as others would."""
    seen: list[int] = []

    async def ask(number: int) -> int:
        seen.append(number)
        if (error := fates[number]) is not None:
            raise error("no answer")
        return number

    search = first_answers([ask(0), ask(1)], later=([ask(number)] for number in (2, 3)))
    if raised is None:
        assert asked[-1:] == await search
    else:
        with pytest.raises(raised):
            await search
    assert asked == seen


async def test_a_cancelled_search_leaves_no_error_behind() -> None:
    """An error that came after the first answer is not logged as one that nobody saw."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    failed = asyncio.Event()

    async def answer() -> None:
        await asyncio.sleep(0)

    async def fail() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        failed.set()
        raise UnavailableError("down")

    search = asyncio.create_task(first_answers([answer(), fail(), asyncio.Event().wait()]))
    await failed.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    search.cancel()
    await asyncio.wait([search])
    del search
    gc.collect()
    assert [] == seen


UP: Final = b"cluster_state:ok\r\ncluster_size:2\r\n"
APART: Final = b"cluster_state:fail\r\ncluster_size:2\r\n"
REFUSED: Final = AccessDeniedError("it may not use cluster|info")


@attrs.frozen
class TellsSlots:
    """A node that tells a slot map and its state after some turns of the event loop, and knows no key."""

    address: Address
    slots: list[Any]
    turns: int = 0
    state: object = UP
    is_cluster: bool = True

    @property
    def service(self) -> str:
        """The address."""
        return str(self.address)

    async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
        """Answer about the cluster; any other answer is nil."""
        del deadline
        for _ in range(self.turns):
            await asyncio.sleep(0)
        answers: dict[Command, Any] = {("CLUSTER", "SLOTS"): self.slots, ("CLUSTER", "INFO"): self.state}
        return [answers.get(command) for command in commands]

    async def aclose(self) -> None:
        """Do nothing."""


def keyspace_of(nodes: Mapping[Address, TellsSlots]) -> Keyspace:
    """Return a keyspace that asks nodes for the map."""
    return Keyspace.of_cluster([*nodes], lambda address, _: nodes[address], timeout_s=ENOUGH_S)


async def test_a_node_that_has_left_the_cluster_does_not_tell_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows no slots and answers first; the map of the others is found, and is kept when they are gone."""
    monkeypatch.setattr(discovery_module, "_SETTLE_S", 0.0)
    whole = [[0, SLOTS - 1, [b"node", 2]]]
    tells = {FIRST: TellsSlots(FIRST, []), SECOND: TellsSlots(SECOND, whole, turns=20)}
    keyspace = keyspace_of(tells)
    assert SlotMap.of_one(Shard(SECOND)) == await keyspace.discovery.current()
    tells[SECOND] = TellsSlots(SECOND, [])
    keyspace.discovery.on_change.clear()
    await keyspace.keep(SlotMap(()))
    assert isinstance(await keyspace.discovery.refresh(), UnavailableError)
    assert SlotMap.of_one(Shard(SECOND)) == await keyspace.discovery.current()
    await keyspace.aclose()


@pytest.mark.parametrize(
    ("owner", "told"),
    [
        (THIRD, [(FIRST, APART), (FIRST, APART), (THIRD, UP)]),
        (FIRST, [(FIRST, APART), (FIRST, APART), (THIRD, APART)]),
        (THIRD, [(FIRST, REFUSED), (THIRD, REFUSED), (THIRD, REFUSED)]),
    ],
)
async def test_a_node_that_is_apart_tells_the_map_only_if_all_are(owner: Address, told: list[tuple[Address, Any]]) -> None:
    """Most nodes that are not apart are right about the owner, whichever answer first; who may not ask takes most."""
    for turns in permutations(range(len(told))):
        nodes = {
            Address("node", port): TellsSlots(Address("node", port), [[0, SLOTS - 1, [b"node", of.port]]], turn, state)
            for port, ((of, state), turn) in enumerate(zip(told, turns, strict=True), 1)
        }
        assert SlotMap.of_one(Shard(owner)) == await keyspace_of(nodes).discovery.current()


async def test_one_well_node_of_many_tells_the_map() -> None:
    """One refuses the user, and all others are down; whichever are asked first, the map is found."""

    @attrs.frozen
    class Node(TellsSlots):
        async def exchange(self, commands: Sequence[Command], /, *, deadline: Deadline) -> list[Any]:
            if self.address.port > 1:
                raise (DENIED if self.address.port == 2 else DOWN)("no answer")
            return await super().exchange(commands, deadline=deadline)

    slots = [[0, SLOTS - 1, [b"node", 1]]]
    start = [Address("node", port) for port in range(1, 25)]
    for _ in range(20):
        keyspace = Keyspace.of_cluster(start, lambda address, _: Node(address, slots), timeout_s=ENOUGH_S)
        assert SlotMap.of_one(Shard(FIRST)) == await keyspace.discovery.current()


async def test_nodes_of_no_cluster_are_an_error_of_the_call() -> None:
    """A cluster whose slots have no owners yet answers neither a ping nor a question."""
    keyspace = Keyspace.of_cluster([FIRST], lambda address, _: TellsSlots(address, []), timeout_s=ENOUGH_S)
    with pytest.raises(UnavailableError, match="no owner"):
        await read(keyspace, KEYS, timeout_s=SOON_S)
    with pytest.raises(UnavailableError, match="no owner"):
        async with Deadline(SOON_S, waiting_for="the event loop") as deadline:
            await keyspace.ping(deadline=deadline)


async def test_a_search_that_fails_in_an_unforeseen_way_is_an_error_of_ours() -> None:
    """The text of the error is not shown."""

    async def find(_: SlotMap | None) -> SlotMap:
        raise RuntimeError("hunter2")

    keyspace = Servers(owners=TWO).keyspace(None)
    keyspace.discovery.find = find
    with pytest.raises(StatcoreError, match="RuntimeError in find") as error:
        await read(keyspace, KEYS)
    assert "hunter2" not in str(error.value)


async def test_a_store_over_keyspaces_of_other_code() -> None:
    """A plugin makes nodes and a keyspace; the store adds keys, entries and problems."""
    servers = Servers(owners=TWO, values={"a": b"\x80", "b": b"\xc1"})
    keyspace = servers.keyspace(None)
    store = ValkeyStatistics.from_keyspaces(keyspace, keyspace, options=ValkeyOptions())
    batch = await store.fetch_kernel_statistics(["a", "b", "c"])
    assert ([{}, None, None], [1]) == (list(batch), list(batch.problems))
    assert [{"requests": 0, "last_response_ms": 0}] == list(await store.fetch_inference_metrics(["s"]))
    await store.ping()
    await store.aclose()
    one = Keyspace.of_one(MemoryNode(Servers(owners=SlotMap.of_one(Shard(FIRST)), values={"a": b"\x80"}), FIRST))
    store = ValkeyStatistics.from_keyspaces(one, one)
    assert [{}] == list(await store.fetch_kernel_statistics(["a"]))
    assert None is await store.topology()
    await store.aclose()


async def test_a_node_that_has_left_the_cluster_keeps_no_connection() -> None:
    """A call that goes on after its node was closed is answered, and its connection is closed."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := await reader.read(4096):
            writer.write(b"+OK\r\n" * words.count(b"*"))
        writer.close()
        ended.set()

    async with listening(answer) as port:
        pool = new_pool(Address("127.0.0.1", port), driver_settings(ValkeyOptions()))
        node = RedisNode(pool=pool, owned=True, pool_size=1, lifetime=Lifetime())
        await node.aclose()
        async with Deadline(ENOUGH_S, waiting_for="the event loop") as deadline:
            assert [b"OK"] == await node.exchange([("PING",)], deadline=deadline)
        async with asyncio.timeout(ENOUGH_S):
            await ended.wait()


async def test_a_key_that_moved_on_from_a_new_primary_is_not_missing() -> None:
    """A primary was replaced, and then its slots moved to another one, which a redirect tells before any map does."""
    lost = keys_of(TWO, FIRST)[0]
    servers = Servers(owners=halves(THIRD, SECOND))
    keyspace = servers.keyspace(TWO)
    await keyspace.discovery.refresh()
    servers.owners, servers.refusal = SlotMap.of_one(Shard(SECOND)), UnavailableError("no map yet")
    assert [Unsynced(str(THIRD))] == await read(keyspace, [lost])


async def test_a_new_connection_does_not_wait_until_a_search_may_begin() -> None:
    """A search that has just ended tells whether the server is a primary, although another one waits for its turn."""
    searches = 0

    async def find(_: SlotMap | None) -> SlotMap:
        nonlocal searches
        searches += 1
        return TWO

    discovery = Discovery(find=find)
    await discovery.refresh()
    discovery.search()
    assert await discovery.confirms(FIRST)
    assert not await discovery.confirms(THIRD)
    assert 1 == searches
    await discovery.aclose()
