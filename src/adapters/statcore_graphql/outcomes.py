"""Outcomes of loaders: a value or an error per key, and remarks on doubtful values; converts from batches and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import attrs

from statcore.errors import MalformedEntryError, StatcoreError, UnavailableError
from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import Problem, ProblemKind

_UNREAD: Final = "the store could not read the entry"
"""The message of an error of a service, whose own message may have addresses."""


class Outcome(NamedTuple):
    """What a loader returned for one key.

    Args:
        value: a value or an exception.
        problem: what is wrong with a value that is returned nevertheless, or None.
    """

    value: Any
    problem: Problem | None


@attrs.frozen(kw_only=True)
class Outcomes:
    """What a loader returns for its keys.

    Args:
        values: one value or exception per key, in order.
        remarks: what is wrong with values that are returned nevertheless, by position.
    """

    values: Sequence[Any]
    remarks: Mapping[int, Problem]

    def __iter__(self) -> Iterator[Outcome]:
        """Iterate over the outcomes, in order."""
        return (Outcome(value, self.remarks.get(position)) for position, value in enumerate(self.values))

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


def as_batch(outcomes: Sequence[Outcome]) -> StatisticsBatch:
    """Return a loader's outcomes for several keys as a batch again, whose problems are those that clients may see.

    Raises:
        BaseException: the first value that is an exception but not a `StatcoreError`.
    """
    problems = {position: problem for position, (_, problem) in enumerate(outcomes) if problem is not None}
    for position, (value, _) in enumerate(outcomes):
        if isinstance(value, BaseException):
            if not isinstance(value, StatcoreError):
                raise value
            problems[position] = (
                Problem(ProblemKind.MALFORMED, message=str(value))
                if isinstance(value, MalformedEntryError)
                else Problem(ProblemKind.UNAVAILABLE, message=_UNREAD)
            )
    entries = [None if isinstance(value, BaseException) else value for value, _ in outcomes]
    return StatisticsBatch(entries, problems=problems)


def as_error(problem: Problem) -> StatcoreError:
    """Return the error for an entry that is missing because of a problem."""
    message = f"{problem.kind}: {problem.message}"
    if problem.kind in {ProblemKind.MALFORMED, ProblemKind.OVERSIZED}:
        return MalformedEntryError(message, key=problem.key or "")
    return UnavailableError(message)
