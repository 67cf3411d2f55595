"""The kinds of querier, their available metrics, and utilization of what a selector selects."""

from __future__ import annotations

from typing import Any, cast

import attrs
import pytest
from tests.support.graphql_host import CountedMetrics, Host, inventory_of, kernel_id, session_id

from statcore.model import MatrixResult, QueryTimeRange
from statcore.promql import MAX_POINTS, utilization_text
from statcore.queriers import ContainerMetricQuerier, UtilizationMetricQuerier
from statcore.queriers.container import UNITS
from statcore.scopes import ConfinedMetrics, Scope
from statcore_memory import MemoryMetrics

NOW = 1_795_000_000
TIMES = f'start: "{NOW}", end: "{NOW + 60}", step: "30s"'
GOOD = f'good: utilization(querier: "container", selector: {{metric_name: "mem"}}, {TIMES}) {{ partial }}'


def metrics(sessions: int = 2) -> CountedMetrics:
    """Return a backend with three scrapes of sessions' memory and of two nodes."""
    backend = CountedMetrics()
    for scrape in range(3):
        samples: list[tuple[str, dict[str, str], float]] = []
        for number in range(sessions):
            labels = {"value_type": "current", "session_id": session_id(number), "kernel_id": kernel_id(number)}
            for name, value in (("mem", 100.5 * number + scrape), ("cpu_util", 30.0 * scrape)):
                samples.append(("backendai_container_utilization", {"container_metric_name": name, **labels}, value))
        samples += [
            ("node_utilization", {"metric": "load", "value_type": "current", "node_id": node}, number)
            for number, node in enumerate(("n1", "n2"), start=1)
        ]
        backend.append_scrape(samples, target="t", time=NOW + 30 * scrape)
    return backend


def values(*numbers: str) -> list[list[Any]]:
    """Return samples in the form of an answer."""
    return [[NOW + 30.0 * position, number] for position, number in enumerate(numbers)]


async def test_kinds_of_querier_are_listed_with_their_fields(nodes: Any) -> None:
    """The core and a plugin have kinds; a class that cannot be read is an error of its own fields only."""
    assert nodes
    answer = await Host().execute("{ queriers { name summary fields { name type required default choices help } } }")
    by_name = {querier["name"]: querier for querier in answer.data["queriers"]}
    assert ["absent", "container", "node", "single", "unreadable"] == sorted(by_name)
    names = ("name", "type", "required", "default", "choices", "help")
    fields: list[tuple[Any, ...]] = [
        ("metric_name", "text", True, None, [], "what is measured."),
        ("node_id", "text", False, None, [], "which node."),
        ("value_type", "choice", False, "current", ["current", "capacity"], ""),
        ("rack", "integer", False, "1", [], "how many of them."),
    ]
    expected = [dict(zip(names, field, strict=True)) for field in fields]
    assert {"name": "node", "summary": "nodes", "fields": expected} == by_name["node"]
    container = {field["name"]: field for field in by_name["container"]["fields"]}
    assert "uuid" == container["kernel_id"]["type"]
    assert "a UUID, or its text." == container["kernel_id"]["help"]
    unreadable = list(by_name).index("unreadable")
    assert {f"queriers.{unreadable}.fields": "PluginError"} == answer.codes
    assert by_name["unreadable"]["fields"] is None


async def test_available_metrics_are_those_of_the_series(nodes: Any) -> None:
    """They are the values of the metric label, or the series itself for a kind without such a label."""
    assert nodes
    data = await Host(metrics=metrics()).execute_cleanly(
        """{
            container: available_metrics(querier: "container")
            node: available_metrics(querier: "node")
            single: available_metrics(querier: "single")
            absent: available_metrics(querier: "absent")
        }"""
    )
    assert {"container": ["cpu_util", "mem"], "node": ["load"], "single": ["node_utilization"], "absent": []} == data


@pytest.mark.parametrize(
    "field", ["available_metrics(querier: $name)", f"utilization(querier: $name, selector: {{}}, {TIMES}) {{ partial }}"]
)
async def test_an_unknown_kind_of_querier_lists_the_known_kinds(field: str) -> None:
    """The error is on the path of the field."""
    answer = await Host().execute(f"query ($name: String!) {{ bad: {field} {GOOD} }}", name="gpu")
    assert {"bad": None, "good": {"partial": False}} == answer.data
    assert {"bad": "InputError"} == answer.codes
    assert "there is no querier gpu; known are: container" == answer.errors[0]["message"]


async def test_utilization_of_containers() -> None:
    """Series have labels, and pairs of time and text as Prometheus writes them; counters are rates over five minutes."""
    data = await Host(metrics=metrics()).execute_cleanly(
        f"""query ($mem: JSON!, $cpu: JSON!) {{
            mem: utilization(querier: "container", selector: $mem, {TIMES}) {{
                series {{ labels values }} warnings infos partial
            }}
            cpu: utilization(querier: "container", selector: $cpu, {TIMES}) {{ series {{ labels values }} }}
        }}""",
        mem={"metric_name": "mem", "session_id": session_id(1)},
        cpu={"metric_name": "cpu_util", "kernel_id": kernel_id(0), "value_type": "current"},
    )
    mem = {"labels": {"session_id": session_id(1), "value_type": "current"}, "values": values("100.5", "101.5", "102.5")}
    assert {"series": [mem], "warnings": [], "infos": [], "partial": False} == data["mem"]
    cpu = {"labels": {"kernel_id": kernel_id(0), "value_type": "current"}, "values": values("0", "0.1", "0.2")[1:]}
    assert {"series": [cpu]} == data["cpu"]


async def test_rates_are_taken_over_the_contexts_window() -> None:
    """Half a minute of CPU time in two minutes, not in five."""
    selector = f'{{metric_name: "cpu_util", session_id: "{session_id(0)}"}}'
    query = f'{{ utilization(querier: "container", selector: {selector}, {TIMES}) {{ series {{ values }} }} }}'
    host = Host(metrics=metrics())
    answer = await host.execute(query, context=attrs.evolve(host.context(), rate_interval="2m"))
    assert {"utilization": {"series": [{"values": values("0", "0.25", "0.5")[1:]}]}} == answer.data


async def test_utilization_of_a_plugins_querier(nodes: Any) -> None:
    """Its class is not hashable, like the data class of the proposal; the selector may contain variables."""
    with pytest.raises(TypeError):
        hash(nodes.NodeMetricQuerier(metric_name="load"))
    data = await Host(metrics=metrics()).execute_cleanly(
        f"""query ($node: String!) {{
            one: utilization(querier: "node", selector: {{metric_name: "load", node_id: $node}}, {TIMES}) {{
                series {{ labels values }}
            }}
            all: utilization(querier: "node", selector: {{metric_name: "load", rack: 3}}, {TIMES}) {{
                series {{ labels values }}
            }}
        }}""",
        node="n2",
    )
    series = {"labels": {"node_id": "n2", "value_type": "current"}, "values": values("2", "2", "2")}
    assert {"series": [series]} == data["one"]
    assert {"series": [{"labels": {"value_type": "current"}, "values": values("3", "3", "3")}]} == data["all"]


async def test_utilization_of_sessions() -> None:
    """Each gets its own series from a shared request; a session without samples has none."""
    backend = metrics(3)
    fields = "{ series { labels values } }"
    field = f'utilization(metric_name: "mem", {TIMES}) {fields}'
    field += f' capacity: utilization(metric_name: "mem", value_type: "capacity", {TIMES}) {fields}'
    data = await Host(metrics=backend, inventory=inventory_of(3)).execute_cleanly(
        f"{{ compute_session_list {{ items {{ {field} }} }} }}"
    )
    expected = [
        {
            "labels": {"session_id": session_id(number), "value_type": "current"},
            "values": values(*(f"{100.5 * number + scrape:g}" for scrape in range(3))),
        }
        for number in range(3)
    ]
    items = data["compute_session_list"]["items"]
    assert [[series] for series in expected] == [item["utilization"]["series"] for item in items]
    assert [[]] * 3 == [item["capacity"]["series"] for item in items]
    assert 2 == len(backend.queries)


BAD_SELECTORS = [
    ("container", {"metric_name": "mem", "colour": 1}, "InputError", "colour"),
    ("container", {}, "InputError", "metric_name"),
    ("container", {"metric_name": 5}, "InputError", "metric_name must be of type text, not 5"),
    ("container", {"metric_name": "mem", "kernel_id": "x"}, "InputError", "not an id: 'x'"),
    ("container", {"metric_name": "\ud800"}, "InputError", "surrogate"),
    ("container", [], "InputError", "selector must be an object of fields, not list"),
    ("container", "mem", "InputError", "selector must be an object of fields, not str"),
    ("node", {"metric_name": "load", "rack": "1"}, "InputError", "rack must be of type integer, not '1'"),
    ("node", {"metric_name": "load", "rack": -1}, "InputError", "rack must not be negative"),
    ("node", {"metric_name": "crash"}, "PluginError", "a plugin failed; the server's log says more"),
    ("node", {"metric_name": "late"}, "PluginError", "a plugin failed; the server's log says more"),
    ("unreadable", {"what": 1}, "PluginError", "a plugin failed; the server's log says more"),
]


@pytest.mark.parametrize(("querier", "selector", "code", "message"), BAD_SELECTORS)
async def test_a_bad_selector_is_an_error_on_its_path(
    nodes: Any, querier: str, selector: Any, code: str, message: str
) -> None:
    """It has the reason, and no query is sent; the other field is answered."""
    assert nodes
    backend = metrics()
    answer = await Host(metrics=backend).execute(
        f"""query ($querier: String!, $selector: JSON!) {{
            bad: utilization(querier: $querier, selector: $selector, {TIMES}) {{ partial }}
            {GOOD}
        }}""",
        querier=querier,
        selector=selector,
    )
    assert {"bad": None, "good": {"partial": False}} == answer.data
    (error,) = answer.errors
    assert (["bad"], {"code": code, "retryable": False}) == (error["path"], error["extensions"])
    assert message in error["message"]
    assert 1 == len(backend.queries)


@pytest.mark.parametrize(
    ("times", "code", "message"),
    [
        ('start: "2026-11-22T10:00:00", end: "2026-11-22T11:00:00Z", step: "1m"', "InputError", "a time without a zone"),
        ('start: "10", end: "9", step: "1m"', "InputError", "the range ends before it starts"),
        (f'start: "0", end: "{MAX_POINTS}", step: "1"', "LimitError", "11001 points are too many"),
        ('start: "0", end: "1795000000", step: "1ms"', "LimitError", "take a step of 2d or more, or a shorter range"),
    ],
)
async def test_a_bad_time_range_is_an_error_on_its_path(times: str, code: str, message: str) -> None:
    """A root field and each session have the error; no query is sent."""
    backend = CountedMetrics()
    answer = await Host(metrics=backend, inventory=inventory_of(2)).execute(
        f"""{{
            bad: utilization(querier: "container", selector: {{metric_name: "mem"}}, {times}) {{ partial }}
            compute_session_list {{ items {{ session_id utilization(metric_name: "mem", {times}) {{ partial }} }} }}
        }}"""
    )
    items = [{"session_id": session_id(number), "utilization": None} for number in range(2)]
    assert {"bad": None, "compute_session_list": {"items": items}} == answer.data
    paths = ["bad", *(f"compute_session_list.items.{number}.utilization" for number in range(2))]
    assert dict.fromkeys(paths, code) == answer.codes
    assert all(message in error["message"] for error in answer.errors)
    assert [] == backend.queries


async def test_as_many_points_as_a_server_gives_are_answered() -> None:
    """The limit itself is allowed."""
    times = f'start: "1", end: "{MAX_POINTS}", step: "1"'
    query = f'{{ utilization(querier: "container", selector: {{metric_name: "mem"}}, {times}) {{ partial }} }}'
    assert {"utilization": {"partial": False}} == await Host().execute_cleanly(query)


class Remarking(MemoryMetrics):
    """A backend that could not read all of its data."""

    async def query_utilization(
        self, querier: UtilizationMetricQuerier, time_range: QueryTimeRange, **options: Any
    ) -> MatrixResult:
        """Return nothing, with a warning."""
        del querier, time_range, options
        return MatrixResult(series=(), warnings=("a store is down",), infos=("slow",), partial=True)


async def test_warnings_of_the_backend_are_answered() -> None:
    """A partial answer is marked as partial."""
    fields = "{ series { labels } warnings infos partial }"
    query = f'{{ utilization(querier: "container", selector: {{metric_name: "mem"}}, {TIMES}) {fields} }}'
    expected = {"series": [], "warnings": ["a store is down"], "infos": ["slow"], "partial": True}
    assert {"utilization": expected} == await Host(metrics=Remarking()).execute_cleanly(query)


async def test_an_answer_has_the_query_that_is_sent_for_it_alone() -> None:
    """It is the text of the backend, with the window of the request, whatever shares the request."""
    host, window = Host(metrics=metrics(), inventory=inventory_of(2)), "2m"
    times = TIMES.replace("60", "90")
    answer = await host.execute(
        f"""{{
            utilization(querier: "container", selector: {{metric_name: "cpu_util", agent_id: "i"}}, {times}) {{ promql }}
            compute_session_list {{ items {{ utilization(metric_name: "mem", value_type: "pct", {times}) {{ promql }} }} }}
        }}""",
        context=attrs.evolve(host.context(), rate_interval=window),
    )
    queriers = [
        ContainerMetricQuerier(metric_name="cpu_util", value_type="current", agent_id="i"),
        *(
            ContainerMetricQuerier(metric_name="mem", value_type="pct", session_id=session_id(number))
            for number in range(2)
        ),
    ]
    sessions = (item["utilization"] for item in answer.data["compute_session_list"]["items"])
    expected = [utilization_text(querier, rate_interval=window) for querier in queriers]
    assert expected == [utilization["promql"] for utilization in (answer.data["utilization"], *sessions)]


async def test_one_query_has_the_answer_its_unit_and_its_text(nodes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method of a plugin's querier is called once; the backend writes the text only where it is selected."""
    calls: list[str] = []

    def counting(name: str, method: Any) -> Any:
        def count(querier: Any) -> Any:
            calls.append(name)
            return method(querier)

        return count

    methods = ["name", "labels", "group_by_labels", "query_strategy"]
    for name in methods:
        monkeypatch.setattr(nodes.NodeMetricQuerier, name, counting(name, getattr(nodes.NodeMetricQuerier, name)))

    class Writing(MemoryMetrics):
        def utilization_text(self, *arguments: Any, **options: Any) -> str:
            calls.append("text")
            return super().utilization_text(*arguments, **options)

    for fields, expected in {"series { values } unit": methods, "promql unit": [*methods, "text"]}.items():
        calls.clear()
        query = f'{{ utilization(querier: "node", selector: {{metric_name: "load"}}, {TIMES}) {{ {fields} }} }}'
        await Host(metrics=Writing()).execute_cleanly(query)
        assert expected == calls


async def test_a_backend_need_not_have_a_text() -> None:
    """Then the answer has none."""

    class Textless:
        """A backend without text."""

        def __getattr__(self, name: str) -> Any:
            if name == "utilization_text":
                raise AttributeError(name)
            return getattr(backend, name)

    backend = metrics()
    query = f'{{ utilization(querier: "container", selector: {{metric_name: "mem"}}, {TIMES}) {{ promql }} }}'
    for port in (Textless(), ConfinedMetrics(cast("Any", Textless()), Scope.of(agent_id="i"))):
        assert {"utilization": {"promql": None}} == await Host(metrics=port).execute_cleanly(query)


async def test_a_confined_answer_has_a_query_with_the_matchers_of_its_scope() -> None:
    """Several alternatives are several queries, with `or` between."""
    scope = Scope.any_of([Scope.of(agent_id="i"), Scope.of(project_id=session_id(1))])
    selector = f'{{metric_name: "mem", kernel_id: "{kernel_id(0)}"}}'
    query = f'{{ utilization(querier: "container", selector: {selector}, {TIMES}) {{ promql }} }}'
    data = await Host(metrics=ConfinedMetrics(metrics(), scope)).execute_cleanly(query)
    first, second = data["utilization"]["promql"].split(" or ")
    assert 'agent_id="i"' in first
    assert f'project_id="{session_id(1)}"' in second
    assert first.replace('agent_id="i"', "") == second.replace(f'project_id="{session_id(1)}"', "")


@pytest.mark.parametrize(
    ("querier", "selector", "expected"),
    [
        ("container", {"metric_name": "mem"}, "bytes"),
        ("container", {"metric_name": "mem", "value_type": "pct"}, "percent"),
        ("container", {"metric_name": "net_rx"}, "bytes/s"),
        ("container", {"metric_name": "cpu_util", "value_type": "capacity"}, "millicores"),
        ("container", {"metric_name": "tpu_mem"}, "bytes"),
        ("container", {"metric_name": "unheard"}, None),
        ("node", {"metric_name": "load"}, None),
    ],
)
async def test_an_answer_has_a_unit_where_it_is_known(
    nodes: Any, querier: str, selector: dict[str, Any], expected: str | None
) -> None:
    """It is that of the kind, or what the name of an accelerator's metric says; percent of capacity is a percentage."""
    assert nodes
    field = f"utilization(querier: $kind, selector: $selector, {TIMES}) {{ unit }}"
    query = f"query ($kind: String!, $selector: JSON!) {{ {field} }}"
    assert {"utilization": {"unit": expected}} == await Host().execute_cleanly(query, kind=querier, selector=selector)


async def test_a_sessions_utilization_has_a_unit() -> None:
    """It is the unit of containers."""
    fields = f'mem: utilization(metric_name: "mem", {TIMES}) {{ unit }}'
    data = await Host(inventory=inventory_of(1)).execute_cleanly(f"{{ compute_session_list {{ items {{ {fields} }} }} }}")
    assert [{"mem": {"unit": "bytes"}}] == data["compute_session_list"]["items"]


async def test_kinds_of_querier_have_units() -> None:
    """They are listed by metric."""
    (container,) = (await Host().execute_cleanly("{ queriers { units { metric unit } } }"))["queriers"]
    assert dict(UNITS) == {unit["metric"]: unit["unit"] for unit in container["units"]}
