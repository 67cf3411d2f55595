"""`statcore grafana` and `statcore rules`: what they write for kinds, presets and scopes, without a server."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
from click.testing import Result
from tests.support.grafana import check_dashboard, interpolated, panels, texts, variables
from tests.unit.cli.conftest import ID_1, ID_2, Invoke

PRESETS: Final = """
[presets.busy]
description = "Work done"
template = "sum by (${{ group_by }})(rate(x_total{${{ labels }}}[${{ window }}]))"
filter_labels = ["kernel_id", "agent_id"]
group_labels = ["agent_id"]
window = "1h"
[presets.everything]
description = "What is up"
template = "up"
"""
PUMPS: Final = """
from typing import Literal
import attrs
from statcore.errors import InputError
from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1

@attrs.frozen(kw_only=True)
class Pump(UtilizationMetricQuerier):
    hall: str
    side: Literal["left", "right"]
    pump: str | None = None
    depth: int | None = None
    share: float | None = None
    def __attrs_post_init__(self):
        if self.side == "right" or self.depth is not None: raise InputError("no such pump")
    def name(self): return "pump_flow"
    def labels(self):
        labels = {"hall": self.hall, "side": self.side, "pump": self.pump}
        return {name: value for name, value in labels.items() if value is not None}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.GAUGE

@hookimpl
def statcore_queriers():
    pump = QuerierSpec(name="pump", summary="pumps", querier=Pump, example={"hall": "h1"})
    return [pump, attrs.evolve(pump, name="dry-pump", example=None)]
"""
FANS: Final = """
from datetime import timedelta
from typing import Literal
import attrs
from statcore.model import parse_duration
from statcore.plugins import QuerierSpec, hookimpl
from statcore.promql import Aggregation, Call, HistogramQuantile, RangeSelector, Selector
from statcore.queriers import UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1

def rate(query, window):
    return Aggregation("sum", Call("rate", RangeSelector(Selector(query.name, query.matchers), window)), query.group_by)

def doubled(query, window):
    return rate(query, parse_duration(window) * 2)

def slow(query, window):
    turns = Call("rate", RangeSelector(Selector(query.name, query.matchers), window))
    return HistogramQuantile(0.95, Aggregation("sum", turns, (*query.group_by, "le")))

def mean(query, window):
    means = Call("avg_over_time", RangeSelector(Selector(query.name, query.matchers), "1h"))
    return Aggregation("avg", means, query.group_by)

def raising(query, window):
    raise ZeroDivisionError("no fan")

def wider(query, window):
    return Selector(query.name)

@attrs.frozen(kw_only=True)
class Fan(UtilizationMetricQuerier):
    metric_name: Literal["rate", "doubled", "slow", "mean", "raising", "wider"]
    fan: str | None = None
    def name(self): return "fan_turns"
    def labels(self): return {"metric": self.metric_name} | ({"fan": self.fan} if self.fan else {})
    def group_by_labels(self): return []
    def query_strategy(self): return globals()[self.metric_name]

@hookimpl
def statcore_queriers():
    return [QuerierSpec(name="fan", summary="fans", querier=Fan)]
"""
"""A kind with two metrics whose strategies break their contract, and one whose strategy calculates with the window."""
LIFTS: Final = """
from typing import Literal
import attrs
from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1

@attrs.frozen(kw_only=True)
class Lift(UtilizationMetricQuerier):
    metric_name: Literal["a.b", "a_b"]
    east_wing: str | None = None
    def name(self): return "lift_trips"
    def labels(self): return {"metric": self.metric_name} | ({"east_wing": self.east_wing} if self.east_wing else {})
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.RATE

@attrs.frozen(kw_only=True)
class EastLift(UtilizationMetricQuerier):
    wing: str | None = None
    group_by: str | None = None
    def name(self): return "east_lift_trips"
    def labels(self):
        return {name: value for name, value in {"wing": self.wing, "group_by": self.group_by}.items() if value is not None}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.RATE

@hookimpl
def statcore_queriers():
    return [
        QuerierSpec(name="lift", summary="lifts", querier=Lift),
        QuerierSpec(name="lift-east", summary="lifts of the east", querier=EastLift),
        QuerierSpec(name="preset", summary="the same again", querier=EastLift),
    ]
"""
"""Kinds whose labels and metrics have equal names once other characters than letters and digits are underscores."""
ALONE: Final = {"STATCORE_METRICS_URL": "", "STATCORE_DISABLE_PLUGINS": "fake"}
"""The environment without a backend and without kinds of plugins."""


def read(result: Result, *, exit_code: int = 0, literal: Collection[str] = ()) -> dict[str, Any]:
    """Return the dashboard that a command printed, after checking it."""
    assert exit_code == result.exit_code, result.output
    dashboard: dict[str, Any] = json.loads(result.stdout)
    check_dashboard(dashboard, literal=literal)
    return dashboard


@pytest.fixture
def presets(tmp_path: Path) -> str:
    """A file with a preset that can be confined, and one that cannot."""
    file = tmp_path / "presets.toml"
    file.write_text(PRESETS)
    return str(file)


class TestGrafana:
    """`statcore grafana`."""

    def test_a_kind_has_a_panel_for_each_metric_and_unit(self, statcore: Invoke) -> None:
        """Values of one unit share a panel; percent of capacity has a panel of its own, but not without a bound."""
        dashboard = read(statcore("grafana", env=ALONE))

        units = {panel["title"]: panel["fieldConfig"]["defaults"]["unit"] for panel in panels(dashboard)}
        assert {
            "container cpu_util (millicores)": "suffix:millicores",
            "container cpu_util (percent)": "percent",
            "container cpu_used (ms)": "ms",
            "container mem (bytes)": "bytes",
            "container mem (percent)": "percent",
            "container io_read (bytes)": "bytes",
            "container io_write (bytes)": "bytes",
            "container io_scratch_size (bytes)": "bytes",
            "container io_scratch_size (percent)": "percent",
            "container net_rx (bytes/s)": "binBps",
            "container net_tx (bytes/s)": "binBps",
        } == units
        counts = {panel["title"]: len(panel["targets"]) for panel in panels(dashboard)}
        assert (2, 1) == (counts["container mem (bytes)"], counts["container net_rx (bytes/s)"])

    def test_variables_are_the_labels_that_a_kind_is_filtered_by(self, statcore: Invoke) -> None:
        """Each has the values of its label; a kind that groups by no owner lets the user choose."""
        dashboard = read(statcore("grafana", env=ALONE))

        owners = ["kernel_id", "agent_id", "session_id", "user_id", "project_id"]
        names = [f"container_{owner}" for owner in owners]
        assert ["datasource", *names, "container_group_by"] == list(variables(dashboard))
        assert {f"container_{owner}": f"label_values(backendai_container_utilization, {owner})" for owner in owners} == {
            name: variables(dashboard)[name]["definition"] for name in names
        }
        for text in texts(dashboard):
            assert {*names, "container_group_by", "__rate_interval"} >= set(re.findall(r"\$\{?(\w+)", text))
            assert all(f'{owner}=~"$container_{owner}"' in text for owner in owners)

    def test_a_user_may_group_by_nothing(self, statcore: Invoke) -> None:
        """The query remains valid if no label is chosen."""
        dashboard = read(statcore("grafana", env=ALONE))

        sent = [interpolated(text.replace("${container_group_by:csv}", ""), dashboard) for text in texts(dashboard)]
        assert all(map(promql_parser.parse, sent))

    def test_the_metrics_of_a_configured_backend_are_shown(self, statcore: Invoke, fake: Any) -> None:
        """The name of an accelerator's metric says its unit; a kind is left out if none of its metrics is known."""
        fake.Backend.label_values = _listing({"backendai_container_utilization": ["cuda_mem", "mem"]})

        result = statcore("grafana")

        units = {panel["title"]: panel["fieldConfig"]["defaults"]["unit"] for panel in panels(read(result))}
        assert "bytes" == units["container cuda_mem (bytes)"]
        assert "container net_rx (bytes/s)" not in units
        assert "node is left out: none of its metrics is known" in result.stderr

    def test_presets_have_variables_for_their_labels(self, statcore: Invoke, presets: str) -> None:
        """The window is the preset's own."""
        dashboard = read(statcore("grafana", "--presets", presets))

        labels = 'kernel_id=~"$preset_kernel_id",agent_id=~"$preset_agent_id"'
        filled_in = f"sum by (${{preset_busy_group_by:csv}})(rate(x_total{{{labels}}}[1h]))"
        assert {filled_in, "up"} <= set(texts(dashboard))
        assert "label_values(kernel_id)" == variables(dashboard)["preset_kernel_id"]["definition"]
        assert ["agent_id"] == variables(dashboard)["preset_busy_group_by"]["current"]["value"]

    def test_a_scope_is_in_every_query(self, statcore: Invoke, presets: str) -> None:
        """A preset that cannot be confined is left out; the values of variables are confined, too."""
        scope = ("--scope", f"project_id={ID_1}", "--scope", f"project_id={ID_2}", "--scope", "agent_id=i-1")

        result = statcore("grafana", "--presets", presets, *scope)

        dashboard = read(result)
        matcher = rf'project_id=~"{ID_1}|{ID_2}"'
        sent = texts(dashboard) + [
            variable["definition"] for variable in variables(dashboard).values() if variable["type"] == "query"
        ]
        assert any("x_total" in text for text in sent)
        for text in sent:
            selectors = re.findall(r"(?<!\$)\{[^}]*\}", text)
            assert selectors
            assert all(matcher in selector and 'agent_id="i-1"' in selector for selector in selectors), text
        assert "the preset everything is left out" in result.stderr
        assert dashboard["uid"] != read(statcore("grafana"))["uid"]

    def test_a_value_of_the_scope_cannot_become_a_variable(self, statcore: Invoke) -> None:
        """Grafana would replace these names by what the reader of a dashboard chooses."""
        agent = "$container_agent_id ${container_agent_id} [[container_agent_id]]"

        dashboard = read(statcore("grafana", "--scope", f"agent_id={agent}", env=ALONE))

        escaped = agent.replace("$", r"\x24").replace("[[", r"[\x5b")
        assert texts(dashboard)
        assert all(f'agent_id="{escaped}"' in text for text in texts(dashboard))

    @pytest.mark.parametrize("scope", ["project_id", "project_id=p", "rack=r1", "agent_id="])
    def test_a_wrong_scope_is_refused(self, statcore: Invoke, scope: str) -> None:
        """Nothing is written."""
        result = statcore("grafana", "--scope", scope)

        assert (2, "") == (result.exit_code, result.stdout)
        assert "--scope" in result.stderr

    def test_it_writes_a_file(self, statcore: Invoke, tmp_path: Path) -> None:
        """Standard output is empty then; a file that cannot be written is an error."""
        file = tmp_path / "dashboard.json"

        written = statcore("grafana", "--output", str(file))
        refused = statcore("grafana", "--output", str(tmp_path / "nowhere" / "dashboard.json"))

        assert (0, "") == (written.exit_code, written.stdout)
        check_dashboard(json.loads(file.read_text()))
        assert 2 == refused.exit_code

    @pytest.mark.usefixtures("faulty")
    def test_a_kind_whose_fields_cannot_be_read_is_left_out(self, statcore: Invoke) -> None:
        """The others are shown, and a kind without metric names has one panel."""
        result = statcore("grafana", env={"STATCORE_METRICS_URL": ""})

        titles = [panel["title"] for panel in panels(read(result, exit_code=1))]
        assert {"twin", "rack", "container mem (bytes)"} < {*titles}
        assert "unreadable is left out: the fields of" in result.stderr

    def test_a_required_field_needs_an_example(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """Its value in the example is used; without an example the kind is left out."""
        install("acme-pumps", pumps=PUMPS)

        result = statcore("grafana", env=ALONE)

        dashboard = read(result)
        selector = 'pump_flow{hall="h1",side="left",pump=~"$pump_pump"}'
        assert f"sum by (${{pump_group_by:csv}})({selector})" in texts(dashboard)
        assert ["pump_pump", "pump_group_by"] == [name for name in variables(dashboard) if name.startswith("pump")]
        assert "dry-pump is left out: it needs hall" in result.stderr

    def test_a_query_that_cannot_be_written_is_left_out(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """The others are written, and the command fails in the end."""
        install("acme-fans", fans=FANS)

        result = statcore("grafana", env=ALONE)

        titles = [panel["title"] for panel in panels(read(result, exit_code=1))]
        assert ["fan rate", "fan slow", "fan mean"] == [title for title in titles if title.startswith("fan")]
        assert "container mem (bytes)" in titles
        for name in ("doubled", "raising", "wider"):
            assert f"statcore: fan {name} is left out: " in result.stderr
        assert "no fan" in result.stderr

    def test_a_broken_plugin_is_a_fault(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """Its kinds are missing; the others are written, and the command fails in the end."""
        install("acme-broken", bad="1 / 0")

        assert "container mem (bytes)" in [
            panel["title"] for panel in panels(read(statcore("grafana", env=ALONE), exit_code=1))
        ]
        assert 1 == statcore("rules", env=ALONE).exit_code

    def test_a_broken_preset_is_left_out(self, statcore: Invoke, tmp_path: Path) -> None:
        """The others are written, and the command fails in the end."""
        file = tmp_path / "presets.toml"
        file.write_text(PRESETS.replace('template = "up"', 'template = "up{"'))

        result = statcore("grafana", "--presets", str(file), env=ALONE)

        titles = [panel["title"] for panel in panels(read(result, exit_code=1))]
        assert ("busy" in titles, "everything" in titles) == (True, False)
        assert "the preset everything is left out: " in result.stderr

    def test_presets_need_an_extra(self, statcore: Invoke, presets: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without the extra, kinds are written, and a file of presets is an error."""
        monkeypatch.setitem(sys.modules, "promql_parser", None)

        without = statcore("grafana", env=ALONE)
        result = statcore("grafana", "--presets", presets, env=ALONE)

        assert ["container"] == [panel["title"] for panel in json.loads(without.stdout)["panels"] if panel["type"] == "row"]
        assert (1, "") == (result.exit_code, result.stdout)
        assert "pip install 'statcore[presets]'" in result.stderr

    def test_each_variable_has_a_name_of_its_own(
        self, statcore: Invoke, install: Callable[..., Path], tmp_path: Path
    ) -> None:
        """Names stay apart although their characters are replaced, and from the words of presets, which are not escaped."""
        install("acme-lifts", lifts=LIFTS)
        file = tmp_path / "presets.toml"
        file.write_text(
            PRESETS.replace('"kernel_id", "agent_id"', '"wing", "lift_group_by", "busy_group_by"').replace(
                'template = "up"', """template = 'label_replace(up, "a", "$lift_east_wing $1", "b", "(.*)")'"""
            )
        )

        dashboard = read(statcore("grafana", "--presets", str(file), env=ALONE), literal=["lift_east_wing"])

        found = variables(dashboard)
        assert 2 == sum(name.startswith("lift_east_wing") for name in found)
        assert 2 == sum(name.startswith("lift_east_group_by") for name in found)
        assert 2 == sum(name.startswith("preset_wing") for name in found)
        assert 2 == sum(name.startswith("preset_busy_group_by") for name in found)

    def test_labels_to_group_by_are_quoted(self, statcore: Invoke, tmp_path: Path) -> None:
        """A label with other characters than letters, digits and underscores is PromQL only in quotes."""
        file = tmp_path / "presets.toml"
        file.write_text(PRESETS.replace('group_labels = ["agent_id"]', 'group_labels = ["a.b,c", "agent_id"]'))

        dashboard = read(statcore("grafana", "--presets", str(file), env=ALONE))

        variable = variables(dashboard)["preset_busy_group_by"]
        assert ['"a.b,c"', "agent_id"] == [option["value"] for option in variable["options"]]
        assert r'"a.b\,c",agent_id' == variable["query"]
        assert 'sum by ("a.b,c")' in "".join(interpolated(text, dashboard) for text in texts(dashboard))

    def test_a_broken_backend_is_an_error(self, statcore: Invoke) -> None:
        """Without the backend's list, metrics would be missing."""
        result = statcore("grafana", "--metrics-url", "down:")

        assert (1, "") == (result.exit_code, result.stdout)


class TestRules:
    """`statcore rules`."""

    def test_heavy_queries_have_a_rule_for_each_owner(self, statcore: Invoke) -> None:
        """Sums of gauges are no heavy queries."""
        result = statcore("rules", env=ALONE)

        names = re.findall(r'record: "(.*)"', result.stdout)
        owners = ["kernel_id", "agent_id", "session_id", "user_id", "project_id"]
        computed = [
            "container_cpu_util_current:rate5m",
            "container_cpu_util_pct:percent_rate5m",
            "container_mem_pct:percent",
            "container_io_scratch_size_pct:percent",
            "container_net_rx_current:rate5m",
            "container_net_tx_current:rate5m",
        ]
        assert [f"{owner}:{what}" for what in computed for owner in owners] == names

    def test_the_labels_of_the_scope_are_kept(self, statcore: Invoke) -> None:
        """Every rule selects the scope, and its series can be confined to it."""
        result = statcore("rules", "--scope", f"project_id={ID_1}", "--rate-interval", "2m", env=ALONE)

        lines = [line for line in result.stdout.splitlines() if "expr:" in line]
        assert lines
        for line in lines:
            assert all(f'project_id=\\"{ID_1}\\"' in selector for selector in re.findall(r"\{.*?\}", line))
            assert all("project_id" in labels for labels in re.findall(r"by \((.*?)\)", line))
        assert 'record: "agent_id_project_id:container_cpu_util_current:rate2m"' in result.stdout

    def test_a_scope_of_several_labels_has_each_rule_once(self, statcore: Invoke) -> None:
        """Two levels with the same labels are one rule, and no fault."""
        scope = ("--scope", f"project_id={ID_1}", "--scope", "agent_id=i-1")
        result = statcore("rules", *scope, env=ALONE)

        names = re.findall(r'record: "(.*):container_mem_pct:percent"', result.stdout)
        others = ["kernel_id_project_id", "project_id", "project_id_session_id", "project_id_user_id"]
        assert [f"agent_id_{labels}" for labels in others] == names
        assert (0, "") == (result.exit_code, result.stderr)

    def test_rules_that_cannot_be_written_are_left_out(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """Each name is recorded once; the other rules are written, and the command fails in the end."""
        install("acme-fans", fans=FANS)
        install("acme-lifts", lifts=LIFTS)

        result = statcore("rules", env=ALONE)

        names = re.findall(r'record: "(.*)"', result.stdout)
        assert (1, len(names)) == (result.exit_code, len(set(names)))
        assert {
            "fan:fan_rate:rate5m",
            "fan:fan_doubled:rate10m",
            "fan:fan_slow:quantile0_95_rate5m",
            "fan:fan_mean:avg_avg_over_time1h",
        } == {name for name in names if name.startswith("fan")}
        assert "east_wing:lift_a_b:rate5m of lift a_b is left out: a rule of lift a.b has the same name" in result.stderr
        for name in ("raising", "wider"):
            assert f"statcore: fan {name} is left out: " in result.stderr

    def test_a_kind_without_heavy_queries_has_no_group(self, statcore: Invoke, fake: Any) -> None:
        """The file is valid nevertheless."""
        fake.Backend.label_values = _listing({})

        assert "groups: []\n" == statcore("rules").stdout


def _listing(values: dict[str, list[str]]) -> Callable[..., Any]:
    async def label_values(_: object, __: str, *, match: Any, **___: object) -> list[str]:
        return values.get(match.name, [])

    return label_values
