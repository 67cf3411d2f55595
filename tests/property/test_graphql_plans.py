"""Lists that are completed by a plan: the same answers as graphql-core's own execution, which is the oracle here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import attrs
import pytest
from graphql import version_info
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from tests.support.graphql_host import Host, inventory_of, kernel_id
from tests.support.lazy_entries import Lazy

from statcore.errors import MalformedEntryError, TimedOutError, UnavailableError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.queriers.container import PROCESS_SERIES
from statcore_graphql import DataLoaderManager, KernelStatistics, Loader
from statcore_graphql.schema import encode_response
from statcore_memory import MemoryMetrics, MemoryStatistics

if version_info < (3, 3):
    pytest.skip("plans need graphql-core 3.3", allow_module_level=True)
lists = import_module("statcore_graphql.schema.lists")

ENTRIES: Final[Sequence[Any]] = (
    None,
    {},
    {"mem": {"current": "5", "capacity": "10", "pct": "50.00", "unit_hint": "bytes", "stats.max": "7"}},
    {"cpu_util": {"current": "5", "capacity": "9223372036854775807", "pct": "1", "stats.avg": "3"}},
    {"net_rx": {"current": "1", "capacity": "2", "pct": "50"}, "mem": {"current": "nan", "other": 2**70}},
    {"mem": {"current": float("nan"), "odd": "\ud800", "bytes": b"\xff", "deep": [[{"a": float("inf")}]]}, 5: {"a": 1}},
    {"mem": 5, "cpu_util": "text", "net_tx": None},
    Lazy({"mem": {"current": "1"}, "bad": 0, "bad2": 0}),
    Lazy({"nothing": 0}),
    Lazy({"mem": {"current": "1"}, "cpu_util": MalformedEntryError("not a map", key="k", metric="cpu_util")}),
    Lazy({"node": Lazy({"mem": {"current": "1", "capacity": "3"}, "bad": 0}), "devices": {"mem": {"a": {"pct": "1"}}}}),
)
PROBLEMS: Final = (*[None] * 4, *[Problem(kind, message=f"it is {kind}", key="k") for kind in ProblemKind])
KINDS: Final = ("kernel", "inference", "endpoint", "replica", "agent")
FIELDS: Final = (
    "mem.current",
    "mem.stats.max",
    "net_rx.capacity",
    "cpu_util.pct",
    "bad.current",
    "absent.pct",
    "nothing.x",
)
FAILURES: Final[Sequence[Callable[[], Exception]]] = (
    lambda: UnavailableError("down"),
    lambda: TimedOutError("late", timeout_s=1),
    lambda: ZeroDivisionError("a fault"),
)


@attrs.frozen(kw_only=True)
class Hostile(MemoryStatistics):
    """A store that answers an id with an entry, by the seed and the id, and fails for some kinds as a whole."""

    seed: int
    failing: Mapping[str, Callable[[], Exception]]

    def _answer(self, kind: str, ids: Sequence[Any]) -> StatisticsBatch:
        if kind in self.failing:
            fail = self.failing[kind]
            raise fail()
        entries: list[Any] = []
        problems: dict[int, Problem] = {}
        for position, id_ in enumerate(ids):
            drawn = sum(map(ord, str(id_))) * 7 + self.seed
            entry, problem = ENTRIES[drawn % len(ENTRIES)], PROBLEMS[drawn // 3 % len(PROBLEMS)]
            entries.append(entry)
            if problem is not None:
                problems[position] = problem
        return StatisticsBatch(entries, problems=problems)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer for sessions and kernels."""
        return self._answer("kernel", ids)

    async def fetch_inference_metrics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer for sessions."""
        return self._answer("inference", ids)

    async def fetch_endpoint_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer for endpoints."""
        return self._answer("endpoint", ids)

    async def fetch_replica_statistics(self, ids: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Answer for replicas."""
        return self._answer("replica", ids)

    async def fetch_agent_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Answer for agents."""
        return self._answer("agent", ids)


async def raising_for_some(ctx: Any, keys: Sequence[Any]) -> Sequence[Any]:
    """Load kernel statistics, but return an exception for a third of the keys."""
    batch = await KernelStatistics.batch_load_by_kernel(ctx, keys)
    errors = (UnavailableError("not this key"), ZeroDivisionError("not this key, either"))
    sums = [sum(map(ord, key)) for key in keys]
    return [errors[number % 2] if number % 3 == 0 else entry for number, entry in zip(sums, batch, strict=True)]


def managers() -> dict[bool, DataLoaderManager]:
    """Return the standard loaders, and loaders of which one raises per key."""
    standard = DataLoaderManager()
    loaders = {**standard._loaders, "KernelStatistics.by_kernel": Loader(raising_for_some)}
    return {False: standard, True: DataLoaderManager(loaders)}


MANAGERS: Final = managers()


def processes() -> MemoryMetrics:
    """Return a backend that has processes of some kernels."""
    metrics = MemoryMetrics(clock=lambda: 30.0)
    labels = {"process_metric_name": "mem", "value_type": "current"}
    samples = [
        (PROCESS_SERIES, {**labels, "kernel_id": kernel_id(number, of_session), "pid": str(pid)}, float(pid))
        for number in range(0, 9, 2)
        for of_session in range(2)
        for pid in (3, 12)
    ]
    metrics.append_scrape(samples, target="t", time=30.0)
    return metrics


METRICS: Final = processes()
HOSTS: Final = {
    (raises, planned): Host(manager=MANAGERS[raises], metrics=METRICS)
    for raises in (False, True)
    for planned in (False, True)
}
for (_, is_planned), host_ in HOSTS.items():
    if not is_planned:
        host_.schema.execution_context_class = StrawberryGraphQLCoreExecutionContext


def live_stat(draw: st.DrawFn) -> str:
    """Return the field with or without the names of fields, some of them bad."""
    names = draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    arguments = ["", "", "(fields: $few)", "(fields: null)", "(fields: [$name])", f"(fields: {json.dumps(names)})"]
    return f"live_stat{draw(st.sampled_from(arguments))}"


@st.composite
def selections(draw: st.DrawFn, type_: str, depth: int = 0) -> str:
    """Return a selection of a type's fields: aliases, fragments of both kinds, directives, fields that recur."""
    fields = {
        "ComputeSession": ["live_stat", "kernels", "figures", "inference_metrics", "session_id", "__typename"],
        "Kernel": ["live_stat", "figures", "processes", "kernel_id", "agent_id", "__typename"],
        "Endpoint": ["live_stat", "replicas", "figures", "endpoint_id", "__typename"],
        "Replica": ["live_stat", "replica_id", "session_id", "active", "__typename"],
        "Agent": ["agent_stat", "devices", "figures", "user_id", "agent_id", "__typename"],
        "Figures": ["cpu_pct", "mem_bytes", "rx_bytes_per_s", "__typename"],
        "Process": ["pid", "cpu_pct", "__typename"],
        "Device": ["metric", "device_id", "current", "pct", "__typename"],
    }[type_]
    parts: list[str] = []
    for number in range(draw(st.sampled_from([3, 2, 1, 4]))):
        # Aliases differ, because two fields with a name must have the same arguments.
        name = f"f{depth}_{draw(st.integers(0, 99_999))}_{number}: "
        kind = draw(st.sampled_from([*fields[:2], *fields, "inline", "spread"]))
        condition = draw(st.sampled_from(["", "", "", "@include(if: $yes)", "@skip(if: $yes)", "@skip(if: $no)"]))
        if kind == "live_stat":
            part = f"{name}{live_stat(draw)} {condition}"
        elif kind == "agent_stat":
            part = f"{name}live_stat {condition}"
        elif kind in OBJECTS:
            inner = draw(selections(OBJECTS[kind], depth + 1))
            part = f"{draw(st.sampled_from(['', name]))}{kind} {condition} {{ {inner} }}"
        elif kind == "inline" and depth < 2:
            on = draw(st.sampled_from(["", f"on {type_}"]))
            part = f"... {on} {condition} {{ {draw(selections(type_, depth + 1))} }}"
        elif kind in {"inline", "spread"}:
            part = f"...Of{type_} {condition}"
        else:
            part = f"{draw(st.sampled_from(['', name]))}{kind} {condition}"
        parts.append(part)
    return " ".join(parts)


OBJECTS: Final = {
    "kernels": "Kernel",
    "replicas": "Replica",
    "figures": "Figures",
    "processes": "Process",
    "devices": "Device",
}
"""The fields with objects, and the types of these."""
FRAGMENTS: Final = {
    "ComputeSession": "session_id live_stat kernels { ...OfKernel }",
    "Kernel": 'agent_id live_stat some: live_stat(fields: ["mem.current"])',
    "Endpoint": "live_stat replicas { ...OfReplica }",
    "Replica": "live_stat active",
    "Agent": "live_stat devices { ...OfDevice }",
    "Figures": "cpu_pct mem_bytes",
    "Process": "pid mem_bytes",
    "Device": "device_id capacity unit",
}
LISTS: Final = {
    "compute_session_list": "ComputeSession",
    "kernel_list": "Kernel",
    "endpoint_list": "Endpoint",
    "agent_list": "Agent",
}


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Return a query of some lists, the same list several times among them."""
    roots = [
        f"l{number}: {name}(limit: {draw(st.sampled_from([200, 5, 1, 0]))}, offset: {draw(st.integers(0, 5))})"
        f" {{ total_count items {{ {draw(selections(LISTS[name]))} }} }}"
        for number, name in enumerate(draw(st.lists(st.sampled_from(list(LISTS)), min_size=1, max_size=3)))
    ]
    body = " ".join(roots)
    fragments: list[str] = []
    for _ in FRAGMENTS:
        for type_, fields in FRAGMENTS.items():
            fragment = f"fragment Of{type_} on {type_} {{ {fields} }}"
            if f"...Of{type_}" in body + " ".join(fragments) and fragment not in fragments:
                fragments.append(fragment)
    declared = {"$yes": "Boolean!", "$no": "Boolean!", "$few": "[String!]", "$name": 'String = "mem.current"'}
    used = [f"{name}: {type_}" for name, type_ in declared.items() if name in body]
    declarations = f"({', '.join(used)})" if used else ""
    return f"query {declarations} {{ {body} }} {' '.join(fragments)}"


def in_order(answer: Mapping[str, Any]) -> list[Any]:
    """Return the data, and the errors and problems by their paths, whose order is not defined."""

    def where(part: Mapping[str, Any]) -> str:
        return json.dumps([part["path"], part["message"]])

    extensions = answer["extensions"]
    return [answer["data"], sorted(answer["errors"], key=where), sorted(extensions.get("problems", []), key=where)]


async def answer_of(host: Host, query: str, *, encoded: bool, **variables: Any) -> list[Any]:
    """Return an answer as its JSON says."""
    context = attrs.evolve(host.context(), encoded=encoded)
    result = await host.schema.execute(query, variable_values=variables, context_value=context)
    errors = [error.formatted for error in result.errors or []]
    response = {"data": result.data, "errors": errors, "extensions": result.extensions or {}}
    return in_order(json.loads(encode_response(response) if encoded else json.dumps(response, allow_nan=False)))


@attrs.frozen(kw_only=True)
class Cluster:
    """What a query is executed on.

    Args:
        sessions: how many there are; there are half as many endpoints.
        kernels: how many each session has.
        seed: chooses the entries of the store.
        failing: the kinds of statistics that the store cannot read, with their errors.
        raises: whether the loader of kernels returns exceptions for some keys.
    """

    sessions: int
    kernels: int
    seed: int
    failing: Mapping[str, Callable[[], Exception]]
    raises: bool

    def host(self, *, planned: bool) -> Host:
        """Return a host whose schema completes lists by plans, or only as graphql-core does."""
        host = attrs.evolve(
            HOSTS[self.raises, planned],
            statistics=Hostile(seed=self.seed, failing=self.failing),
            inventory=inventory_of(self.sessions, kernels=self.kernels, endpoints=self.sessions // 2),
        )
        object.__setattr__(host, "schema", HOSTS[self.raises, planned].schema)  # building it again takes long
        return host


CLUSTERS: Final = st.builds(
    Cluster,
    sessions=st.sampled_from([7, 20, 70, 200, 1, 0]),
    kernels=st.sampled_from([2, 1, 3, 0]),
    seed=st.integers(0, 999),
    failing=st.dictionaries(st.sampled_from(KINDS), st.sampled_from(FAILURES), max_size=2),
    raises=st.booleans(),
)
VARIABLES: Final = st.fixed_dictionaries(
    {
        "yes": st.just(value=True),
        "no": st.just(value=False),
        "few": st.none() | st.lists(st.sampled_from(FIELDS), max_size=3),
        "name": st.sampled_from([None, "mem.current", "mem.pct", "bad"]),
    }
)


@given(
    query=queries(),
    variables=VARIABLES,
    cluster=CLUSTERS,
    objects_per_turn=st.sampled_from([1, 3, 64]),
    items_per_request=st.sampled_from([1, 5, 1_000]),
)
async def test_a_plan_answers_as_graphql_core_does(
    query: str, variables: dict[str, Any], cluster: Cluster, objects_per_turn: int, items_per_request: int
) -> None:
    """The data, errors and problems are the same for any selection and store, also as encoded JSON."""
    oracle, planned = (cluster.host(planned=is_planned) for is_planned in (False, True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_OBJECTS_PER_TURN", objects_per_turn)
        patch.setattr(lists, "_ITEMS_PER_REQUEST", items_per_request)
        expected = await answer_of(oracle, query, encoded=False, **variables)
        assert expected == await answer_of(planned, query, encoded=False, **variables)
        assert expected == await answer_of(planned, query, encoded=True, **variables)
        assert expected == await answer_of(oracle, query, encoded=True, **variables)
