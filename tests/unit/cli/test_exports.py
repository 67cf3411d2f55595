"""`statcore grafana` and `statcore rules`: what they write for kinds, presets and scopes, without a server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from click.testing import Result
from tests.unit.cli.conftest import ID_1, ID_2, Invoke

DATASOURCE: Final = {"const": {"type": "prometheus", "uid": "${datasource}"}}
WHOLE: Final = {"type": "integer", "minimum": 0}
TEXT: Final = {"type": "string", "minLength": 1}


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


PLACE: Final = record({"x": {**WHOLE, "maximum": 23}, "y": WHOLE, "w": {**WHOLE, "maximum": 24}, "h": WHOLE})
TARGET: Final = record(
    {
        "refId": {"type": "string", "pattern": "^Q[0-9]+$"},
        "datasource": DATASOURCE,
        "editorMode": {"const": "code"},
        "expr": TEXT,
        "range": {"const": True},
        "legendFormat": TEXT,
    }
)
PANEL: Final = record(
    {
        "id": WHOLE,
        "type": {"const": "timeseries"},
        "title": TEXT,
        "description": {"type": "string"},
        "datasource": DATASOURCE,
        "fieldConfig": record({"defaults": record({"unit": TEXT}), "overrides": {"const": []}}),
        "options": {"type": "object"},
        "targets": {"type": "array", "items": TARGET, "minItems": 1},
        "gridPos": PLACE,
    }
)
ROW: Final = record(
    {
        "id": WHOLE,
        "type": {"const": "row"},
        "title": TEXT,
        "collapsed": {"type": "boolean"},
        "panels": {"type": "array", "items": PANEL},
        "gridPos": PLACE,
    }
)
CURRENT: Final = record({key: {"type": "array", "items": TEXT} for key in ("text", "value")})
NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9_]+$"}
VARIABLES: Final = [
    record({"name": {"const": "datasource"}, "label": TEXT, "type": {"const": "datasource"}, "query": TEXT}),
    record(
        {
            "name": NAME,
            "label": TEXT,
            "type": {"const": "query"},
            "datasource": DATASOURCE,
            "definition": {"type": "string", "pattern": r"^label_values\(.+\)$"},
            "query": record({"query": TEXT, "refId": TEXT}),
            "refresh": {"const": 2},
            "sort": {"const": 1},
            "multi": {"const": True},
            "includeAll": {"const": True},
            "allValue": {"const": ".*"},
            "current": CURRENT,
        }
    ),
    record(
        {
            "name": NAME,
            "label": TEXT,
            "type": {"const": "custom"},
            "query": TEXT,
            "options": {
                "type": "array",
                "items": record({"text": TEXT, "value": TEXT, "selected": {"type": "boolean"}}),
                "minItems": 1,
            },
            "multi": {"const": True},
            "includeAll": {"const": False},
            "current": CURRENT,
        }
    ),
]
SCHEMA: Final = record(
    {
        "uid": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
        "title": TEXT,
        "tags": {"type": "array", "items": TEXT},
        "schemaVersion": {"const": 42},
        "editable": {"type": "boolean"},
        "refresh": TEXT,
        "time": record({"from": TEXT, "to": TEXT}),
        "templating": record({"list": {"type": "array", "items": {"oneOf": VARIABLES}}}),
        "annotations": record({"list": {"type": "array"}}),
        "panels": {"type": "array", "items": {"oneOf": [PANEL, ROW]}},
    }
)
"""The parts of the classic model of dashboards that `statcore grafana` writes."""

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
ALONE: Final = {"STATCORE_METRICS_URL": "", "STATCORE_DISABLE_PLUGINS": "fake"}
"""The environment without a backend and without kinds of plugins."""


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, also those of closed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def texts(dashboard: dict[str, Any]) -> list[str]:
    """Return the queries of all panels."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def read(result: Result) -> dict[str, Any]:
    """Return the dashboard that a command printed, after checking its form."""
    assert 0 == result.exit_code, result.output
    dashboard: dict[str, Any] = json.loads(result.stdout)
    jsonschema.validate(dashboard, SCHEMA)
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
            "container cpu_util (millicores)": "suffix: millicores",
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

    def test_ids_and_places_are_distinct(self, statcore: Invoke, presets: str) -> None:
        """Panels do not overlap, and each has an id of its own."""
        dashboard = read(statcore("grafana", "--presets", presets))

        rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
        every = [*rows, *panels(dashboard)]
        assert len(every) == len({panel["id"] for panel in every})
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in every)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert [False, *[True] * (len(rows) - 1)] == [row["collapsed"] for row in rows]

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
        jsonschema.validate(json.loads(file.read_text()), SCHEMA)
        assert 2 == refused.exit_code

    @pytest.mark.usefixtures("faulty")
    def test_a_kind_whose_fields_cannot_be_read_is_left_out(self, statcore: Invoke) -> None:
        """The others are shown, and a kind without metric names has one panel."""
        result = statcore("grafana", env={"STATCORE_METRICS_URL": ""})

        titles = [panel["title"] for panel in panels(read(result))]
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
        assert "dry-pump is left out: the kind dry-pump needs hall" in result.stderr

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

    def test_a_kind_without_heavy_queries_has_no_group(self, statcore: Invoke, fake: Any) -> None:
        """The file is valid nevertheless."""
        fake.Backend.label_values = _listing({})

        assert "groups: []\n" == statcore("rules").stdout


def _listing(values: dict[str, list[str]]) -> Callable[..., Any]:
    async def label_values(_: object, __: str, *, match: Any, **___: object) -> list[str]:
        return values.get(match.name, [])

    return label_values
