"""Live statistics as they are printed, read so that one bad metric spoils nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from statcore.errors import MalformedEntryError
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
        """Decode a batch, whose entries may do that only now and may find only now that they cannot."""
        kernels: dict[str, Mapping[str, Any] | None] = {}
        problems: dict[str, Problem] = {}
        for position, (id_, entry) in enumerate(zip(ids, batch, strict=True)):
            found = [batch.problems[position]] if position in batch.problems else []
            kernels[id_] = None if entry is None else _decode(entry, found)
            if found:
                key = next((problem.key for problem in found if problem.key), None)
                problems[id_] = Problem(found[-1].kind, message="; ".join(problem.message for problem in found), key=key)
        ages_s = {id_: batch.ages_s.get(position) for position, id_ in enumerate(ids) if kernels[id_] is not None}
        return cls(kernels, problems, ages_s)

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


def _decode(entry: Mapping[str, Any], problems: list[Problem]) -> Mapping[str, Any] | None:
    decoded: dict[str, Any] = {}
    try:
        metrics = list(entry)
    except MalformedEntryError as error:
        problems.append(_malformed(error))
        return None
    for metric in metrics:
        try:
            decoded[str(metric)] = shown_value(str(metric), entry[metric])
        except MalformedEntryError as error:
            problems.append(_malformed(error))
    return decoded


def _malformed(error: MalformedEntryError) -> Problem:
    return Problem(ProblemKind.MALFORMED, message=str(error), key=error.key)


def _text(value: object) -> str:
    return "" if value is None else str(value)
