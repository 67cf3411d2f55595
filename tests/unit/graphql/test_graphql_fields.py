"""The fields of the schema, and what each returns."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLObjectType
from strawberry.types.base import StrawberryObjectDefinition
from tests.support.graphql_host import CountedStatistics, Host, endpoint_id, inventory_of, kernel_id, replica_id, session_id

from statcore.model import MetricValue
from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema
from statcore_graphql.schema.loaded import LOADER, MAX_FIELDS
from statcore_memory import MemoryStatistics

FIELDS = {
    "Query": [
        *("agent", "agent_list", "available_metrics", "compute_session", "compute_session_list"),
        *("endpoint", "endpoint_list", "health", "kernel", "kernel_list", "limits", "plugins"),
        *("preset_result", "preset_result_at", "presets", "queriers", "schema_version", "utilization", "version"),
    ],
    "ComputeSessionList": ["columns", "items", "next_cursor", "total_count"],
    "MetricColumn": ["field", "values"],
    "ComputeSession": [
        *("figures", "inference_metrics", "kernels", "live_stat", "project_id"),
        *("session_id", "started_at", "user_id", "utilization"),
    ],
    "KernelList": ["items", "next_cursor", "total_count"],
    "Kernel": [
        *("agent_id", "figures", "kernel_id", "live_stat", "processes"),
        *("project_id", "session_id", "started_at", "user_id"),
    ],
    "Process": ["cpu_pct", "mem_bytes", "pid"],
    "Figures": [
        *("accelerator_mem_bytes", "accelerator_pct", "cpu_pct", "mem_bytes"),
        *("rx_bytes_per_s", "tx_bytes_per_s"),
    ],
    "EndpointList": ["items", "next_cursor", "total_count"],
    "Endpoint": ["endpoint_id", "figures", "live_stat", "project_id", "replicas", "started_at", "user_id"],
    "Replica": ["active", "live_stat", "replica_id", "session_id"],
    "AgentList": ["items", "next_cursor", "total_count"],
    "Agent": ["agent_id", "devices", "figures", "live_stat", "project_id", "started_at", "user_id"],
    "Device": ["capacity", "current", "device_id", "metric", "pct", "unit"],
    "Preset": ["description", "filter_labels", "group_labels", "name", "template", "window"],
    "Querier": ["fields", "name", "summary", "units"],
    "MetricUnit": ["metric", "unit"],
    "Field": ["choices", "default", "help", "name", "required", "type"],
    "Health": ["healthy", "ports"],
    "PortHealth": ["error", "healthy", "name"],
    "Limit": ["name", "value"],
    "Plugin": ["distribution", "error", "name", "offers", "remedy", "status", "version"],
    "Utilization": ["infos", "partial", "promql", "series", "unit", "warnings"],
    "UtilizationSeries": ["labels", "values"],
}
LOADERS = {
    ("Query", "preset_result"): "PresetMetrics.by_query",
    ("Query", "preset_result_at"): "PresetMetrics.by_query",
    ("Query", "utilization"): "UtilizationMetrics.by_querier",
    ("ComputeSession", "utilization"): "UtilizationMetrics.by_querier",
    ("ComputeSession", "live_stat"): "KernelStatistics.by_kernel",
    ("ComputeSessionList", "columns"): "KernelStatistics.by_kernel",
    ("ComputeSession", "inference_metrics"): "KernelStatistics.inference_metrics_by_kernel",
    ("Kernel", "live_stat"): "KernelStatistics.by_kernel",
    ("Endpoint", "live_stat"): "EndpointStatistics.by_endpoint",
    ("Replica", "live_stat"): "ReplicaStatistics.by_replica",
    ("Agent", "live_stat"): "AgentStatistics.by_agent",
    ("ComputeSession", "figures"): "KernelStatistics.by_kernel",
    ("Kernel", "figures"): "KernelStatistics.by_kernel",
    ("Kernel", "processes"): "KernelProcesses.by_kernel",
    ("Endpoint", "figures"): "EndpointStatistics.kernels_by_endpoint",
    **dict.fromkeys([("Agent", "figures"), ("Agent", "devices")], "AgentStatistics.by_agent"),
}
FILLED_IN = {"labels": "JSON", "group_labels": "[String!]", "window": "String"}
ARGUMENTS = {
    ("Query", "compute_session_list"): {
        **dict.fromkeys(("limit", "offset"), "Int!"),
        **dict.fromkeys(("sort", "after"), "String"),
        "filter": "[String!]",
    },
    **{
        ("Query", name): {f"{id_}_id": "String!"}
        for name, id_ in {"compute_session": "session", **{name: name for name in ("kernel", "agent", "endpoint")}}.items()
    },
    ("Query", "available_metrics"): {"querier": "String!"},
    ("Query", "preset_result"): {**dict.fromkeys(("name", "start", "end", "step"), "String!"), **FILLED_IN},
    ("Query", "preset_result_at"): {**dict.fromkeys(("name", "time"), "String!"), **FILLED_IN},
    ("Query", "utilization"): dict.fromkeys(("querier", "start", "end", "step"), "String!") | {"selector": "JSON!"},
    ("ComputeSession", "utilization"): dict.fromkeys(("metric_name", "start", "end", "step", "value_type"), "String!"),
}


def object_types() -> dict[str, GraphQLObjectType]:
    """Return the object types of the schema."""
    types = build_schema(DataLoaderManager())._schema.type_map.values()
    return {kind.name: kind for kind in types if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")}


def test_the_schema_has_these_fields() -> None:
    """They are in snake case, like all names of the proposals."""
    assert FIELDS == {name: sorted(kind.fields) for name, kind in object_types().items()}


def test_every_field_that_may_fail_may_be_null() -> None:
    """Its failure leaves its parent in the answer; a field may fail when its resolver reads something."""
    loaded = {"columns", "devices", "figures", "inference_metrics", "live_stat", "processes", "utilization"}
    at_start_up = {"limits", "plugins", "presets", "queriers", "schema_version", "version"}
    reading = {*FIELDS["Query"], "fields"} - at_start_up
    for name, kind in object_types().items():
        nullable = {field for field, defined in kind.fields.items() if not str(defined.type).endswith("!")}
        assert (loaded | reading) & set(FIELDS[name]) <= nullable


def test_every_loaded_field_names_its_loader() -> None:
    """This is how a missing loader is found when the schema is built."""
    types = build_schema(DataLoaderManager()).schema_converter.type_map.values()
    found = {
        (kind.name, field.name): field.metadata[LOADER]
        for known in types
        if isinstance(kind := known.definition, StrawberryObjectDefinition)
        for field in kind.fields
        if LOADER in field.metadata
    }
    assert LOADERS == found


@pytest.mark.parametrize(("kind", "field"), ARGUMENTS)
def test_these_fields_take_these_arguments(kind: str, field: str) -> None:
    """Their names are in snake case."""
    arguments = object_types()[kind].fields[field].args
    assert ARGUMENTS[kind, field] == {name: str(argument.type) for name, argument in arguments.items()}


def test_the_default_value_type_of_a_sessions_utilization_is_current() -> None:
    """It is the argument that a client may leave out."""
    assert "current" == object_types()["ComputeSession"].fields["utilization"].args["value_type"].default_value


async def test_each_kind_of_object_is_answered_with_its_statistics() -> None:
    """All live statistics of the schema in one query; missing statistics are null without an error."""
    store = MemoryStatistics()
    cpu = MetricValue(current="750", capacity="1000", pct="75.00", unit_hint="percent", stats={"max": "800"})
    running: Any = {"vllm_num_requests_running": {"current": "3", "__type": "GAUGE"}}
    await store.store_kernel_statistics({session_id(0): {"cpu_util": cpu}, kernel_id(0): {"mem": cpu}})
    await store.store_session_activity(session_id(0), requests=7, last_response_ms=12)
    await store.store_session_activity(session_id(1), requests=0, last_response_ms=0)
    await store.store_endpoint_statistics({endpoint_id(0): running})
    await store.store_replica_statistics({(endpoint_id(0), replica_id(0)): running})
    await store.store_agent_statistics("i-0", node={"cpu_util": cpu}, devices={"mem": {"0": cpu}}, interval_s=30)
    host = Host(statistics=store, inventory=inventory_of(2, endpoints=2))
    data = await host.execute_cleanly(
        """{
            compute_session_list {
                total_count
                items { session_id live_stat inference_metrics kernels { kernel_id agent_id live_stat } }
            }
            endpoint_list {
                total_count
                items { endpoint_id live_stat replicas { replica_id session_id active live_stat } }
            }
            agent_list { total_count items { agent_id live_stat } }
        }"""
    )
    value = {"current": "750", "capacity": "1000", "pct": "75.00", "unit_hint": "percent", "stats.max": "800"}
    of_cpu = value | {"stats.max": None}  # the maximum of the counter means nothing
    sessions = [
        {
            "session_id": session_id(0),
            "live_stat": {"cpu_util": of_cpu},
            "inference_metrics": {"requests": 7, "last_response_ms": 12},
            "kernels": [{"kernel_id": kernel_id(0), "agent_id": "i-0", "live_stat": {"mem": value}}],
        },
        {
            "session_id": session_id(1),
            "live_stat": None,
            "inference_metrics": {"requests": 0, "last_response_ms": 0},
            "kernels": [{"kernel_id": kernel_id(1), "agent_id": "i-1", "live_stat": None}],
        },
    ]
    endpoints = [
        {
            "endpoint_id": endpoint_id(number),
            "live_stat": entry,
            "replicas": [
                {
                    "replica_id": replica_id(number),
                    "session_id": session_id(number),
                    "active": entry is not None,
                    "live_stat": entry,
                }
            ],
        }
        for number, entry in enumerate((running, None))
    ]
    agents = [
        {"agent_id": "i-0", "live_stat": {"node": {"cpu_util": of_cpu}, "devices": {"mem": {"0": value}}}},
        {"agent_id": "i-1", "live_stat": None},
    ]
    lists = {"compute_session_list": sessions, "endpoint_list": endpoints, "agent_list": agents}
    expected = {name: {"total_count": 2, "items": items} for name, items in lists.items()}
    assert expected == data


async def test_a_session_combines_its_kernels_in_one_read() -> None:
    """Two kernels at 100 and 50.2 percent of a core; a kernel without an entry is a problem; both fields share the read."""
    store = CountedStatistics(MemoryStatistics())
    planted: Any = {
        kernel_id(0, 0): {"cpu_util": {"current": "1000", "capacity": "1000", "pct": "100"}},
        kernel_id(0, 1): {"cpu_util": {"current": "502", "capacity": "1000", "pct": "50.2"}},
        kernel_id(1, 0): {"mem": {"current": "1", "capacity": "4", "pct": "25"}},
    }
    for id_, entry in planted.items():
        store.store.plant(id_, entry)
    host = Host(statistics=store, inventory=inventory_of(3, kernels=2))
    answer = await host.execute("{ compute_session_list { items { live_stat kernels { live_stat } } } }")
    first, second, third = (item["live_stat"] for item in answer.data["compute_session_list"]["items"])
    assert ["1502", "2000", "150.2"] == [first["cpu_util"][name] for name in ("current", "capacity", "pct")]
    assert ({"mem": planted[kernel_id(1, 0)]["mem"]}, None) == (second, third)
    assert {"compute_session_list.items.1.live_stat": "incomplete"} == answer.problems
    assert f"kernel {kernel_id(1, 1)} has no statistics" == answer.extensions["problems"][0]["message"]
    assert [("kernel_statistics", 9)] == store.reads


async def test_a_bad_kernel_is_a_problem_of_its_session() -> None:
    """A session without data of another kernel has the kernel's error."""
    store = MemoryStatistics()
    store.plant(kernel_id(0, 0), {"mem": {"current": "1"}})
    store.plant(kernel_id(0, 1), 5)
    store.plant(kernel_id(1, 1), 5)
    host = Host(statistics=store, inventory=inventory_of(2, kernels=2))
    answer = await host.execute("{ compute_session_list { items { live_stat } } }")
    items = [{"live_stat": {"mem": {"current": "1"}}}, {"live_stat": None}]
    assert items == answer.data["compute_session_list"]["items"]
    assert {"compute_session_list.items.0.live_stat": "incomplete"} == answer.problems
    assert {"compute_session_list.items.1.live_stat": "MalformedEntryError"} == answer.codes


async def test_meaningless_figures_are_null() -> None:
    """Capacity and percentage of unbounded metrics in kernels, sessions, nodes and devices; the store keeps them."""
    store = MemoryStatistics()
    traffic = {"current": "10005.5", "capacity": "1820", "pct": "549.75", "unit_hint": "bps", "stats.rate": "10005.5"}
    cpu = {"current": "500.283", "capacity": "1000", "pct": "50.03", "stats.max": "385894.5", "stats.avg": "9"}
    metrics = {"net_rx": traffic, "cpu_util": cpu}
    store.plant(kernel_id(0), metrics)
    store.plant("i-0", {"node": metrics, "devices": {"net_rx": {"eth0": traffic}, "odd": 5}})
    host = Host(statistics=store, inventory=inventory_of(1))
    data = await host.execute_cleanly(
        "{ compute_session_list { items { live_stat kernels { live_stat } } } agent_list { items { live_stat } } }"
    )
    net = traffic | {"capacity": None, "pct": None}
    expected = {"net_rx": net, "cpu_util": cpu | {"stats.max": None, "stats.avg": None}}
    (session,), (agent,) = (data[name]["items"] for name in ("compute_session_list", "agent_list"))
    assert {"live_stat": expected, "kernels": [{"live_stat": expected}]} == session
    assert {"node": expected, "devices": {"net_rx": {"eth0": net}, "odd": 5}} == agent["live_stat"]
    assert [metrics] == list(await store.fetch_kernel_statistics([kernel_id(0)]))


async def test_a_host_of_another_framework_loads_sessions() -> None:
    """The loader reads the kernels of a session from the inventory of the context."""
    store = MemoryStatistics()
    for kernel in range(2):
        store.plant(kernel_id(0, kernel), {"mem": {"current": "2", "capacity": "4", "pct": "50"}})
    context = Host(statistics=store, inventory=inventory_of(2, kernels=2)).context()
    loader = context.dataloader_manager.get_loader(context, "KernelStatistics.by_session")
    first, second = await loader.load_many([session_id(0), session_id(1)])
    assert (["4", "8", "50"], None) == ([first["mem"][name] for name in ("current", "capacity", "pct")], second)


def live_stats(data: Any) -> list[Any]:
    """Return the live statistics of the first session, and of its kernel."""
    (session,) = data["compute_session_list"]["items"]
    return [session["live_stat"], session["kernels"][0]["live_stat"]]


LIMITED = (
    "query ($fields: [String!])"
    " { compute_session_list { items { live_stat(fields: $fields) kernels { live_stat(fields: $fields) } } } }"
)
STORED: dict[str, dict[str, Any]] = {
    "net_rx": {"current": "7", "capacity": "9", "pct": "1", "stats.rate": "3"},
    "mem": {"current": "5", "capacity": None, "stats.max": "8"},
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (None, {"net_rx": STORED["net_rx"] | {"capacity": None, "pct": None}, "mem": STORED["mem"]}),
        ([], {}),
        (["mem.current"], {"mem": {"current": "5"}}),
        (["mem.stats.max", "mem.current"], {"mem": {"stats.max": "8", "current": "5"}}),
        (["net_rx.capacity", "net_rx.current"], {"net_rx": {"capacity": None, "current": "7"}}),
        (["disk.current", "mem.capacity"], {"mem": {"capacity": None}}),
        (["mem.nothing"], {"mem": {}}),
    ],
)
async def test_live_stat_is_limited_to_fields(fields: list[str] | None, expected: dict[str, Any]) -> None:
    """Other fields are left out, and so are metrics that are not stored; a number that means nothing stays null."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), STORED)
    host = Host(statistics=store, inventory=inventory_of(1))
    assert [expected] * 2 == live_stats(await host.execute_cleanly(LIMITED, fields=fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["mem"], "'mem' is not the name of a field, such as 'mem.current'"),
        (["mem."], "'mem.' is not the name of a field, such as 'mem.current'"),
        ([".current"], "'.current' is not the name of a field, such as 'mem.current'"),
        ([""], "fields must be a list of different names such as 'cpu_util.pct', not ('',)"),
        (
            ["mem.pct", "mem.pct"],
            "fields must be a list of different names such as 'cpu_util.pct', not ('mem.pct', 'mem.pct')",
        ),
        ([f"mem.{n}" for n in range(MAX_FIELDS + 1)], f"fields has {MAX_FIELDS + 1} names, more than {MAX_FIELDS}"),
    ],
)
async def test_bad_names_of_fields_are_an_error_of_their_field(fields: list[str], message: str) -> None:
    """Each path has the error, each time."""
    store = MemoryStatistics()
    store.plant(kernel_id(0), STORED)
    host = Host(statistics=store, inventory=inventory_of(1))
    for _ in range(2):
        answer = await host.execute(LIMITED, fields=fields)
        assert [None, None] == live_stats(answer.data)
        assert {message} == {error["message"] for error in answer.errors}
        paths = ["compute_session_list.items.0.kernels.0.live_stat", "compute_session_list.items.0.live_stat"]
        assert dict.fromkeys(paths, "InputError") == answer.codes
