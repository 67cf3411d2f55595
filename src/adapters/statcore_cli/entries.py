"""Live statistics as `statcore kernels` and the demo show them: decoded, as rows and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.model.statistics import STATS, Problem, ProblemKind, shown_value

_FIELDS: Final = ("current", "capacity", "pct", "unit_hint", *(f"stats.{name}" for name in STATS))
ENTRY_COLUMNS: Final = ("id", "metric", *_FIELDS, "age_s", "problem")


@attrs.frozen
class Entries:
    """Live statistics of kernels and sessions, fully decoded.

    Args:
        metrics: by id, the metrics of a kernel or session by name, or None where there are none. Numbers without a meaning,
            such as the percentage of an unbounded metric, are None.
        problems: by id, what is wrong with the statistics, or why they are missing.
        ages_s: by id, the seconds since the entry was written; None is an unknown age.
    """

    metrics: Mapping[str, Mapping[str, Any] | None]
    problems: Mapping[str, Problem]
    ages_s: Mapping[str, float | None] = attrs.field(factory=dict[str, "float | None"])

    @classmethod
    def read(cls, ids: Sequence[str], batch: StatisticsBatch) -> Entries:
        """Decode a batch for these ids; a malformed metric becomes a problem, and the other metrics are kept."""
        document = batch.to_json()
        problems: dict[str, list[Problem]] = {}
        for found in document["problems"]:
            problem = Problem(ProblemKind(found["kind"]), message=found["message"], key=found["key"])
            position: int = found["position"]
            problems.setdefault(ids[position], []).append(problem)
        entries = dict(zip(ids, document["entries"], strict=True))
        return cls(
            metrics={
                id_: entry and {name: shown_value(name, part) for name, part in entry.items()}
                for id_, entry in entries.items()
            },
            problems={id_: _join_problems(of_id) for id_, of_id in problems.items()},
            ages_s={id_: age_s for id_, age_s in zip(ids, document["ages_s"], strict=True) if entries[id_] is not None},
        )

    @property
    def headers(self) -> Sequence[str]:
        """The headers of the rows."""
        return ENTRY_COLUMNS

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        return _document(self.metrics, self.ages_s, self.problems)

    def rows(self) -> Iterator[list[str]]:
        """Yield a row for each metric, and a row for each id that has a problem or no metrics."""
        for id_, entry in self.metrics.items():
            age = _age(self.ages_s.get(id_))
            for metric, fields in (entry or {}).items():
                values = cast("Mapping[str, Any]", fields) if isinstance(fields, Mapping) else {"current": fields}
                yield [id_, metric, *(_cell(values.get(name)) for name in _FIELDS), age, ""]
            problem = self.problems.get(id_)
            if problem is not None or not entry:
                yield [id_, "", *("" for _ in _FIELDS), "", _note(problem)]


@attrs.frozen
class SelectedFields:
    """Some fields of the live statistics of kernels and sessions, with a row for each.

    Args:
        ids: the kernels and sessions.
        columns: their fields, in the same order.
        found: whether each has an entry, in the same order.
    """

    ids: Sequence[str]
    columns: StatisticsColumns
    found: Sequence[bool]

    @property
    def headers(self) -> Sequence[str]:
        """The headers of the rows."""
        return ("id", *self.columns, "age_s", "problem")

    def rows(self) -> Iterator[list[str]]:
        """Yield a row for each id."""
        problems = self._problems()
        for position, id_ in enumerate(self.ids):
            texts = [column[position] for column in self.columns.values()]
            problem = problems.get(id_)
            is_missing = problem is not None or all(text is None for text in texts)
            age = "" if is_missing and position not in self.columns.ages_s else _age(self.columns.ages_s.get(position))
            lacks_fields = problem is None and self.found[position]
            note = f"has no {', '.join(self.columns)}" if lacks_fields else _note(problem)
            yield [id_, *map(_cell, texts), age, note if is_missing else ""]

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        texts = zip(*self.columns.values(), strict=True)
        kernels = {
            id_: dict(zip(self.columns, row, strict=True)) if found else None
            for id_, row, found in zip(self.ids, texts, self.found, strict=True)
        }
        ages_s = {id_: self.columns.ages_s.get(position) for position, id_ in enumerate(self.ids)}
        return _document(kernels, ages_s, self._problems())

    def unknown_fields(self) -> list[str]:
        """Return the fields that none of the entries has, if there are entries; what cannot be read may have a field."""
        unread = {
            position
            for position, problems in self.columns.problems.items()
            if any(problem.kind is ProblemKind.MALFORMED for problem in problems)
        }
        if not any(found and position not in unread for position, found in enumerate(self.found)):
            return []
        return [field for field, column in self.columns.items() if all(text is None for text in column)]

    def _problems(self) -> dict[str, Problem]:
        return {self.ids[position]: _join_problems(problems) for position, problems in self.columns.problems.items()}


def _document(
    kernels: Mapping[str, object], ages_s: Mapping[str, float | None], problems: Mapping[str, Problem]
) -> dict[str, Any]:
    shown = {
        id_: {"kind": problem.kind.value, "message": problem.message, "key": problem.key}
        for id_, problem in problems.items()
    }
    return {"kernels": kernels, "ages_s": ages_s, "problems": shown}


def _join_problems(problems: Sequence[Problem]) -> Problem:
    key = next((problem.key for problem in problems if problem.key), None)
    message = "; ".join(problem.message for problem in problems)
    return Problem(problems[-1].kind, message=message, key=key)


def _age(age_s: float | None) -> str:
    return "unknown" if age_s is None else f"{age_s:.1f}"


def _note(problem: Problem | None) -> str:
    return "no statistics" if problem is None else f"{problem.kind}: {problem.message}"


def _cell(value: object) -> str:
    return "" if value is None else str(value)
