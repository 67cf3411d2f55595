"""Live statistics as `statcore kernels` and the demo show them: decoded, as rows and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from statcore.model.batch import StatisticsBatch
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
        problems: dict[str, list[dict[str, Any]]] = {}
        for problem in document["problems"]:
            position: int = problem["position"]
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

    def document(self) -> dict[str, Any]:
        """Return the JSON document."""
        problems = {
            id_: {"kind": problem.kind.value, "message": problem.message, "key": problem.key}
            for id_, problem in self.problems.items()
        }
        return {"kernels": self.metrics, "ages_s": self.ages_s, "problems": problems}

    def rows(self) -> Iterator[list[str]]:
        """Yield a row for each metric, and a row for each id that has a problem or no metrics."""
        for id_, entry in self.metrics.items():
            age_s = self.ages_s.get(id_)
            age = "unknown" if age_s is None else f"{age_s:.1f}"
            for metric, fields in (entry or {}).items():
                values = cast("Mapping[str, Any]", fields) if isinstance(fields, Mapping) else {"current": fields}
                yield [id_, metric, *(_cell(values.get(name)) for name in _FIELDS), age, ""]
            problem = self.problems.get(id_)
            if problem is not None or not entry:
                note = "no statistics" if problem is None else f"{problem.kind}: {problem.message}"
                yield [id_, "", *("" for _ in _FIELDS), "", note]


def _join_problems(problems: Sequence[Mapping[str, Any]]) -> Problem:
    key = next((problem["key"] for problem in problems if problem["key"]), None)
    message = "; ".join(problem["message"] for problem in problems)
    return Problem(ProblemKind(problems[-1]["kind"]), message=message, key=key)


def _cell(value: object) -> str:
    return "" if value is None else str(value)
