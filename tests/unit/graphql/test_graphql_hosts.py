"""Hosts: loaders without a framework, contexts, types and lists of their own; a host on graphene is in tests/meta."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections import Counter
from typing import Any, ClassVar, cast

import pytest
import strawberry
from attrs.exceptions import FrozenAttributeError
from strawberry.extensions import SchemaExtension
from strawberry.permission import BasePermission, PermissionExtension
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from tests.support.graphql_host import Host, inventory_of, kernel_id, session_id

from statcore.model import Problem, ProblemKind
from statcore_graphql import GraphQueryContext
from statcore_graphql.fastapi import FastAPIQueryContext
from statcore_graphql.schema import Query
from statcore_graphql.schema.compute_session import ComputeSession, ComputeSessionList, Kernel
from statcore_graphql.schema.loaded import metrics_field
from statcore_memory import MemoryStatistics

WITHOUT_STRAWBERRY = """
import asyncio, sys
from types import SimpleNamespace

for name in ("strawberry", "graphql"):
    sys.modules[name] = None

import statcore_graphql
from statcore.errors import MissingExtraError
from statcore.model import MetricValue
from statcore.statistics import StatisticsRepositories
from statcore_memory import MemoryStatistics

async def main():
    store = MemoryStatistics()
    await store.store_kernel_statistics({IDS[1]: {"mem": MetricValue(current="5")}})
    ctx = SimpleNamespace(
        statistics_repository=StatisticsRepositories.create(store).repository,
        loaders=statcore_graphql.RequestLoaders(),
    )
    batch = await statcore_graphql.KernelStatistics.batch_load_by_kernel(ctx, IDS)
    print([entry and entry["mem"]["current"] for entry in batch])
    loader = statcore_graphql.DataLoaderManager().get_loader(ctx, "KernelStatistics.by_kernel")
    print((await loader.load(IDS[1]))["mem"]["current"])
    try:
        from statcore_graphql import schema
    except MissingExtraError as error:
        print("schema", error.extra)

asyncio.run(main())
"""


def test_the_batch_functions_need_no_framework() -> None:
    """They and `get_loader` load without Strawberry and graphql-core; the schema names the missing extra."""
    program = f"IDS = {[session_id(1), session_id(2)]}\n{WITHOUT_STRAWBERRY}"
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ["[None, '5']", "5", "schema graphql"] == answer.stdout.splitlines(), answer.stderr


@pytest.mark.parametrize("kind", [GraphQueryContext, FastAPIQueryContext])
async def test_both_contexts_work_with_plain_strawberry(kind: type[GraphQueryContext]) -> None:
    """Their fields are frozen; the FastAPI router sets `request` besides."""
    host = Host()
    made = host.context()
    context = kind(
        statistics_repository=made.statistics_repository,
        inventory=made.inventory,
        metrics=made.metrics,
        plugins=made.plugins,
    )
    answer = await host.execute("{ compute_session_list { total_count } }", context=context)
    assert {"compute_session_list": {"total_count": 0}} == answer.data
    with pytest.raises(FrozenAttributeError):
        context.inventory = made.inventory
    if isinstance(context, FastAPIQueryContext):
        assert None is context.request


@strawberry.type
class Session(ComputeSession):
    """A host's type with fields of its own beside ours."""

    owner: str | None = None

    @strawberry.field
    async def upper_id(self) -> str:
        """Return the id in capitals."""
        return self.session_id.upper()


def session(number: int, *, owner: str | None = None, kernels: int = 2) -> Session:
    """Return a session of the host."""
    of_session = [Kernel(kernel_id=kernel_id(number, kernel), agent_id=None) for kernel in range(kernels)]
    return Session(session_id=session_id(number), kernels=of_session, owner=owner)


async def later(value: object) -> object:
    """Return a value in a later turn."""
    await asyncio.sleep(0)
    return value


@strawberry.type
class Group:
    """A host's object with lists of ours, of which some may be null."""

    name: str
    sessions: list[Session | None] | None


class Forbidden(BasePermission):
    """Nobody may."""

    message = "not yours"

    def has_permission(self, source: Any, info: Any, **_: Any) -> bool:
        """Refuse."""
        del source, info
        return False


@strawberry.type
class Guarded:
    """A host's object whose statistics nobody may see."""

    session_id: str
    name: str = strawberry.field(permission_classes=[Forbidden])
    live_stat = metrics_field(
        "KernelStatistics.by_kernel", key=lambda guarded: guarded.session_id, description="guarded", hides=True
    )


Guarded.__strawberry_definition__.fields[-1].extensions.append(PermissionExtension([Forbidden()]))  # type: ignore[attr-defined]


@strawberry.type
class HostQuery(Query):
    """A host's lists of our types and its own."""

    @strawberry.field
    def own_sessions(self) -> list[Session | None]:
        """Return a list with items that are null, and that have to be waited for."""
        return [session(0, owner="a"), None, cast("Any", later(session(1))), session(2), cast("Any", later(None))]

    @strawberry.field
    def sparse(self) -> list[Session | None]:
        """Return a list with items that are null."""
        return [None, session(0), None, session(1, owner="b")]

    @strawberry.field
    def groups(self) -> list[Group]:
        """Return groups with and without sessions."""
        return [
            Group(name="full", sessions=[session(0), None, session(1)]),
            Group(name="none", sessions=None),
            Group(name="empty", sessions=[]),
        ]

    @strawberry.field
    def broken(self) -> list[Session] | None:
        """Return a list in which the kernels of an item, which may not be null, are null."""
        return [session(0), session(1), Session(session_id=session_id(3), kernels=cast("Any", None)), session(2)]

    @strawberry.field
    def guarded(self) -> list[Guarded | None]:
        """Return two guarded objects."""
        return [Guarded(session_id=session_id(number), name="secret") for number in (0, 1)]

    @strawberry.field(permission_classes=[Forbidden])  # type: ignore[untyped-decorator]
    async def compute_session_list(self, info: strawberry.Info[GraphQueryContext]) -> ComputeSessionList | None:
        """Take the place of our list."""
        del info
        raise AssertionError


def stored() -> MemoryStatistics:
    """Return a store with statistics of the first kernel of each session; those of session 1 are stale."""
    store = MemoryStatistics()
    for number in range(3):
        problem = Problem(ProblemKind.STALE, message="old") if number == 1 else None
        store.plant(kernel_id(number), {"mem": {"current": str(number)}}, problem=problem)
    return store


HOST_QUERIES = [
    "{ own_sessions { session_id owner upper_id live_stat kernels { live_stat } } }",
    "{ own_sessions { session_id owner live_stat kernels { kernel_id } } }",
    "{ own_sessions { session_id } }",
    "{ sparse { __typename session_id owner live_stat inference_metrics kernels { live_stat } } }",
    "{ sparse { upper_id live_stat kernels { live_stat } } }",
    "{ groups { name sessions { session_id live_stat kernels { kernel_id live_stat } } } }",
    "{ broken { session_id kernels { kernel_id live_stat } } }",
    "{ broken { session_id live_stat } }",
    "{ guarded { session_id live_stat } }",
    "{ guarded { session_id name } }",
    "{ guarded { session_id } compute_session_list { total_count } }",
]


@pytest.mark.parametrize("size", [1, 1_000])
@pytest.mark.parametrize("query", HOST_QUERIES)
async def test_a_hosts_lists_are_answered_as_graphql_core_does(
    query: str, size: int, monkeypatch: pytest.MonkeyPatch, lists: Any
) -> None:
    """Its own fields, null items, items that are awaited, errors that leave no list, and permissions hold."""
    monkeypatch.setattr(lists, "_ITEMS_PER_REQUEST", size)
    hosts = [Host(statistics=stored(), query=HostQuery) for _ in range(2)]
    hosts[0].schema.execution_context_class = StrawberryGraphQLCoreExecutionContext
    expected, answer = [await host.execute(query) for host in hosts]
    assert expected.data == answer.data
    assert sorted(expected.errors, key=str) == sorted(answer.errors, key=str)
    assert sorted(expected.extensions.get("problems", []), key=str) == sorted(
        answer.extensions.get("problems", []), key=str
    )


async def test_permissions_of_a_host_hold() -> None:
    """Neither its own fields nor the statistics that it guards are shown, and its root field guards ours."""
    host = Host(statistics=stored(), query=HostQuery, inventory=inventory_of(1))
    answer = await host.execute("{ guarded { live_stat } compute_session_list { items { session_id } } }")
    assert {"guarded": [{"live_stat": None}, {"live_stat": None}], "compute_session_list": None} == answer.data
    assert {"not yours"} == {error["message"] for error in answer.errors}
    assert 3 == len(answer.errors)


class Recording(SchemaExtension):
    """A host's extension that sees each field."""

    seen: ClassVar[list[str]] = []

    def resolve(self, _next: Any, root: Any, info: Any, *args: Any, **kwargs: Any) -> Any:
        """Record the field."""
        self.seen.append(info.field_name)
        return _next(root, info, *args, **kwargs)


async def test_a_hosts_extension_sees_each_field() -> None:
    """A plan would hide the fields from it."""
    host = Host(statistics=stored(), inventory=inventory_of(3))
    query = "{ compute_session_list { items { session_id live_stat kernels { live_stat } } } }"
    expected = await host.execute(query)
    host.schema.extensions = (*host.schema.extensions, Recording)
    Recording.seen.clear()
    assert expected == await host.execute(query)
    counts = {"compute_session_list": 1, "items": 1, "session_id": 3, "kernels": 3, "live_stat": 6}
    assert counts == Counter(Recording.seen)


def test_graphql_core_has_what_is_overridden_and_called(lists: Any) -> None:
    """Lists are completed by an override of its executor; another version may call or name the methods differently."""
    item = "item_type field_details_list info item_path position_context"
    parameters = {
        "complete_iterable_value": "self item_type field_details_list info path items position_context",
        "complete_list_item_value": f"self item complete_results {item}",
        "complete_awaitable_list_item_value": f"self item {item}",
        "collect_subfields": "self return_type field_details_list",
    }
    executor = StrawberryGraphQLCoreExecutionContext
    for name, expected in parameters.items():
        assert expected.split() == list(inspect.signature(getattr(executor, name)).parameters), name
    assert parameters["complete_iterable_value"].split() == list(
        inspect.signature(lists.ListExecutor.complete_iterable_value).parameters
    )
    attributes = {"middleware_manager", "abort_signal", "variable_values", "context_value", "is_awaitable"}
    declared = {name for class_ in executor.__mro__ for name in getattr(class_, "__annotations__", {})}
    assert set() == attributes - declared - set(dir(executor))
