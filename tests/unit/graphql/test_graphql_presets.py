"""The presets, and what they answer."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from tests.support.graphql_host import Host

from statcore.errors import QueryRejectedError, UnavailableError
from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.plugins import Preset
from statcore.scopes import ConfinedMetrics, Scope
from statcore_memory import MemoryMetrics

PLUGIN = """
from statcore.plugins import Preset, hookimpl
STATCORE_PLUGIN_API = 1
@hookimpl
def statcore_presets():
    template = "sum by (${{ group_by }})(rate(x_total{${{ labels }}}[${{ window }}]))"
    return [
        Preset(name="busy", description="Work done", template=template,
               filter_labels=["kernel_id", "agent_id"], group_labels=["agent_id"], window="1h"),
        Preset(name="up", description="What is up", template="up"),
    ]
"""
NOW = 1_795_000_000
TIMES = f'start: "{NOW}", end: "{NOW + 60}", step: "30s"'
RANGE = QueryTimeRange(start=NOW, end=NOW + 60, step="30s")
GOOD = f'good: preset_result(name: "up", {TIMES}) {{ partial }}'


@attrs.frozen(kw_only=True)
class Backend(MemoryMetrics):
    """A backend that answers every text with the same series, and records the texts."""

    queries: list[tuple[str, QueryTimeRange]] = attrs.field(factory=list, init=False)
    at_once: list[int] = attrs.field(factory=lambda: [0, 0], init=False)
    errors: dict[str, Exception] = attrs.field(factory=dict)

    async def query(self, promql: str, /, *, time: Any = None) -> Any:
        """Fail, because no preset is sent as an instant query."""
        raise AssertionError((promql, time))

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Count the queries that run at once, and answer."""
        self.queries.append((promql, time_range))
        self.at_once[0] += 1
        self.at_once[1] = max(self.at_once)
        await asyncio.sleep(0)
        self.at_once[0] -= 1
        if error := next((error for word, error in self.errors.items() if word in promql), None):
            raise error
        series = Series(labels={"a": "b"}, timestamps=array("d", [NOW]), values=array("d", [0.5]))
        return MatrixResult(series=(series,), warnings=("w",), infos=("i",), partial=True)


@pytest.fixture(autouse=True)
def plugin(install: Callable[..., Path]) -> None:
    """Install a plugin with two presets."""
    install("acme-presets", presets=PLUGIN)


async def test_presets_are_listed() -> None:
    """The list has all that a client needs to fill one in; the window is null without a placeholder for it."""
    data = await Host().execute_cleanly("{ presets { name description filter_labels group_labels window template } }")
    busy = {
        "name": "busy",
        "description": "Work done",
        "filter_labels": ["kernel_id", "agent_id"],
        "group_labels": ["agent_id"],
        "window": "1h",
        "template": "sum by (${{ group_by }})(rate(x_total{${{ labels }}}[${{ window }}]))",
    }
    up = {"name": "up", "description": "What is up", "template": "up", "filter_labels": [], "group_labels": []}
    assert {"presets": [busy, {**up, "window": None}]} == data


async def test_arguments_of_a_preset_reach_the_query() -> None:
    """Labels are text or lists of text, in variables or in the query."""
    backend = Backend()
    data = await Host(metrics=backend).execute_cleanly(
        f"""query ($labels: JSON, $by: [String!]) {{
            one: preset_result(name: "busy", labels: $labels, group_labels: $by, window: "5m", {TIMES}) {{
                series {{ labels values }} warnings infos partial
            }}
            two: preset_result(name: "busy", labels: {{kernel_id: "k", agent_id: ["x"]}}, {TIMES}) {{ promql unit }}
            three: preset_result(name: "up", labels: null, group_labels: null, window: null, {TIMES}) {{ partial }}
        }}""",
        labels={"kernel_id": ["k.1", "k.2"]},
        by=["agent_id"],
    )
    series = {"labels": {"a": "b"}, "values": [[float(NOW), "0.5"]]}
    assert {"series": [series], "warnings": ["w"], "infos": ["i"], "partial": True} == data["one"]
    assert {"promql": 'sum by ()(rate(x_total{kernel_id="k",agent_id="x"}[1h]))', "unit": None} == data["two"]
    assert [
        (r'sum by (agent_id)(rate(x_total{kernel_id=~"k\\.1|k\\.2"}[5m]))', RANGE),
        ('sum by ()(rate(x_total{kernel_id="k",agent_id="x"}[1h]))', RANGE),
        ("up", RANGE),
    ] == backend.queries


async def test_an_instant_is_a_range_of_one_point() -> None:
    """It has one value for each series."""
    backend = Backend()
    arguments = f'labels: {{kernel_id: "k"}}, group_labels: ["agent_id"], window: "5m", time: "{NOW}"'
    data = await Host(metrics=backend).execute_cleanly(
        f'{{ busy: preset_result_at(name: "busy", {arguments}) {{ series {{ labels values }} }} }}'
    )
    assert {"series": [{"labels": {"a": "b"}, "values": [[float(NOW), "0.5"]]}]} == data["busy"]
    ((promql, time_range),) = backend.queries
    assert 'sum by (agent_id)(rate(x_total{kernel_id="k"}[5m]))' == promql
    assert (NOW, 1) == (time_range.start.timestamp(), time_range.points)


async def test_equal_queries_are_sent_once_and_their_number_at_once_is_limited() -> None:
    """Aliases do not matter; another range is another query."""
    backend = Backend()
    later = f'start: "{NOW + 1}", end: "{NOW + 60}", step: "30s"'
    fields = [
        f'f{n}: preset_result(name: "busy", labels: {{kernel_id: "{n % 10}"}}, {TIMES}) {{ partial }}' for n in range(20)
    ]
    await Host(metrics=backend).execute_cleanly(
        f'{{ {" ".join(fields)} later: preset_result(name: "busy", labels: {{kernel_id: "0"}}, {later}) {{ partial }} }}'
    )
    assert (11, 4) == (len(backend.queries), backend.at_once[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (f'name: "idle", {TIMES}', "there is no preset 'idle'; known are: busy, up"),
        (
            f'name: "busy", labels: {{user_id: "x"}}, {TIMES}',
            "cannot be filtered by 'user_id'; only by kernel_id, agent_id",
        ),
        (f'name: "busy", labels: ["kernel_id"], {TIMES}', "labels must be an object of texts or lists of texts, not list"),
        ('name: "up", start: "2026-11-22T10:00:00", end: "now", step: "1m"', "a time without a zone"),
        ('name: "up", start: "10", end: "20", step: "100ms"', "a step of 100ms is shorter than 1s"),
    ],
)
async def test_arguments_that_are_not_allowed_are_an_error_on_their_path(arguments: str, message: str) -> None:
    """It has the reason, and no query is sent; the other field is answered."""
    backend = Backend()
    answer = await Host(metrics=backend).execute(f"{{ bad: preset_result({arguments}) {{ partial }} {GOOD} }}")
    assert {"bad": None, "good": {"partial": True}} == answer.data
    assert {"bad": "InputError"} == answer.codes
    assert message in answer.errors[0]["message"]
    assert [("up", RANGE)] == backend.queries


async def test_a_failed_query_leaves_the_others() -> None:
    """The client gets the reason why its query was rejected."""
    backend = Backend(errors={'"k"': QueryRejectedError("the server's own words")})
    bad = f'bad: preset_result(name: "busy", labels: {{kernel_id: "k"}}, {TIMES}) {{ partial }}'
    answer = await Host(metrics=backend).execute(f"{{ {bad} {GOOD} }}")
    assert {"bad": None, "good": {"partial": True}} == answer.data
    assert {"bad": "QueryRejectedError"} == answer.codes


async def test_no_query_follows_an_unavailable_backend() -> None:
    """A request waits no longer than the few queries at once may take."""
    backend = Backend(errors={"x_total": UnavailableError("refused")})
    fields = [f'f{n}: preset_result(name: "busy", labels: {{kernel_id: "{n}"}}, {TIMES}) {{ partial }}' for n in range(30)]
    answer = await Host(metrics=backend).execute(f"{{ {' '.join(fields)} }}")
    assert dict.fromkeys([f"f{n}" for n in range(30)], "UnavailableError") == answer.codes
    assert 4 == len(backend.queries)


async def test_a_backend_without_promql_is_an_error_of_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets the message."""
    monkeypatch.delattr(MemoryMetrics, "query_range")
    answer = await Host().execute(f"{{ {GOOD} presets {{ name }} }}")
    assert ({"good": "UnsupportedError"}, 2) == (answer.codes, len(answer.data["presets"]))
    assert "the metric backend must evaluate PromQL; CountedMetrics does not" in answer.errors[0]["message"]


async def test_an_unknown_preset_may_belong_to_a_broken_plugin(install: Callable[..., Path]) -> None:
    """The client gets a general message."""
    install("acme-bad", bad="1 / 0")
    answer = await Host(metrics=Backend()).execute(f'{{ preset_result(name: "idle", {TIMES}) {{ partial }} }}')
    assert {"preset_result": "PluginError"} == answer.codes
    assert "acme" not in answer.errors[0]["message"]


async def test_a_host_may_have_other_presets() -> None:
    """The host passes presets, for example of its own files."""
    host, own = Host(metrics=Backend()), Preset(name="own", description="d", template="vector(1)")
    context = host.context()
    assert {"busy", "up"} == set(context.presets)

    answer = await host.execute(
        f'{{ presets {{ name }} preset_result(name: "own", {TIMES}) {{ partial }} {GOOD} }}',
        context=attrs.evolve(context, presets={"own": own}),
    )

    assert {"presets": [{"name": "own"}], "preset_result": {"partial": True}} == {
        field: answer.data[field] for field in ("presets", "preset_result")
    }
    assert {"good": "InputError"} == answer.codes


async def test_a_confined_preset_has_the_matchers_of_its_scope() -> None:
    """They are in the text that is answered, which is the text that is sent."""
    backend = Backend()
    metrics = ConfinedMetrics(backend, Scope.of(agent_id="i"))
    data = await Host(metrics=metrics).execute_cleanly(f'{{ preset_result(name: "busy", {TIMES}) {{ promql }} }}')
    sent = 'sum by ()(rate(x_total{agent_id="i"}[1h]))'
    assert {"preset_result": {"promql": sent}} == data
    assert [(sent, RANGE)] == backend.queries
