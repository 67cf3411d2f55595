"""What a soak has counted: answers by source, recoveries by fault, memory, and what is left at the end."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

import attrs
from soak_memory import MemorySample
from soak_reads import Answer

from statcore.errors import StatcoreError, TimedOutError, UnavailableError

_GROWTH: Final = 1.02
"""Durations within this ratio of each other are counted as the same."""
_LEAST_S: Final = 1e-5
_EXAMPLES: Final = 5
_EXPECTED: Final = (TimedOutError, UnavailableError)
"""What faults of servers raise. Other errors say that a server or the caller breaks a rule, which none of them does."""


@attrs.define
class Durations:
    """How long calls took, in a few numbers, however many calls there are."""

    longest_s: float = 0.0
    _counts: Counter[int] = attrs.field(factory=Counter[int])

    def add(self, duration_s: float) -> None:
        """Count a call."""
        self.longest_s = max(self.longest_s, duration_s)
        self._counts[math.ceil(math.log(max(duration_s, _LEAST_S)) / math.log(_GROWTH))] += 1

    def percentile(self, share: float) -> float:
        """Return a duration in seconds that a share of the calls did not exceed; 0 without calls."""
        remaining = share * self._counts.total()
        for size in sorted(self._counts):
            remaining -= self._counts[size]
            if remaining <= 0:
                return min(_GROWTH**size, self.longest_s)
        return self.longest_s


@attrs.define(kw_only=True)
class Tally:
    """What calls to a source have brought.

    Args:
        deadline_s: the deadline of a call.
    """

    deadline_s: float
    calls: int = 0
    right: int = 0
    """Entries and points that were checked, and right."""
    shown: Counter[str] = attrs.field(factory=Counter[str])
    """Errors and problems that were shown to the caller, by type."""
    gaps: int = 0
    """Series and points that are missing from answers, as a killed server may have lost them."""
    wrong: int = 0
    foreign: int = 0
    """Exceptions that are not of statcore, and errors of statcore that no fault of a server explains."""
    examples: list[str] = attrs.field(factory=list[str])
    """The first of what was wrong or foreign."""
    abandoned: int = 0
    """Calls that were cancelled on purpose."""
    writes: int = 0
    durations: Durations = attrs.field(factory=Durations)

    def add(self, where: str, answer: Answer) -> None:
        """Count the answer to a read; `where` names it in examples."""
        self.right += answer.right
        self.gaps += answer.gaps
        self.shown.update(answer.shown)
        self.wrong += len(answer.wrong)
        self.foreign += len(answer.foreign)
        if faults := [*answer.wrong, *answer.foreign]:
            self._keep(where, f"{faults[0]}{f', and {len(faults) - 1} more' if faults[1:] else ''}")

    def add_error(self, where: str, error: BaseException) -> None:
        """Count an error that a call raised; `where` names the call in examples."""
        if isinstance(error, StatcoreError) and type(error) in _EXPECTED:
            self.shown[type(error).__name__] += 1
        else:
            self.foreign += 1
            self._keep(where, f"{type(error).__name__}: {error}")

    def _keep(self, where: str, text: str) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{where}: {text:.500}")


@attrs.frozen(kw_only=True)
class Leaks:
    """What is left of all clients: connections in use before they are closed, and the rest afterwards."""

    connections_in_use: int
    tasks: int
    files_and_sockets: int
    threads: int

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left that needs time to end."""
        return not (self.tasks or self.files_and_sockets or self.threads)


@attrs.frozen(kw_only=True)
class Outcome:
    """What a soak has measured in the process of its readers.

    Args:
        tallies: what was counted, by source.
        recoveries_s: how long it took each time from the end of a fault to right answers of each kind, by the fault's name.
        memory: the samples of its memory.
        leaks: what is left at the end.
        most_connections: the most connections to one port at once.
        seconds: how long it lasted.
    """

    tallies: dict[str, Tally]
    recoveries_s: dict[str, list[float]]
    memory: list[MemorySample]
    leaks: Leaks
    most_connections: int
    seconds: float
