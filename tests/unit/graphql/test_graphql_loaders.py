"""Loaders by name: known at start-up, and of one request alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from tests.graphql_host import Host, echo, inventory_of, kernel_id, session_id

from statcore.errors import InputError, UnavailableError
from statcore.model import Problem, ProblemKind, QueryTimeRange, StatisticsBatch
from statcore_graphql import DataLoaderManager, Loader
from statcore_graphql.schema import Query, build_schema
from statcore_graphql.schema.loaded import statistics_field
from statcore_memory import MemoryStatistics

KNOWN = (
    "AgentStatistics.by_agent, EndpointStatistics.by_endpoint, KernelStatistics.by_kernel, KernelStatistics.by_session,"
    " KernelStatistics.inference_metrics_by_kernel, PresetMetrics.by_query, ReplicaStatistics.by_replica,"
    " UtilizationMetrics.by_querier"
)
RANGE = QueryTimeRange(start=1_795_000_000, end=1_795_000_060, step="30s")


@strawberry.type
class Misspelt(Query):
    """A host's query with a field that nothing can load."""

    wrong = statistics_field("KernelStatistics.by_kernal", key=str, description="cannot be")


@strawberry.type
class Nested:
    """An object that the query leads to only through another."""

    wrong = statistics_field("No.such", key=str, description="cannot be")


@strawberry.type
class Deep(Query):
    """A host's query that is wrong further down."""

    nested: list[Nested]


@pytest.mark.parametrize(("query", "name"), [(Misspelt, "KernelStatistics.by_kernal"), (Deep, "No.such")])
def test_an_unknown_loader_name_fails_when_the_schema_is_built(query: type, name: str) -> None:
    """With a list of the names that there are, and long before a query."""
    with pytest.raises(InputError) as caught:
        build_schema(DataLoaderManager(), query=query)
    assert f"there is no loader {name}; known are {KNOWN}" == str(caught.value)


def test_fields_that_want_a_loader_of_the_standard_ones_need_it() -> None:
    """Also utilization, whose loader has parameters: a manager of a host that leaves it out is refused."""
    names = set(KNOWN.split(", ")) - {"UtilizationMetrics.by_querier"}
    with pytest.raises(InputError, match=r"there is no loader UtilizationMetrics\.by_querier; known are Agent"):
        build_schema(DataLoaderManager(dict.fromkeys(names, Loader(echo))))


async def test_an_unknown_loader_name_fails_when_it_is_asked_for() -> None:
    """With the same message."""
    with pytest.raises(InputError, match="there is no loader KernelStatistics; known are AgentStatistics"):
        DataLoaderManager().get_loader(Host().context(), "KernelStatistics")


@strawberry.type
class Extended(Query):
    """A host's query with a field of its own."""

    own = statistics_field("Acme.own", key=lambda _: "The Key", description="the host's")


async def test_a_host_adds_a_loader_and_a_field_for_it() -> None:
    """Which is answered beside those that there are; the manager that it was added to does not have it."""
    standard = DataLoaderManager()
    host = Host(manager=standard.adding("Acme.own", Loader(echo)), query=Extended, inventory=inventory_of(1))
    data = await host.execute_cleanly("{ own compute_session_list { items { live_stat } } }")
    assert {"own": {"key": "The Key"}, "compute_session_list": {"items": [{"live_stat": None}]}} == data
    with pytest.raises(InputError, match=r"there is no loader Acme\.own"):
        build_schema(standard, query=Extended)


def test_a_name_is_taken_once() -> None:
    """One of the standard ones as well as one that was added."""
    manager = DataLoaderManager().adding("Acme.own", Loader(echo))
    for name in ("Acme.own", "KernelStatistics.by_kernel"):
        with pytest.raises(InputError, match=f"the loader name {name} is taken"):
            manager.adding(name, Loader(echo))


async def test_a_field_answers_whatever_else_a_hosts_loader_loads() -> None:
    """A remark of its batch is a problem at the field's path, an exception in it an error; also under keys of its own."""

    async def load(ctx: object, keys: Sequence[list[str]]) -> StatisticsBatch:
        del ctx
        return StatisticsBatch([{"n": len(key)} for key in keys], problems={0: Problem(ProblemKind.STALE, message="old")})

    manager = DataLoaderManager().adding("Acme.own", Loader(load, key=str.casefold))
    answer = await Host(manager=manager, query=Extended).execute("{ own a: own }")
    assert {"own": {"n": 7}, "a": {"n": 7}} == answer.data
    assert {"own": "stale", "a": "stale"} == answer.problems

    async def fail(ctx: object, keys: Sequence[str]) -> Sequence[Any]:
        del ctx
        return [UnavailableError("not this one") for _ in keys]

    manager = DataLoaderManager().adding("Acme.own", Loader(fail))
    assert {"own": "UnavailableError"} == (await Host(manager=manager, query=Extended).execute("{ own }")).codes


async def test_a_loader_that_answers_too_little_shifts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is an internal error of all its keys."""

    async def load(ctx: object, keys: Sequence[str]) -> Sequence[Any]:
        del ctx
        return keys[1:]

    manager = DataLoaderManager().adding("Acme.own", Loader(load))
    answer = await Host(manager=manager, query=Extended).execute("{ own }")
    assert ({"own": None}, {"own": "InternalError"}) == (answer.data, answer.codes)
    assert "WrongNumberOfResultsReturned" in caplog.text


async def test_a_loader_is_its_requests_own() -> None:
    """The same one within a request, and another one, of which nothing is known yet, in the next."""
    host = Host()
    first, second = host.context(), host.context()
    names = KNOWN.split(", ")
    made = [host.manager.get_loader(ctx, name) for ctx in (first, second) for name in names]
    assert len(made) == len(set(made))
    assert made[: len(names)] == [host.manager.get_loader(first, name) for name in names]
    assert made[0] is not host.manager.get_loader(first, names[0], time_range=RANGE)


class Meeting(MemoryStatistics):
    """A store in which two reads wait for each other, and each answers with its number."""

    waiting: list[Sequence[str]]
    all_there: asyncio.Event

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer when there are two."""
        self.waiting.append(ids)
        number = len(self.waiting)
        if number == 2:
            self.all_there.set()
        await self.all_there.wait()
        return StatisticsBatch([{"read": number, "id": id_} for id_ in ids])


async def test_two_requests_at_once_never_share_a_loader() -> None:
    """Both are on their way at the same time, over one schema, and each sees what was read for it, and no more."""
    all_there, waiting = asyncio.Event(), list[Sequence[str]]()
    store = type("MeetingHere", (Meeting,), {"waiting": waiting, "all_there": all_there})()
    host = Host(statistics=store, inventory=inventory_of(3))
    contexts = [host.context(), host.context()]
    query = "query ($offset: Int!) { compute_session_list(offset: $offset) { items { a: live_stat b: live_stat } } }"
    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            *(host.execute(query, context=context, offset=number) for number, context in enumerate(contexts))
        )
    pages = [[id_ for number in range(first, 3) for id_ in (session_id(number), kernel_id(number))] for first in (0, 1)]
    assert pages == waiting
    for number, answer in enumerate(answers):
        expected = [{"read": number + 1, "id": session_id(of)} for of in range(number, 3)]
        assert [{"a": one, "b": one} for one in expected] == answer.data["compute_session_list"]["items"]
        assert not answer.errors
    one, other = (list(context.loaders.made.values()) for context in contexts)
    assert 1 == len(one) == len(other)
    assert one[0] is not other[0]


class Hanging(MemoryStatistics):
    """A store that never answers."""

    begun: asyncio.Event
    ended: asyncio.Event

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Wait for ever."""
        for _ in range(20):
            await asyncio.sleep(0)  # by then whatever is to wait for the answer does
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return StatisticsBatch([None for _ in ids])


async def test_a_request_that_is_given_up_ends_its_reads() -> None:
    """A client that has gone leaves nothing running, and no other request is harmed."""
    begun, ended = asyncio.Event(), asyncio.Event()
    store = type("HangingHere", (Hanging,), {"begun": begun, "ended": ended})()
    host = Host(statistics=store, inventory=inventory_of(3))
    asking = asyncio.create_task(host.execute("{ compute_session_list { items { live_stat } } }"))
    async with asyncio.timeout(60):
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await ended.wait()
        answer = await host.execute("{ compute_session_list { items { inference_metrics } } }")
    assert [] == answer.errors
