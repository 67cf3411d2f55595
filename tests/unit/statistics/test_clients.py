"""Store over two clients of a manager: answers are checked, and a failing batch is halved."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping
from pickle import UnpicklingError
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.instant_loop import run_instantly
from tests.support.lazy_entries import Lazy

from statcore.errors import (
    InputError,
    MalformedEntryError,
    ProtocolError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model import ProblemKind, StatisticsBatch
from statcore.statistics import ClientStatistics, StatisticsRepositories, StatisticsRepository, StatisticsStatefulSource

IDS = [str(UUID(int=number)) for number in range(1, 101)]
PAIRS = list(zip(IDS, IDS[::-1], strict=True))
MEM = {"mem": {"current": "1"}}


@attrs.define(eq=False)
class Client:
    """A client as managers have it: one bad payload fails the whole batch.

    Args:
        stored: what is stored by id.
        bad: the ids whose payload cannot be decoded.
        fails: whether an id of a batch makes the batch fail with an error of the connection.
        decoding_error: what a bad payload raises.
    """

    stored: Mapping[Hashable, object] = attrs.field(factory=dict[Hashable, object])
    bad: set[Hashable] = attrs.field(factory=set[Hashable], kw_only=True)
    fails: Callable[[int], BaseException | None] = attrs.field(default=lambda _: None, kw_only=True)
    decoding_error: Exception = attrs.field(factory=UnpicklingError, kw_only=True)
    calls: list[list[Any]] = attrs.field(factory=list[list[Any]], init=False)

    async def get_session_statistics_batch(self, session_ids: list[Any]) -> list[Any]:
        """Answer what is stored, None for other ids."""
        self.calls.append(session_ids)
        await asyncio.sleep(0)
        if error := self.fails(len(self.calls)):
            raise error
        if self.bad & set(session_ids):
            raise self.decoding_error
        return [self.stored.get(id_) for id_ in session_ids]

    async def get_inference_app_statistics_batch(self, endpoint_ids: list[Any]) -> list[Any]:
        """Answer like the method for sessions."""
        return await self.get_session_statistics_batch(endpoint_ids)


class NewClient(Client):
    """A client that has the methods for replicas and agents, too."""

    async def get_inference_replica_statistics_batch(self, endpoint_replica_ids: list[Any]) -> list[Any]:
        """Answer like the method for sessions."""
        return await self.get_session_statistics_batch(endpoint_replica_ids)

    async def get_agent_statistics_batch(self, agent_ids: list[Any]) -> list[Any]:
        """Answer like the method for sessions."""
        return await self.get_session_statistics_batch(agent_ids)


def kinds(batch: StatisticsBatch) -> dict[int, ProblemKind]:
    """Return the kinds of problems by position."""
    return {position: problem.kind for position, problem in batch.problems.items()}


async def test_constructors_take_both_clients() -> None:
    """The source, the repository and the factory do; each read calls its method once."""
    stat = NewClient({IDS[0]: MEM, (IDS[0], IDS[1]): MEM, "i-1": {"node": MEM, "devices": {}}})
    live = Client({IDS[0]: {"requests": 7, "last_response_ms": 9}})
    for repository in (
        StatisticsRepository(valkey_stat=stat, valkey_live=live),
        StatisticsRepository(StatisticsStatefulSource(valkey_stat=stat, valkey_live=live)),
        StatisticsRepositories.create(valkey_stat=stat, valkey_live=live).repository,
    ):
        stat.calls.clear()
        live.calls.clear()
        assert [MEM, None, MEM] == list(await repository.get_kernel_statistics_batch([UUID(IDS[0]), IDS[1], IDS[0]]))
        assert [{"requests": 7, "last_response_ms": 9}] == list(await repository.get_inference_metrics_batch([IDS[0]]))
        assert [MEM] == list(await repository.get_endpoint_statistics_batch([IDS[0]]))
        assert [MEM] == list(await repository.get_replica_statistics_batch([(UUID(IDS[0]), IDS[1])]))
        assert [{"node": MEM, "devices": {}}] == list(await repository.get_agent_statistics_batch(["i-1"]))
        assert [IDS[:2], [IDS[0]], [(IDS[0], IDS[1])], ["i-1"]] == stat.calls
        assert [[IDS[0]]] == live.calls


@pytest.mark.parametrize("make", [StatisticsStatefulSource, StatisticsRepository, StatisticsRepositories.create])
def test_a_constructor_takes_either_a_store_or_both_clients(make: Callable[..., object]) -> None:
    """The error for nothing, one client, or a store with clients says what is expected."""
    store = ClientStatistics(valkey_stat=Client(), valkey_live=Client())
    first = StatisticsStatefulSource(store) if make is StatisticsRepository else store
    for arguments in ({}, {"valkey_stat": Client()}, {"valkey_live": Client()}):
        with pytest.raises(InputError, match="either a store, or both valkey_stat and valkey_live"):
            make(**arguments)
    with pytest.raises(InputError, match="either a store"):
        make(first, valkey_stat=Client(), valkey_live=Client())


@pytest.mark.parametrize("bad", [None, object(), "valkey://127.0.0.1"])
def test_other_objects_are_not_clients(bad: Any) -> None:
    """The error has the name of the argument, and the method that is expected."""
    for clients in ({"valkey_stat": bad, "valkey_live": Client()}, {"valkey_stat": Client(), "valkey_live": bad}):
        with pytest.raises(
            InputError, match=rf"^valkey_\w+ cannot be {type(bad).__name__}; .*get_session_statistics_batch"
        ):
            ClientStatistics(**clients)


@pytest.mark.parametrize("timeout_s", [0, -1, math.inf, "soon", 10**400], ids=repr)
def test_the_deadline_is_a_number_of_seconds(timeout_s: Any) -> None:
    """The error starts with the name of the setting."""
    with pytest.raises(InputError, match=r"^timeout_s must be "):
        ClientStatistics(valkey_stat=Client(), valkey_live=Client(), timeout_s=timeout_s)


async def test_a_client_may_lack_methods() -> None:
    """Only calls that need such a method raise, unless there are no ids. Released clients cannot read replicas."""
    store = ClientStatistics(valkey_stat=Client({IDS[0]: MEM}), valkey_live=Client())
    with pytest.raises(UnsupportedError, match=r"^valkey_stat has no method get_inference_replica_statistics_batch"):
        await store.fetch_replica_statistics(PAIRS)
    with pytest.raises(UnsupportedError, match=r"^valkey_stat has no method get_agent_statistics_batch"):
        await store.fetch_agent_statistics(["i-1"])
    assert StatisticsBatch() == await store.fetch_replica_statistics([])
    assert [MEM] == list(await store.fetch_kernel_statistics([IDS[0]]))


@given(
    bad=st.sets(st.sampled_from(range(len(IDS)))),
    count=st.integers(1, len(IDS)),
    error=st.sampled_from([UnicodeDecodeError("utf-8", b"\xc1", 0, 1, "invalid start byte"), UnpicklingError("no key")]),
)
async def test_a_bad_payload_is_one_malformed_entry(bad: set[int], count: int, error: Exception) -> None:
    """Any number of bad payloads at any positions leave the other entries right, and take few calls."""
    stored: dict[Hashable, object] = {id_: {"mem": {"current": id_}} for id_ in IDS}
    client = Client(stored, bad={IDS[position] for position in bad}, decoding_error=error)
    store = ClientStatistics(valkey_stat=client, valkey_live=Client())
    batch = await store.fetch_kernel_statistics(IDS[:count])
    expected = {position: ProblemKind.MALFORMED for position in bad if position < count}
    assert expected == kinds(batch)
    assert [None if position in bad else {"mem": {"current": id_}} for position, id_ in enumerate(IDS[:count])] == list(
        batch
    )
    depth = math.ceil(math.log2(count))
    assert len(client.calls) <= 1 + depth + 1 + 2 * len(expected) * depth
    assert all(IDS[position] in problem.message for position, problem in batch.problems.items())


@pytest.mark.parametrize("kind", [ConnectionResetError, RuntimeError, ValueError])
@pytest.mark.parametrize("count", [1, 2, 100])
async def test_an_unreachable_store_takes_few_calls(kind: type[Exception], count: int) -> None:
    """The client raises the same error for an id without an entry, whatever the error is."""
    client = Client(fails=lambda _: kind("redis://:hunter2@db"))
    store = ClientStatistics(valkey_stat=client, valkey_live=Client())
    with pytest.raises(
        UnavailableError, match=rf"^valkey_stat\.get_session.* failed for every id: {kind.__name__}$"
    ) as error:
        await store.fetch_kernel_statistics(IDS[:count])
    assert isinstance(error.value.__cause__, kind)
    assert len(client.calls) <= 4


async def test_a_transient_failure_loses_no_entry() -> None:
    """Both halves are read afterwards."""
    client = Client(dict.fromkeys(IDS, MEM), fails=lambda call: OSError("reset") if call == 1 else None)
    batch = await ClientStatistics(valkey_stat=client, valkey_live=Client()).fetch_kernel_statistics(IDS)
    assert (StatisticsBatch([MEM] * 100), 3) == (batch, len(client.calls))


async def test_an_outage_in_between_loses_no_entry() -> None:
    """Entries that were read before the store stopped answering are returned; the others are unavailable."""
    bad = IDS[3]
    client = Client(
        dict.fromkeys(IDS[:4], MEM), bad={bad}, fails=lambda call: ConnectionResetError("reset") if call > 3 else None
    )
    batch = await ClientStatistics(valkey_stat=client, valkey_live=Client()).fetch_kernel_statistics(IDS[:4])
    assert [MEM, MEM, None, None] == list(batch)
    assert {2: ProblemKind.UNAVAILABLE, 3: ProblemKind.UNAVAILABLE} == kinds(batch)
    assert "failed for every id by now: ConnectionResetError" in batch.problems[2].message


async def test_a_single_id_may_be_unavailable() -> None:
    """A connection error does not make its entry malformed."""
    client = Client({IDS[0]: MEM}, fails=lambda call: ConnectionResetError("reset") if call == 1 else None)
    batch = await ClientStatistics(valkey_stat=client, valkey_live=Client()).fetch_kernel_statistics(IDS[:1])
    assert {0: ProblemKind.UNAVAILABLE} == kinds(batch)


def test_the_deadline_ends_the_halving() -> None:
    """Entries that were read are returned, the others are unavailable; if none was read, the call times out."""

    class Slow(Client):
        async def get_session_statistics_batch(self, session_ids: list[Any]) -> list[Any]:
            if IDS[0] in session_ids and len(session_ids) < 10:
                await asyncio.Event().wait()
            return await super().get_session_statistics_batch(session_ids)

    client = Slow(dict.fromkeys(IDS, MEM), bad={IDS[0]})
    store = ClientStatistics(valkey_stat=client, valkey_live=Client(), timeout_s=0.2)
    batch = run_instantly(store.fetch_kernel_statistics(IDS))
    # 100, 50, 25, 12 and 6 ids; the call with the last part hangs.
    assert dict.fromkeys(range(6), ProblemKind.UNAVAILABLE) == kinds(batch)
    assert [None] * 6 + [MEM] * 94 == list(batch)
    with pytest.raises(TimedOutError, match=r"waited 0\.2 s for valkey_stat\.get_session_statistics_batch"):
        run_instantly(store.fetch_kernel_statistics(IDS[:1]))


async def test_a_cancelled_read_is_cancelled() -> None:
    """The cancellation is not taken for a failure of the client, and no further call is made."""
    begun = asyncio.Event()

    class Hanging(Client):
        async def get_session_statistics_batch(self, session_ids: list[Any]) -> list[Any]:
            self.calls.append(session_ids)
            begun.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

    client = Hanging()
    task = asyncio.create_task(ClientStatistics(valkey_stat=client, valkey_live=client).fetch_kernel_statistics(IDS))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 1 == len(client.calls)


@pytest.mark.parametrize(
    ("answer", "message"),
    [([MEM], "answered 1 entries for 2 ids"), ([], "0 entries"), (None, "NoneType"), ("ab", "str"), ({}, "dict")],
)
async def test_an_answer_that_is_not_one_entry_per_id_is_a_protocol_error(answer: Any, message: str) -> None:
    """Entries are never paired with the wrong id, and the batch is not halved."""

    class Short(Client):
        async def get_session_statistics_batch(self, session_ids: list[Any]) -> Any:
            self.calls.append(session_ids)
            return answer

    client = Short()
    with pytest.raises(ProtocolError, match=message):
        await ClientStatistics(valkey_stat=client, valkey_live=client).fetch_kernel_statistics(IDS[:2])
    assert 1 == len(client.calls)


@pytest.mark.parametrize("odd", [5, "text", [MEM], {b"mem": {}}, {("a",): {}}])
async def test_an_entry_that_is_not_a_map_is_malformed(odd: object) -> None:
    """The other entries of the batch are right."""
    client = NewClient({IDS[0]: odd, IDS[1]: MEM, "i-1": odd, "i-2": {"node": odd}, "i-3": {"node": MEM}})
    store = ClientStatistics(valkey_stat=client, valkey_live=Client())
    batch = await store.fetch_kernel_statistics(IDS[:3])
    assert ([None, MEM, None], {0: ProblemKind.MALFORMED}) == (list(batch), kinds(batch))
    agents = await store.fetch_agent_statistics(["i-1", "i-2", "i-3", "i-4"])
    assert [None, None, {"node": MEM, "devices": {}}, None] == list(agents)
    assert {0: ProblemKind.MALFORMED, 1: ProblemKind.MALFORMED} == kinds(agents)


async def test_an_entry_that_fails_to_decode_is_malformed() -> None:
    """It may raise anything; the other entry is right."""
    stored: dict[Hashable, object] = {IDS[0]: MEM, IDS[1]: Lazy(dict.fromkeys(["mem", "requests"], UnpicklingError()))}
    store = ClientStatistics(valkey_stat=NewClient(stored), valkey_live=Client(stored))
    batch = await store.fetch_kernel_statistics(IDS[:2])
    assert [MEM, None] == list(batch)
    assert {1: ProblemKind.MALFORMED} == kinds(batch)
    assert {1: ProblemKind.MALFORMED} == {
        position: kind for position, kind in kinds(await store.fetch_inference_metrics(IDS[:2])).items() if position
    }


async def test_a_metric_that_is_not_a_map_raises_when_it_is_read() -> None:
    """The other metrics can be read, and all names are listed."""
    stored: dict[object, object] = {"mem": {"current": "1"}, "net_rx": 5, 7: {"current": "7"}}
    client = Client({IDS[0]: stored})
    (entry,) = await ClientStatistics(valkey_stat=client, valkey_live=Client()).fetch_kernel_statistics(IDS[:1])
    assert entry is not None
    assert ({"current": "1"}, {"current": "7"}) == (entry["mem"], entry["7"])
    assert ({"mem", "net_rx", "7"}, 3, True) == (set(entry), len(entry), "net_rx" in entry)
    with pytest.raises(MalformedEntryError, match=r"net_rx.*expected a map, found int") as error:
        entry["net_rx"]
    assert (IDS[0], "net_rx") == (error.value.key, error.value.metric)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        5,
        {},
        {"requests": 1},
        {"requests": "1", "last_response_ms": 2},
        {"requests": True, "last_response_ms": 2},
        {"requests": 0, "last_response_ms": 0},
    ],
)
async def test_zeros_of_a_session_are_incomplete(odd: object) -> None:
    """The client answers zeros if nothing is stored, so they may stand for missing numbers."""
    real = {"requests": 0, "last_response_ms": 3}
    store = ClientStatistics(valkey_stat=Client(), valkey_live=Client({IDS[0]: odd, IDS[1]: real}))
    batch = await store.fetch_inference_metrics(IDS[:2])
    assert [{"requests": 0, "last_response_ms": 0}, real] == list(batch)
    assert {0: ProblemKind.INCOMPLETE} == kinds(batch)


async def test_ping_calls_both_clients() -> None:
    """The error names the client that does not answer; closing the store does not close the clients."""
    stat, live = Client(), Client(fails=lambda _: OSError("refused"))
    with pytest.raises(UnavailableError, match=r"^valkey_live\."):
        await ClientStatistics(valkey_stat=stat, valkey_live=live).ping()
    store = ClientStatistics(valkey_stat=stat, valkey_live=stat)
    await store.ping()
    await store.aclose()
    await store.ping()
    assert 5 == len(stat.calls)
