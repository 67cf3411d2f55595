"""Loaders by name: their check at start-up, their keys, and the loaders of one request."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Hashable, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import strawberry
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cancelling import cancelled_after
from tests.support.graphql_host import CountedMetrics, Host, echo, inventory_of, kernel_id, session_id
from tests.support.polling import until

from statcore.errors import InputError, UnavailableError
from statcore.model import Problem, ProblemKind, QueryTimeRange, StatisticsBatch
from statcore.queriers import ContainerMetricQuerier, LabelMatcher, QueryStrategy, resolve
from statcore.queriers.interface import PreparedQuerier
from statcore.queriers.matcher import as_labels
from statcore.testing.queriers import FixedQuerier
from statcore_graphql import DataLoaderManager, Loader, RequestLoaders
from statcore_graphql.schema import Query, build_schema
from statcore_graphql.schema.loaded import statistics_field
from statcore_graphql.utilization import querier_key
from statcore_memory import MemoryStatistics

KNOWN = (
    "AgentStatistics.by_agent, EndpointStatistics.by_endpoint,"
    " EndpointStatistics.kernels_by_endpoint, KernelProcesses.by_kernel, KernelStatistics.by_kernel,"
    " KernelStatistics.by_session, KernelStatistics.inference_metrics_by_kernel, PresetMetrics.by_query,"
    " ReplicaStatistics.by_replica, UtilizationMetrics.by_querier"
)
RANGE = QueryTimeRange(start=1_795_000_000, end=1_795_000_060, step="30s")


@strawberry.type
class Misspelt(Query):
    """A host's query with a field whose loader does not exist."""

    wrong = statistics_field("KernelStatistics.by_kernal", key=str, description="cannot be")


@strawberry.type
class Nested:
    """An object that is reached through another object only."""

    wrong = statistics_field("No.such", key=str, description="cannot be")


@strawberry.type
class Deep(Query):
    """A host's query with a wrong field in a nested object."""

    nested: list[Nested]


@pytest.mark.parametrize(("query", "name"), [(Misspelt, "KernelStatistics.by_kernal"), (Deep, "No.such")])
def test_an_unknown_loader_name_fails_when_the_schema_is_built(query: type, name: str) -> None:
    """The error lists the known names, and is that of `get_loader`."""
    with pytest.raises(InputError) as caught:
        build_schema(DataLoaderManager(), query=query)
    assert f"there is no loader {name}; known are {KNOWN}" == str(caught.value)
    with pytest.raises(InputError, match=f"there is no loader {name}; known are AgentStatistics"):
        DataLoaderManager().get_loader(Host().context(), name)


def test_a_schema_without_a_standard_loader_is_refused() -> None:
    """This includes utilization, whose loader has parameters."""
    names = set(KNOWN.split(", ")) - {"UtilizationMetrics.by_querier"}
    with pytest.raises(InputError, match=r"there is no loader UtilizationMetrics\.by_querier; known are Agent"):
        build_schema(DataLoaderManager(dict.fromkeys(names, Loader(echo))))


@strawberry.type
class Extended(Query):
    """A host's query with its own field."""

    own = statistics_field("Acme.own", key=lambda _: "The Key", description="the host's")


async def test_a_host_adds_a_loader_and_a_field_for_it() -> None:
    """The field is answered beside the others; the original manager does not have the loader."""
    standard = DataLoaderManager()
    host = Host(manager=standard.adding("Acme.own", Loader(echo)), query=Extended, inventory=inventory_of(1))
    data = await host.execute_cleanly("{ own compute_session_list { items { live_stat } } }")
    assert {"own": {"key": "The Key"}, "compute_session_list": {"items": [{"live_stat": None}]}} == data
    with pytest.raises(InputError, match=r"there is no loader Acme\.own"):
        build_schema(standard, query=Extended)


def test_a_name_is_taken_once() -> None:
    """A standard name and an added name can both be taken."""
    manager = DataLoaderManager().adding("Acme.own", Loader(echo))
    for name in ("Acme.own", "KernelStatistics.by_kernel"):
        with pytest.raises(InputError, match=f"the loader name {name} is taken"):
            manager.adding(name, Loader(echo))


async def test_a_field_answers_whatever_else_a_hosts_loader_loads() -> None:
    """A problem of its batch is listed at the field's path, an exception is an error; the keys may be the host's own."""

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
    assert "a loader returned 0 values for 1 keys" in caplog.text


async def test_a_loader_belongs_to_its_request() -> None:
    """A request gets the same loader again; the next request gets a new one without cached values."""
    host = Host()
    first, second = host.context(), host.context()
    names = KNOWN.split(", ")
    made = [host.manager.get_loader(ctx, name) for ctx in (first, second) for name in names]
    assert len(made) == len(set(made))
    assert made[: len(names)] == [host.manager.get_loader(first, name) for name in names]
    assert made[0] is not host.manager.get_loader(first, names[0], time_range=RANGE)


@attrs.frozen(kw_only=True)
class Meeting(MemoryStatistics):
    """A store in which two reads wait for each other; each answers with its number."""

    waiting: list[Sequence[str]] = attrs.field(factory=list, init=False)
    all_there: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer when there are two."""
        self.waiting.append(ids)
        number = len(self.waiting)
        if number == 2:
            self.all_there.set()
        await self.all_there.wait()
        return StatisticsBatch([{"read": number, "id": id_} for id_ in ids])


async def test_two_requests_at_once_never_share_a_loader() -> None:
    """Both run at the same time over one schema, and each gets only what was read for it."""
    store = Meeting()
    host = Host(statistics=store, inventory=inventory_of(3))
    contexts = [host.context(), host.context()]
    query = "query ($offset: Int!) { compute_session_list(offset: $offset) { items { a: live_stat b: live_stat } } }"
    async with asyncio.timeout(60):
        answers = await asyncio.gather(
            *(host.execute(query, context=context, offset=number) for number, context in enumerate(contexts))
        )
    pages = [[id_ for number in range(first, 3) for id_ in (session_id(number), kernel_id(number))] for first in (0, 1)]
    assert pages == store.waiting
    for number, answer in enumerate(answers):
        expected = [{"read": number + 1, "id": session_id(of)} for of in range(number, 3)]
        assert [{"a": value, "b": value} for value in expected] == answer.data["compute_session_list"]["items"]
        assert not answer.errors
    first, second = (list(context.loaders.made.values()) for context in contexts)
    assert 1 == len(first) == len(second)
    assert first[0] is not second[0]


@attrs.frozen(kw_only=True)
class Hanging(MemoryStatistics):
    """A store that never answers."""

    begun: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    other_ended: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def fetch_inference_metrics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Wait for ever, but answer after the first cancellation."""
        if self.other_ended.is_set():
            return await super().fetch_inference_metrics(ids)
        try:
            await asyncio.Event().wait()
        finally:
            self.other_ended.set()
        raise AssertionError

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Wait for ever."""
        for _ in range(20):
            await asyncio.sleep(0)  # let every task reach its wait
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return StatisticsBatch([None for _ in ids])


async def test_a_cancelled_request_ends_its_reads() -> None:
    """Both of them are cancelled, and the next request is answered."""
    store = Hanging()
    host = Host(statistics=store, inventory=inventory_of(3))
    request = asyncio.create_task(host.execute("{ compute_session_list { items { inference_metrics live_stat } } }"))
    async with asyncio.timeout(60):
        await store.begun.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await store.ended.wait()
        await store.other_ended.wait()
        answer = await host.execute("{ compute_session_list { items { inference_metrics } } }")
    assert [] == answer.errors


SEVERAL_FIELDS = """{
    compute_session_list { items {
        live_stat
        kernels { live_stat }
        utilization(metric_name: "mem", start: "0", end: "60", step: "10s") { promql }
    } }
    kernel_list(sort: "-cpu_pct") { items { figures { cpu_pct } } }
    agent_list { items { live_stat } }
    health { healthy }
}"""


WITHOUT_PLAN = """{
    compute_session_list {
        columns(fields: ["mem.current"]) { values }
        items {
            utilization(metric_name: "mem", start: "0", end: "60", step: "10s") { __typename }
            live_stat
        }
    }
    health { healthy }
}"""
"""graphql-core completes these items, and makes a coroutine of its own for each."""


@pytest.mark.parametrize("query", [SEVERAL_FIELDS, WITHOUT_PLAN])
async def test_a_request_that_is_cancelled_at_any_time_leaves_nothing(query: str) -> None:
    """Python warns of no coroutine that was never awaited, and no task remains."""
    host = Host(inventory=inventory_of(3))
    for turns in range(30):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            await cancelled_after(turns, host.execute(query))
            await until(lambda: {asyncio.current_task()} == asyncio.all_tasks(), "the tasks of the request")
            gc.collect()
        assert [] == [f"after {turns} turns: {warning.message}" for warning in found]


class Silent(MemoryStatistics):
    """A store that never answers."""

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Wait for ever."""
        await asyncio.Event().wait()
        return StatisticsBatch([None for _ in ids])


async def test_a_request_that_is_cancelled_before_a_field_waits_ends_the_read_of_the_field() -> None:
    """The keys are requested while the answer is walked, and the fields begin to wait some turns later."""
    host = Host(statistics=Silent(), inventory=inventory_of(1))
    query = f"""{{
        kernel(kernel_id: "{kernel_id(0)}") {{ live_stat figures {{ cpu_pct }} }}
        compute_session(session_id: "{session_id(0)}") {{ live_stat }}
    }}"""
    for turns in range(20):
        await cancelled_after(turns, host.execute(query))
        for _ in range(20):
            await asyncio.sleep(0)
        assert {asyncio.current_task()} == asyncio.all_tasks()


@attrs.frozen(hash=False)
class Colliding:
    """A value whose hash equals the hash of all others."""

    number: int

    def __hash__(self) -> int:
        """Collide."""
        return 1


VALUES = st.builds(Colliding, st.integers()) | st.sampled_from([-1, -2, 0, 2**61 - 1, 2**61, 2**61 - 2, "", "a", None])


def test_some_of_these_values_collide() -> None:
    """The two tests below need values that collide."""
    for first, second in ((Colliding(1), Colliding(2)), (-1, -2), (0, 2**61 - 1)):
        assert hash(first) == hash(second)
        assert first != second


@given(st.lists(VALUES))
async def test_keys_whose_hashes_collide_are_not_mixed(keys: list[Hashable]) -> None:
    """Each key gets its own value."""
    manager = DataLoaderManager().adding("Acme.own", Loader(echo))
    loader = manager.get_loader(SimpleNamespace(loaders=RequestLoaders()), "Acme.own")
    assert [{"key": key} for key in keys] == await loader.load_many(keys)


@given(st.lists(VALUES, min_size=1), st.lists(VALUES, min_size=1))
async def test_parameters_whose_hashes_collide_are_not_mixed(firsts: list[Hashable], seconds: list[Hashable]) -> None:
    """Equal parameters in any order give the same loader, and others another loader; each loads with its own."""
    manager, ctx = DataLoaderManager().adding("Acme.own", Loader(echo)), SimpleNamespace(loaders=RequestLoaders())
    pairs = [(first, second) for first in firsts for second in seconds]
    made = [manager.get_loader(ctx, "Acme.own", first=first, second=second) for first, second in pairs]
    again = [manager.get_loader(ctx, "Acme.own", second=second, first=first) for first, second in pairs]
    assert all(loader is same for loader, same in zip(made, again, strict=True))
    assert len(set(pairs)) == len(set(made))
    for loader, (first, second) in zip(made, pairs, strict=True):
        assert {"key": "k", "first": first, "second": second} == await loader.load("k")


async def test_queriers_with_the_same_query_are_one_key(nodes: Any) -> None:
    """Their class need not be hashable."""
    host = Host(metrics=CountedMetrics())
    ctx = host.context()
    loader = host.manager.get_loader(ctx, "UtilizationMetrics.by_querier", time_range=RANGE)
    node = nodes.NodeMetricQuerier
    queriers = [
        node(metric_name="load", node_id="n1"),
        node(metric_name="load", node_id="n1", rack=5),  # the rack does not change the query
        node(metric_name="load", node_id="n2"),
        ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=kernel_id(1)),
        ContainerMetricQuerier(metric_name="mem", value_type="current", kernel_id=kernel_id(1).upper()),
    ]
    results = await loader.load_many(queriers)
    assert results[0] is results[1]
    assert results[3] is results[4]
    assert 3 == ctx.loaders.count_so_far
    assert 2 == len(host.metrics.queries)


QUERIER = FixedQuerier("m", {"a": "1", "b": "2"}, group_by=["a", "b"], strategy=QueryStrategy.GAUGE)
OTHERS = [
    attrs.evolve(QUERIER, metric="n"),
    attrs.evolve(QUERIER, matchers={"a": "1"}),
    attrs.evolve(QUERIER, matchers={"a": "1", "b": "3"}),
    attrs.evolve(QUERIER, matchers={"a": "1", "b": LabelMatcher.regex("2")}),
    attrs.evolve(QUERIER, group_by=["a"]),
    attrs.evolve(QUERIER, strategy=QueryStrategy.RATE),
]


def test_queriers_that_differ_in_anything_are_different_keys() -> None:
    """They differ in the name, a label, its value or matcher, the grouping or the strategy."""
    keys = [querier_key(querier) for querier in (QUERIER, *OTHERS)]
    assert len(keys) == len(set(keys))
    same = attrs.evolve(QUERIER, matchers={"a": LabelMatcher.equal("1"), "b": "2"}, group_by=("b", "a", "a"))
    assert keys[0] == querier_key(same)


def test_each_matcher_of_a_label_that_recurs_is_part_of_the_key() -> None:
    """A mapping of labels would lose one of them, and two queries would share an answer."""
    query = resolve(QUERIER)
    scoped = [PreparedQuerier(query._replace(wanted=as_labels((*query.matchers, ("a", value))))) for value in ("1", "2")]
    keys = [querier_key(querier) for querier in (QUERIER, *scoped)]
    assert len(keys) == len(set(keys))
