"""What tests know of Grafana: the form of a dashboard, what makes it work, and how variables are replaced in a query."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import jsonschema
import promql_parser

DATASOURCE: Final = {"const": {"type": "prometheus", "uid": "${datasource}"}}
WHOLE: Final = {"type": "integer", "minimum": 0}
TEXT: Final = {"type": "string", "minLength": 1}
UNITS: Final = {"short", "percent", "bytes", "binBps", "s", "ms", "reqps", "pps"}
"""Names of units that Grafana knows, besides `suffix:` and a text."""


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
NAME: Final = {"type": "string", "pattern": "^(?!__)[A-Za-z0-9_]+$"}
VARIABLES: Final = [
    record(
        {
            "name": {"const": "datasource"},
            "label": TEXT,
            "type": {"const": "datasource"},
            "query": {"const": "prometheus"},
            "current": {"const": {}},
        }
    ),
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
_VARIABLE: Final = re.compile(r"\$(\w+)|\[\[(\w+)\]\]|\$\{(\w+)(?::(\w+))?\}")


def check_dashboard(dashboard: Mapping[str, Any], *, literal: Collection[str] = ()) -> None:
    """Check the form of a dashboard, and what a schema cannot say.

    Args:
        dashboard: the dashboard.
        literal: words after a dollar sign that are no variables, and stay as they are.
    """
    jsonschema.validate(dashboard, SCHEMA)
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    every = [*rows, *panels(dashboard)]
    assert len(every) == len({panel["id"] for panel in every})
    cells = Counter(cell for panel in every for cell in _cells(panel["gridPos"]))
    assert {1} >= {*cells.values()}
    assert all(x < 24 for x, _ in cells)
    assert [False, *[True] * (len(rows) - 1)][: len(rows)] == [row["collapsed"] for row in rows]
    known = variables(dashboard)
    assert len(known) == len(dashboard["templating"]["list"])
    used: set[str] = set()
    for panel in panels(dashboard):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in UNITS or re.fullmatch(r"suffix:\S.*", unit)
        assert [f"Q{number}" for number in range(1, len(panel["targets"]) + 1)] == [
            target["refId"] for target in panel["targets"]
        ]
        for target in panel["targets"]:
            used |= set(_variables_in(target["expr"]))
            promql_parser.parse(interpolated(target["expr"], dashboard))
    assert {*known} - {"datasource"} == used - {"__rate_interval", *literal}
    assert not {*known}.intersection(literal)


def _cells(place: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, also those of closed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def texts(dashboard: Mapping[str, Any]) -> list[str]:
    """Return the queries of all panels."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def variables(dashboard: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def interpolated(text: str, dashboard: Mapping[str, Any], chosen: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the text of a query as Grafana sends it.

    Args:
        text: the text of a panel.
        dashboard: its dashboard, whose variables have the values that are current in it.
        chosen: by variable, the values that a user has chosen instead.
    """
    known = variables(dashboard)

    def replacement(found: re.Match[str]) -> str:
        name, form = found[1] or found[2] or found[3], found[4]
        if name == "__rate_interval":
            return "5m"
        if name not in known:
            return found[0]
        values = list((chosen or {}).get(name) or known[name]["current"]["value"])
        if values == ["$__all"]:
            return str(known[name]["allValue"])
        if form == "csv":
            return ",".join(values)
        escaped = [_escaped(value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    return _VARIABLE.sub(replacement, text)


def _variables_in(text: str) -> Iterator[str]:
    for found in _VARIABLE.finditer(text):
        name = found[1] or found[2] or found[3]
        if not name.isdecimal():  # otherwise the group of a regular expression
            yield name


def _escaped(value: str) -> str:
    """Return a value as Grafana writes it in a regular expression within a string of PromQL."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\" * 4))
