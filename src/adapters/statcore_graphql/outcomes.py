"""From a batch to what loaders hand out: a value or an error per key, and remarks about values of doubtful worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from statcore.errors import MalformedEntryError, StatcoreError, UnavailableError
from statcore.model.batch import Problem, ProblemKind, StatisticsBatch


@attrs.frozen(kw_only=True)
class Outcomes:
    """One value or exception per key, in order, and by position what is wrong with values that are there all the same."""

    values: Sequence[Any]
    remarks: Mapping[int, Problem]

    @classmethod
    def of(cls, answer: Sequence[Any]) -> Self:
        """Read what a batch function returned."""
        if not isinstance(answer, StatisticsBatch):
            return cls(values=answer, remarks={})
        values: list[Any] = list(answer)
        remarks: dict[int, Problem] = {}
        for position, problem in answer.problems.items():
            if values[position] is None:
                values[position] = as_error(problem)
            else:
                remarks[position] = problem
        return cls(values=values, remarks=remarks)


def as_batch(outcomes: Sequence[Any], remarks: Sequence[Problem | None]) -> StatisticsBatch:
    """Return what a loader handed out for several keys, values and errors, as a batch again.

    Raises:
        BaseException: the first of the outcomes that is an error and none of ours.
    """
    problems = {position: remark for position, remark in enumerate(remarks) if remark is not None}
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, BaseException):
            if not isinstance(outcome, StatcoreError):
                raise outcome
            kind = ProblemKind.MALFORMED if isinstance(outcome, MalformedEntryError) else ProblemKind.UNAVAILABLE
            problems[position] = Problem(kind, message=str(outcome))
    return StatisticsBatch(
        [None if isinstance(outcome, BaseException) else outcome for outcome in outcomes], problems=problems
    )


def as_error(problem: Problem) -> StatcoreError:
    """Return the error that a problem is to whoever wanted that one entry."""
    message = f"{problem.kind}: {problem.message}"
    if problem.kind in {ProblemKind.MALFORMED, ProblemKind.OVERSIZED}:
        return MalformedEntryError(message, key=problem.key or "")
    return UnavailableError(message)
