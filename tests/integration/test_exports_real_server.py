"""Exports on a real Prometheus: rules record what their expressions answer, and panels show what queriers answer."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.program import statcore
from tests.support.grafana import check_dashboard, interpolated, panels, texts, variables
from tests.support.polling import until

from statcore import ContainerMetricQuerier
from statcore.plugins import PluginRegistry
from statcore.plugins.builtin import statcore_queriers
from statcore.plugins.presets import PresetCatalog
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, UNKNOWN_OWNER
from statcore.scopes import Scope
from statcore.testing.metrics.dataset import HOSTILE_VALUES, PlantedSeries
from statcore.testing.metrics.openmetrics import openmetrics_text
from statcore.testing.servers import Program, Server, raw_query
from statcore_cli.exports.queries import exported_queries
from statcore_cli.exports.recording_rules import RecordingRules
from statcore_cli.exports.recording_rules import rules_file as rules_file_text
from statcore_prometheus import PrometheusClient

STEP_S: Final = 15
COUNT: Final = 61
PROJECTS: Final = [f"9f2c5b1e-7a64-4d3b-8c1f-{number:012d}" for number in range(2)]
KERNELS: Final = [f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(6)]
AGENTS: Final = ["i-1", "i.1+", "i(1|2)\\\\d"]
"""As regular expressions, the others would also match the first, or not match themselves."""
GROWTH: Final = {"cpu_util": 250.0, "mem": 0.0, "net_rx": 4096.0}
"""By metric, how much the values of the first kernel grow from sample to sample; those of the second twice as much."""


PRESET: Final = f"""
[presets.used]
description = "Memory in use"
template = 'sum by (${{{{ group_by }}}})({CONTAINER_SERIES}{{{CONTAINER_METRIC_LABEL}="mem",${{{{ labels }}}}}})'
filter_labels = ["agent_id", "kernel_id"]
group_labels = ["project_id", "agent_id", "kernel_id"]
"""


def planted(end_s: float) -> Iterator[PlantedSeries]:
    """Yield series of six kernels in two projects, on three agents."""
    times = [end_s - STEP_S * (COUNT - 1 - sample) for sample in range(COUNT)]
    for (number, kernel), (metric, growth) in product(enumerate(KERNELS, start=1), GROWTH.items()):
        labels = {
            CONTAINER_METRIC_LABEL: metric,
            "kernel_id": kernel,
            "session_id": kernel,
            "agent_id": AGENTS[number % 3],
            "user_id": PROJECTS[number % 2],
            "project_id": PROJECTS[number % 2],
        }
        current = [number * (1000.0 + growth * sample) for sample in range(COUNT)]
        for value_type, values in (("current", current), ("capacity", [8000.0] * COUNT)):
            yield PlantedSeries(
                CONTAINER_SERIES, {**labels, "value_type": value_type}, list(zip(times, values, strict=True))
            )


@pytest.fixture(scope="module")
def end_s() -> int:
    """The time of the newest samples, in unix seconds: now."""
    return int(time.time())


@pytest.fixture(scope="module")
def server(prometheus_holding: Callable[..., AbstractContextManager[Server]], end_s: int) -> Iterator[Server]:
    """A Prometheus with the planted series."""
    with prometheus_holding(openmetrics_text(planted(end_s))) as server:
        yield server


@pytest.fixture(params=[(), ("--scope", f"project_id={PROJECTS[0]}")], ids=["everything", "project"])
def scope(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options of everything, and of one project."""
    options: tuple[str, ...] = request.param
    return options


@pytest.fixture
def rules_file(tmp_path: Path, scope: tuple[str, ...]) -> Path:
    """The file that `statcore rules` writes."""
    file = tmp_path / "statcore.rules.yml"
    done = statcore("rules", "--output", str(file), *scope)
    assert 0 == done.returncode, done.stderr
    return file


@pytest.fixture
def rules(rules_file: Path) -> dict[str, str]:
    """The expression of each rule by the name of its series."""
    found = re.findall(r'- record: "(.*)"\n +expr: (".*")', rules_file.read_text())
    return {name: json.loads(text) for name, text in found}


def test_promtool_accepts_the_rules(prometheus_program: Program, rules_file: Path, rules: Mapping[str, str]) -> None:
    """It reads the file as Prometheus does, and finds each rule."""
    promtool = shutil.which("promtool", path=Path(prometheus_program.path).parent)
    assert promtool
    command = [promtool, "check", "rules", str(rules_file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == checked.returncode, checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout


async def test_recorded_series_equal_the_expressions(
    prometheus_holding: Callable[..., AbstractContextManager[Server]],
    rules_file: Path,
    rules: Mapping[str, str],
    scope: tuple[str, ...],
) -> None:
    """Each recorded sample is what the expression answers at that instant; no series of another project is recorded."""
    expected = {name for name in rules if re.search("_(cpu_util|mem|net_rx)_", name)}
    text = openmetrics_text(planted(int(time.time())))  # a rule is evaluated at the server's own time
    with prometheus_holding(text, rule_files=[rules_file]) as server:

        def recorded() -> dict[str, list[dict[str, Any]]]:
            return {name: raw_query(server, f"{name}[10m]", time.time()) for name in rules}

        await until(lambda: expected <= {name for name, series in recorded().items() if series}, "the rules to record")
        answers = recorded()
        for name, series in answers.items():
            for labels, samples in ((item["metric"], item["values"]) for item in series):
                at, value = samples[0]
                answer = {
                    frozenset(item["metric"].items()): item["value"][1] for item in raw_query(server, rules[name], at)
                }
                assert value == answer[frozenset(labels.items() - {("__name__", name)})]
                assert not scope or PROJECTS[0] == labels["project_id"]
    assert expected == {name for name, series in answers.items() if series}
    kernels = {item["metric"]["kernel_id"] for name, series in answers.items() if "kernel" in name for item in series}
    assert set(KERNELS[1::2] if scope else KERNELS) == kernels


async def test_any_text_may_be_in_a_scope(
    prometheus_holding: Callable[..., AbstractContextManager[Server]], tmp_path: Path
) -> None:
    """The file has it in quotes within quotes; the rules select exactly these agents."""
    # Prometheus writes the expression of a rule anew and reads it again, and cannot read U+FFFD as it writes it.
    agents = [text for text in HOSTILE_VALUES if text not in (UNKNOWN_OWNER, "\ufffd")]
    end_s = int(time.time())  # not that of the module: a rule is evaluated at the server's own time
    times = [end_s - STEP_S * (COUNT - 1 - sample) for sample in range(COUNT)]
    labels = {CONTAINER_METRIC_LABEL: "net_rx", "value_type": "current"}
    text = openmetrics_text(
        PlantedSeries(CONTAINER_SERIES, {**labels, "agent_id": agent}, [(time, time) for time in times])
        for agent in [*agents, "another"]
    )
    (spec,) = statcore_queriers()
    (matchers,) = Scope.of(agent_id=agents).matchers
    queries = {"container": [query for query in exported_queries(spec, ["net_rx"]) if query.choices == ("current",)]}
    faults: list[object] = []
    rules = RecordingRules(
        queries=queries,
        matchers=matchers,
        rate_interval="5m",
        normalization_interval_s=1,
        on_fault=lambda *fault: faults.append(fault),
    )
    file = tmp_path / "hostile.rules.yml"
    await asyncio.to_thread(file.write_text, rules_file_text(rules.by_kind()), encoding="utf-8")
    assert [] == faults
    record = "agent_id:container_net_rx_current:rate5m"
    with prometheus_holding(text, rule_files=[file]) as server:
        await until(lambda: bool(raw_query(server, record, time.time())), "the rule to record")
        assert {*agents} == {item["metric"]["agent_id"] for item in raw_query(server, record, time.time())}


@pytest.fixture(scope="module")
def dashboard(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The dashboard of what the server has, with a preset."""
    file = tmp_path_factory.mktemp("presets") / "presets.toml"
    file.write_text(PRESET)
    done = statcore("grafana", "--presets", str(file), metrics_url=server.url)
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    check_dashboard(found)
    return found


def text_of(dashboard: Mapping[str, Any], title: str) -> str:
    """Return the first query of the panel with a title."""
    return str(next(panel["targets"][0]["expr"] for panel in panels(dashboard) if panel["title"] == title))


def test_panels_are_of_the_metrics_that_exist(server: Server, dashboard: Mapping[str, Any], end_s: int) -> None:
    """Each of their queries has an answer if nothing is chosen: a series for each project."""
    assert {*GROWTH} == {panel["title"].split()[1] for panel in panels(dashboard) if panel["title"] != "used"}
    for text in texts(dashboard):
        assert 2 == len(raw_query(server, interpolated(text, dashboard), end_s))


def test_variables_have_the_values_of_their_labels(server: Server, dashboard: Mapping[str, Any]) -> None:
    """Grafana finds them with the selector and the label in their queries."""
    expected = {
        "kernel_id": KERNELS,
        "agent_id": AGENTS,
        "session_id": KERNELS,
        "user_id": PROJECTS,
        "project_id": PROJECTS,
    }
    found = {
        name.removeprefix("container_"): label_values(server, variable["definition"])
        for name, variable in variables(dashboard).items()
        if variable["type"] == "query" and name.startswith("container_")
    }
    assert {label: {*values} for label, values in expected.items()} == found


def label_values(server: Server, definition: str) -> set[str]:
    """Return what the API answers for `label_values(selector, label)`."""
    selector, _, label = definition.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    query = urllib.parse.urlencode({"match[]": selector})
    url = f"{server.url}/api/v1/label/{label}/values?{query}"
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - a server of the test's own
        return {*json.load(answer)["data"]}


@pytest.mark.parametrize(
    ("title", "metric", "value_type"),
    [
        ("container cpu_util (millicores)", "cpu_util", "current"),
        ("container cpu_util (percent)", "cpu_util", "pct"),
        ("container mem (bytes)", "mem", "current"),
        ("container mem (percent)", "mem", "pct"),
        ("container net_rx (bytes/s)", "net_rx", "current"),
    ],
)
async def test_a_panel_shows_what_the_querier_answers(
    server: Server, dashboard: Mapping[str, Any], end_s: int, title: str, metric: str, value_type: Any
) -> None:
    """For each value of each label, chosen alone and grouped by: the labels and values are those of the querier."""
    text = text_of(dashboard, title)
    chosen = [
        *(("agent_id", agent) for agent in AGENTS),
        *((label, kernel) for label in ("kernel_id", "session_id") for kernel in KERNELS),
        *((label, project) for label in ("user_id", "project_id") for project in PROJECTS),
    ]
    async with aclosing(PrometheusClient(server.url)) as client:
        for label, value in chosen:
            sent = interpolated(text, dashboard, {f"container_{label}": [value], "container_group_by": [label]})
            (shown,) = raw_query(server, sent, end_s)
            querier = ContainerMetricQuerier(metric_name=metric, value_type=value_type, **{label: value})
            (sample,) = (await client.query_utilization_now(querier, time=datetime.fromtimestamp(end_s, UTC))).samples
            assert (dict(sample.labels), sample.value) == (shown["metric"], float(shown["value"][1]))
            assert value == shown["metric"][label]


def test_several_chosen_values_are_alternatives(server: Server, dashboard: Mapping[str, Any], end_s: int) -> None:
    """Grafana joins them in a regular expression, which matches no other value."""
    chosen = {"container_agent_id": AGENTS[1:], "container_group_by": ["agent_id", "project_id"]}

    shown = raw_query(server, interpolated(text_of(dashboard, "container mem (bytes)"), dashboard, chosen), end_s)

    assert {(agent, project) for agent in AGENTS[1:] for project in PROJECTS} == {
        (item["metric"]["agent_id"], item["metric"]["project_id"]) for item in shown
    }


def test_a_panel_of_a_preset_is_filtered_and_grouped(server: Server, dashboard: Mapping[str, Any], end_s: int) -> None:
    """It answers what `statcore preset run` sends with the same labels."""
    chosen = {"preset_agent_id": [AGENTS[1]], "preset_used_group_by": ["agent_id", "kernel_id"]}

    shown = raw_query(server, interpolated(text_of(dashboard, "used"), dashboard, chosen), end_s)

    preset = PresetCatalog.read(PluginRegistry.discover(), {"presets.toml": PRESET}).presets["used"]
    promql = preset.promql(labels={"agent_id": AGENTS[1]}, group_labels=["agent_id", "kernel_id"])
    assert raw_query(server, promql, end_s) == shown
    assert {AGENTS[1]} == {item["metric"]["agent_id"] for item in shown}
