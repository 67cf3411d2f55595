"""The Grafana dashboard: the classic JSON model, with a row for each kind and one for the presets.

Grafana replaces variables, such as `$container_kernel_id`, in the text of a query. So each variable, the labels to group by
and the window of rates are marks while the text is written. Then a dollar sign in the text is escaped, and the marks become
variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import chain, count
from typing import Any, Final, TypeAlias

import attrs

from statcore.errors import InputError, PluginError, StatcoreError
from statcore.model.time import format_duration
from statcore.promql.quoting import grouped_text
from statcore.promql.syntax import Selector, matcher_texts, render
from statcore.promql.templates import Preset
from statcore.queriers.matcher import LabelMatcher, Matchers
from statcore_cli.exports.queries import ExportedQuery

SCHEMA_VERSION: Final = 42
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_PANEL: Final = {"w": 12, "h": 8}
_WINDOWS: Final = [format_duration(timedelta(milliseconds=number)) for number in (86_399_357, 86_399_359)]
_RATE_INTERVAL: Final = "$__rate_interval"
_GROUP_MARK: Final = "zz_statcore_labels"
"""It stands after the other labels: if a user chooses no label, `by (value_type,)` is PromQL; `by (,value_type)` is not."""
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

_Written: TypeAlias = tuple[ExportedQuery, str]
"""A query and its text for Grafana."""


@attrs.frozen
class _VariableNames:
    """The names of the variables: each variable has its own, whatever characters Grafana does not allow in names."""

    taken: set[str]
    names: dict[tuple[str, ...], str] = attrs.field(factory=dict[tuple[str, ...], str], init=False)

    def name(self, role: str, *parts: str) -> str:
        """Return the name of a variable, made of `parts`; one with the same role and parts has the same name."""
        if (role, *parts) not in self.names:
            plain = re.sub(r"[^A-Za-z0-9]", "_", "_".join(parts))
            numbered = (f"{plain}_{number}" for number in count(2))
            self.names[role, *parts] = next(name for name in chain([plain], numbered) if name not in self.taken)
            self.taken.add(self.names[role, *parts])
        return self.names[role, *parts]


def _new_names(dashboard: Dashboard) -> _VariableNames:
    # The text of a preset is not escaped, so no variable has the name of a word in it.
    return _VariableNames({word for preset in dashboard.presets for word in re.findall(r"\w+", preset.template.text)})


@attrs.frozen(kw_only=True)
class Dashboard:
    """What a dashboard shows.

    Args:
        queries: by kind, its queries.
        presets: the presets; each has a `${{ labels }}` in every selector if there are `matchers`.
        matchers: the matchers of the scope, which are in every selector and in the queries of the variables.
        normalization_interval_s: the divisor of `rate_normalized`.
        on_fault: is called with the name and the error of each query that cannot be written, and so is left out.
    """

    queries: Mapping[str, Sequence[ExportedQuery]]
    presets: Sequence[Preset]
    matchers: Matchers
    normalization_interval_s: float
    on_fault: Callable[[str, StatcoreError], None]
    _names: _VariableNames = attrs.field(default=attrs.Factory(_new_names, takes_self=True), init=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the dashboard as Grafana imports it."""
        scope = ",".join(matcher_texts(self.matchers))
        texts = {kind: list(self._texts(queries)) for kind, queries in self.queries.items()}
        texts = {kind: found for kind, found in texts.items() if found}
        rows = [(kind, list(_panels_of_kind(found))) for kind, found in texts.items()]
        rows += [("presets", [self._panel_of_preset(preset) for preset in self.presets])] if self.presets else []
        return {
            "uid": "statcore" + (f"-{sha256(scope.encode()).hexdigest()[:16]}" if scope else ""),
            "title": f"statcore {scope}".rstrip(),
            "tags": ["statcore"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": list(self._variables(texts))},
            "annotations": {"list": []},
            "panels": _arranged(rows),
        }

    def _texts(self, queries: Iterable[ExportedQuery]) -> Iterator[_Written]:
        for query in queries:
            try:
                yield query, self._text(query)
            except (InputError, PluginError) as error:
                self.on_fault(query.name, error)

    def _text(self, query: ExportedQuery) -> str:
        variables = [(label, LabelMatcher.regex(_mark(self._owner(query.kind, label)))) for label in query.owners]
        texts: set[str] = set()
        for window in _WINDOWS:
            expression = query.expression(
                matchers=(*variables, *self.matchers),
                group_by=[_GROUP_MARK] if _has_group_variable(query) else [],
                rate_interval=window,
                normalization_interval_s=self.normalization_interval_s,
            )
            texts.add(_with_variables(render(expression)).replace(window, _RATE_INTERVAL))
        if len(texts) > 1:
            message = "its strategy calculates with the window of rates, which Grafana chooses only when it sends a query"
            raise PluginError(message, plugin=query.kind)
        return texts.pop().replace(_GROUP_MARK, f"${{{self._group(query.kind)}:csv}}")

    def _panel_of_preset(self, preset: Preset) -> dict[str, Any]:
        variables = [(label, LabelMatcher.regex(_mark(self._preset_label(label)))) for label in preset.filter_labels]
        labels = ",".join(_with_variables(text) for text in matcher_texts((*variables, *self.matchers)))
        group_by = f"${{{self._preset_group(preset)}:csv}}" if preset.group_labels else ""
        text = preset.template.fill({"labels": labels, "group_by": group_by, "window": preset.window})
        return _panel(preset.name, "", {"": text}) | {"description": preset.description}

    def _variables(self, texts: Mapping[str, Sequence[_Written]]) -> Iterator[dict[str, Any]]:
        # An empty current value is the default data source; Grafana 10 does not read a variable without one.
        yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
        for kind, written in texts.items():
            queries = [query for query, _ in written]
            owners = dict.fromkeys(label for query in queries for label in query.owners)
            for label in owners:
                series = next(query.query.name for query in queries if label in query.owners)
                yield self._label_variable(self._owner(kind, label), f"{kind}: {label}", label, series)
            if any(map(_has_group_variable, queries)):
                yield _choice_variable(self._group(kind), f"{kind}: group by", list(owners), default=[*owners][-1])
        for label in dict.fromkeys(label for preset in self.presets for label in preset.filter_labels):
            yield self._label_variable(self._preset_label(label), f"presets: {label}", label, None)
        for preset in self.presets:
            if labels := preset.group_labels:
                yield _choice_variable(self._preset_group(preset), f"{preset.name}: group by", labels, default=labels[0])

    def _owner(self, kind: str, label: str) -> str:
        return self._names.name("owner", kind, label)

    def _group(self, kind: str) -> str:
        return self._names.name("group", kind, "group_by")

    def _preset_label(self, label: str) -> str:
        return self._names.name("preset label", "preset", label)

    def _preset_group(self, preset: Preset) -> str:
        return self._names.name("preset group", "preset", preset.name, "group_by")

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
    """Return the variable of the labels to group by; its values stand in a query as they are."""
    texts = {label: grouped_text((label,)) for label in labels}
    return {
        "name": name,
        "label": title,
        "type": "custom",
        "query": ",".join(text.replace(",", r"\,") for text in texts.values()),
        "options": [{"text": label, "value": text, "selected": label == default} for label, text in texts.items()],
        "multi": True,
        "includeAll": False,
        "current": {"text": [default], "value": [texts[default]]},
    }


def _panels_of_kind(texts: Iterable[_Written]) -> Iterator[dict[str, Any]]:
    """Yield a panel for each metric and unit."""
    by_panel: dict[tuple[str, str], dict[str, str]] = {}
    for query, text in texts:
        by_panel.setdefault((query.title, query.unit), {})[", ".join(query.choices)] = text
    for (title, unit), together in by_panel.items():
        yield _panel(title if unit in ("", "1") else f"{title} ({unit})", unit, together)


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
        "fieldConfig": {"defaults": {"unit": _UNITS.get(unit, f"suffix:{unit}")}, "overrides": []},
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


def _has_group_variable(query: ExportedQuery) -> bool:
    return bool(query.owners) and not query.distinguished


def _mark(variable: str) -> str:
    return f"\0{variable}\0"


def _with_variables(text: str) -> str:
    """Return text of queries or matchers without anything that Grafana replaces, except marks, which become variables."""
    # Both characters stand only in strings in double quotes, where PromQL reads the escapes.
    literal = text.replace("$", r"\x24").replace("[[", r"[\x5b")
    return re.sub("\0(.*?)\0", r"$\1", literal)
