"""Outcomes of loaders: a value or an error per key, and remarks on doubtful values; converts from batches and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from statcore.errors import MalformedEntryError, StatcoreError, UnavailableError
from statcore.model.statistics import Problem, ProblemKind, StatisticsBatch


@attrs.frozen(kw_only=True)
class Outcomes:
    """What a loader returns for its keys.

    Args:
        values: one value or exception per key, in order.
        remarks: what is wrong with values that are returned nevertheless, by position.
    """

    values: Sequence[Any]
    remarks: Mapping[int, Problem]

    @classmethod
    def of(cls, answer: Sequence[Any]) -> Self:
        """Read the result of a batch function: a `StatisticsBatch`, or values and exceptions in order."""
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
    """Return a loader's outcomes for several keys as a batch again.

    Args:
        outcomes: a value or an exception per key.
        remarks: what is wrong with each value, or None.

    Raises:
        BaseException: the first outcome that is an exception but not a `StatcoreError`.
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
    """Return the error for an entry that is missing because of a problem."""
    message = f"{problem.kind}: {problem.message}"
    if problem.kind in {ProblemKind.MALFORMED, ProblemKind.OVERSIZED}:
        return MalformedEntryError(message, key=problem.key or "")
    return UnavailableError(message)
