"""The Grafana dashboard: the classic JSON model, with a row for each kind and one for the presets.

Grafana replaces variables, such as `$container_kernel_id`, in the text of a query. So each variable, and the window of
rates, is a mark while the text is written. Then a dollar sign in the text is escaped, and the marks become variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

import attrs

from statcore.model.time import format_duration
from statcore.promql.syntax import Selector, matcher_texts, render
from statcore.promql.templates import Preset
from statcore.queriers.matcher import LabelMatcher, Matchers
from statcore_cli.exports.queries import ExportedQuery

SCHEMA_VERSION: Final = 42
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_PANEL: Final = {"w": 12, "h": 8}
_WINDOW: Final = format_duration(timedelta(milliseconds=86_399_357))
_GROUP_MARK: Final = "statcore_mark_of_labels"
_UNITS: Final[Mapping[str, str]] = {
    "": "short",
    "1": "short",
    "percent": "percent",
    "bytes": "bytes",
    "bytes/s": "binBps",
    "s": "s",
    "ms": "ms",
    "requests/s": "reqps",
    "packets/s": "pps",
}
"""Grafana's name of a unit; any other unit becomes a suffix."""


@attrs.frozen(kw_only=True)
class Dashboard:
    """What a dashboard shows.

    Args:
        queries: by kind, its queries.
        presets: the presets; each has a `${{ labels }}` in every selector if there are `matchers`.
        matchers: the matchers of the scope, which are in every selector and in the queries of the variables.
        normalization_interval_s: the divisor of `rate_normalized`.
    """

    queries: Mapping[str, Sequence[ExportedQuery]]
    presets: Sequence[Preset]
    matchers: Matchers
    normalization_interval_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the dashboard as Grafana imports it.

        Raises:
            InputError: a name is not valid.
            PluginError: the strategy of a querier breaks its contract.
        """
        scope = ",".join(matcher_texts(self.matchers))
        rows = [(kind, self._panels_of_kind(queries)) for kind, queries in self.queries.items()]
        rows += [("presets", [self._panel_of_preset(preset) for preset in self.presets])] if self.presets else []
        return {
            "uid": "statcore" + (f"-{sha256(scope.encode()).hexdigest()[:16]}" if scope else ""),
            "title": f"statcore {scope}".rstrip(),
            "tags": ["statcore"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": list(self._variables())},
            "annotations": {"list": []},
            "panels": _arranged(rows),
        }

    def _panels_of_kind(self, queries: Iterable[ExportedQuery]) -> list[dict[str, Any]]:
        by_panel: dict[tuple[str, str], list[ExportedQuery]] = {}
        for query in queries:
            by_panel.setdefault((query.title, query.unit), []).append(query)
        return [
            _panel(
                title if not unit or unit == "1" else f"{title} ({unit})",
                unit,
                {", ".join(query.choices): self._text(query) for query in together},
            )
            for (title, unit), together in by_panel.items()
        ]

    def _text(self, query: ExportedQuery) -> str:
        variables = tuple((label, LabelMatcher.regex(_mark(_name(query.kind, label)))) for label in query.owners)
        expression = query.expression(
            matchers=(*variables, *self.matchers),
            group_by=[_GROUP_MARK] if _has_group_variable(query) else [],
            rate_interval=_WINDOW,
            normalization_interval_s=self.normalization_interval_s,
        )
        text = _with_variables(render(expression)).replace(f"[{_WINDOW}", "[$__rate_interval")
        return text.replace(_GROUP_MARK, f"${{{_name(query.kind, 'group_by')}:csv}}")

    def _panel_of_preset(self, preset: Preset) -> dict[str, Any]:
        variables = ((label, LabelMatcher.regex(_mark(_name("preset", label)))) for label in preset.filter_labels)
        labels = ",".join(_with_variables(text) for text in matcher_texts((*variables, *self.matchers)))
        group_by = f"${{{_group_name(preset)}:csv}}" if preset.group_labels else ""
        text = preset.template.fill({"labels": labels, "group_by": group_by, "window": preset.window})
        return _panel(preset.name, "", {"": text}) | {"description": preset.description}

    def _variables(self) -> Iterator[dict[str, Any]]:
        yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
        for kind, queries in self.queries.items():
            owners = dict.fromkeys(label for query in queries for label in query.owners)
            for label in owners:
                series = next(query.query.name for query in queries if label in query.owners)
                yield self._label_variable(_name(kind, label), f"{kind}: {label}", label, series)
            if any(map(_has_group_variable, queries)):
                yield _choice_variable(_name(kind, "group_by"), f"{kind}: group by", list(owners), default=[*owners][-1])
        for label in dict.fromkeys(label for preset in self.presets for label in preset.filter_labels):
            yield self._label_variable(_name("preset", label), f"presets: {label}", label, None)
        for preset in self.presets:
            if labels := preset.group_labels:
                yield _choice_variable(_group_name(preset), f"{preset.name}: group by", labels, default=labels[0])

    def _label_variable(self, name: str, title: str, label: str, series: str | None) -> dict[str, Any]:
        selector = render(Selector(series, self.matchers)) if series or self.matchers else ""
        query = f"label_values({', '.join(filter(None, [_with_variables(selector), label]))})"
        return {
            "name": name,
            "label": title,
            "type": "query",
            "datasource": _DATASOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def _choice_variable(name: str, title: str, labels: Sequence[str], *, default: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": title,
        "type": "custom",
        "query": ",".join(labels),
        "options": [{"text": label, "value": label, "selected": label == default} for label in labels],
        "multi": True,
        "includeAll": False,
        "current": {"text": [default], "value": [default]},
    }


def _panel(title: str, unit: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return a panel; `texts` are its queries by the name of each, which is "" if the panel has one query."""
    targets = [
        {
            "refId": f"Q{number}",
            "datasource": _DATASOURCE,
            "editorMode": "code",
            "expr": text,
            "range": True,
            "legendFormat": "__auto",
        }
        for number, text in enumerate(texts.values(), start=1)
    ]
    return {
        "title": title,
        "description": ", ".join(filter(None, texts)),
        "type": "timeseries",
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": {"unit": _UNITS.get(unit, f"suffix: {unit}")}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": targets,
    }


def _arranged(rows: Iterable[tuple[str, Sequence[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return rows of panels with their ids and places; rows after the first are closed, and so send no queries."""
    arranged: list[dict[str, Any]] = []
    number = y = 0
    for title, panels in rows:
        number += 1
        row = {"id": number, "type": "row", "title": title, "collapsed": bool(arranged)}
        row |= {"gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1}}
        y += 1
        placed: list[dict[str, Any]] = []
        for position, panel in enumerate(panels):
            number += 1
            line, column = divmod(position, _COLUMNS // _PANEL["w"])
            place = {"x": column * _PANEL["w"], "y": y + line * _PANEL["h"], **_PANEL}
            placed.append({"id": number, **panel, "gridPos": place})
        y = max((panel["gridPos"]["y"] + _PANEL["h"] for panel in placed), default=y)
        inside, beside = (placed, []) if arranged else ([], placed)
        arranged += [{**row, "panels": inside}, *beside]
    return arranged


def _name(*parts: str) -> str:
    """Return the name of a variable, which Grafana allows letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", "_".join(parts))


def _group_name(preset: Preset) -> str:
    return _name("preset", preset.name, "group_by")


def _has_group_variable(query: ExportedQuery) -> bool:
    return bool(query.owners) and not query.distinguished


def _mark(variable: str) -> str:
    return f"\0{variable}\0"


def _with_variables(text: str) -> str:
    """Return text of queries or matchers without anything that Grafana replaces, except marks, which become variables."""
    # Both characters stand only in strings in double quotes, where PromQL reads the escapes.
    literal = text.replace("$", r"\x24").replace("[[", r"[\x5b")
    return re.sub("\0(.*?)\0", r"$\1", literal)
