"""Live statistics as they are printed, read so that one bad metric spoils nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.statistics import STATS, shown_value

_FIELDS: Final = ("current", "capacity", "pct", "unit_hint", *(f"stats.{name}" for name in STATS))
COLUMNS: Final = ("id", "metric", *_FIELDS, "age_s", "problem")


@attrs.frozen
class Entries:
    """Every entry by id, fully decoded; None where there is nothing, with a problem where that has a cause.

    What agents write and is no figure is None. The age of an entry, in seconds, is None where it is unknown.
    """

    kernels: Mapping[str, Mapping[str, Any] | None]
    problems: Mapping[str, Problem]
    ages_s: Mapping[str, float | None] = attrs.field(factory=dict[str, "float | None"])

    @classmethod
    def read(cls, ids: Sequence[str], batch: StatisticsBatch) -> Entries:
        """Decode a batch, of which some metrics may turn out to be malformed only now."""
        document = batch.to_json()
        told: dict[str, list[dict[str, Any]]] = {}
        for problem in document["problems"]:
            position: int = problem["position"]
            told.setdefault(ids[position], []).append(problem)
        found = dict(zip(ids, document["entries"], strict=True))
        return cls(
            kernels={
                id_: entry and {name: shown_value(name, part) for name, part in entry.items()}
                for id_, entry in found.items()
            },
            problems={id_: _joined(problems) for id_, problems in told.items()},
            ages_s={id_: age_s for id_, age_s in zip(ids, document["ages_s"], strict=True) if found[id_] is not None},
        )

    def document(self) -> dict[str, Any]:
        """Return what JSON shows."""
        problems = {
            id_: {"kind": problem.kind.value, "message": problem.message, "key": problem.key}
            for id_, problem in self.problems.items()
        }
        return {"kernels": self.kernels, "ages_s": self.ages_s, "problems": problems}

    def rows(self) -> Iterator[list[str]]:
        """Yield one row per metric, and one for an id that has none or a problem."""
        for id_, entry in self.kernels.items():
            age_s = self.ages_s.get(id_)
            age = "unknown" if age_s is None else f"{age_s:.1f}"
            for metric, fields in (entry or {}).items():
                values = cast("Mapping[str, Any]", fields) if isinstance(fields, Mapping) else {"current": fields}
                yield [id_, metric, *(_text(values.get(name)) for name in _FIELDS), age, ""]
            problem = self.problems.get(id_)
            if problem is not None or not entry:
                note = "no statistics" if problem is None else f"{problem.kind}: {problem.message}"
                yield [id_, "", *("" for _ in _FIELDS), "", note]


def _joined(problems: Sequence[Mapping[str, Any]]) -> Problem:
    key = next((problem["key"] for problem in problems if problem["key"]), None)
    message = "; ".join(problem["message"] for problem in problems)
    return Problem(ProblemKind(problems[-1]["kind"]), message=message, key=key)


def _text(value: object) -> str:
    return "" if value is None else str(value)
