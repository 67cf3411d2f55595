"""Statistics of sessions: the entry under the id of the session itself, or the sum of the entries of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import attrs

from statcore.concurrency import give_way
from statcore.errors import InputError, MalformedEntryError
from statcore.model.batch import StatisticsBatch
from statcore.model.numbers import decimal_text, finite_number, percent_text
from statcore.model.statistics import (
    METRICS_OF_EVERY_KERNEL,
    UNBOUNDED,
    Entry,
    MetricValue,
    Problem,
    ProblemKind,
    has_bound,
    unit_hint,
)
from statcore.model.text import id_text
from statcore.ports.inventory import InventoryPort, find_records
from statcore.statistics.repository import StatisticsRepository

_SUMMED_STATS: Final = ("sum", "avg", "diff", "rate")
"""Moving statistics that can be summed. Minima and maxima cannot: the maximum of a sum is not the sum of the maxima."""
_STORED: Final = frozenset({ProblemKind.MALFORMED, ProblemKind.OVERSIZED})
"""Kinds of problems of an entry that is None although something is stored."""
_ONLY_OLD: Final = frozenset({ProblemKind.STALE, ProblemKind.UNDATED})


@attrs.frozen
class SessionStatistics:
    """Reads the statistics of sessions as the statistics of their kernels, since agents write statistics of kernels only.

    Args:
        repository: where the statistics are read.
        inventory: which kernels a session has.
    """

    repository: StatisticsRepository
    inventory: InventoryPort

    async def get_session_statistics_batch(self, session_ids: Sequence[UUID | str]) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each session, as `session_entry` makes it, with one read for all sessions.

        Of a session that the inventory does not know, only the entry under its own id is read.

        Raises:
            InputError: an id is not a UUID.
            StatcoreError: the inventory or the repository failed.
        """
        ids = [id_text(session_id) for session_id in session_ids]
        records = await find_records(self.inventory.find_sessions, ids)
        kernels_of: dict[str, list[str]] = {
            id_: [kernel.kernel_id for kernel in records[id_].kernels] if id_ in records else [] for id_ in ids
        }
        batch = await self.read(kernels_of)
        position_of = {id_: position for position, id_ in enumerate(kernels_of)}
        return batch.select(position_of[id_] for id_ in ids)

    async def read(self, kernels_of: Mapping[str, Sequence[str]]) -> StatisticsBatch:
        """Return the entries of sessions with known kernels, in order, without the inventory.

        Args:
            kernels_of: by session id, the ids of the session's kernels.

        Raises:
            InputError: an id is not a UUID.
            StatcoreError: the repository failed.
        """
        ids = [id_ for session_id, kernel_ids in kernels_of.items() for id_ in (session_id, *kernel_ids)]
        batch = await self.repository.get_kernel_statistics_batch(ids)
        sessions: list[StatisticsBatch] = []
        start = 0
        for kernel_ids in kernels_of.values():
            end = start + 1 + len(kernel_ids)
            sessions.append(session_entry(kernel_ids, batch[start:end]))
            start = end
            await give_way()  # there may be thousands of sessions
        return StatisticsBatch.join(sessions)


def position_of_entry(read: StatisticsBatch, ids: slice) -> int | None:
    """Return where the entry is that `session_entry` returns unchanged, None if it makes another or there is a problem.

    Args:
        read: the entries of several sessions.
        ids: where the entries of the session are: that under its own id, then those of its kernels.
    """
    own, *kernels = range(ids.start, ids.stop)
    if read.problems and not read.problems.keys().isdisjoint((own, *kernels)):
        return None
    present = [position for position in kernels if read.entries[position] is not None]
    if read.entries[own] is not None or not present:
        return own
    return present[0] if len(kernels) == 1 else None


def session_entry(
    kernel_ids: Sequence[str], read: StatisticsBatch, *, is_summed: Callable[[str], bool] | None = None
) -> StatisticsBatch:
    """Return the entry of one session, as a batch of one entry.

    An entry under the session's own id takes precedence, malformed or not. Otherwise the entry is the sum of the session's
    kernels. It is *incomplete* if a kernel has no entry, or a part that cannot be read. Its age is that of the oldest
    kernel.

    Args:
        kernel_ids: the session's kernels.
        read: the entry under the session's id, then the entries under the ids of its kernels, in order.
        is_summed: returns whether a metric is summed, by default every one.
    """
    if (position := position_of_entry(read, slice(0, len(read)))) is not None:
        return read.select([position])
    own, kernels = read[:1], read[1:]
    present = [position for position, entry in enumerate(kernels) if entry is not None]
    stored = own[0] is not None or any(problem.kind in _STORED for problem in own.problems.values())
    if stored or not (present or kernels.problems):
        return own
    problems = list(own.problems.values())
    for position, (kernel_id, entry) in enumerate(zip(kernel_ids, kernels, strict=True)):
        if problem := kernels.problems.get(position):
            problems.append(attrs.evolve(problem, message=f"kernel {kernel_id}: {problem.message}"))
        elif entry is None:
            message = f"kernel {kernel_id} has no statistics"
            problems.append(Problem(ProblemKind.INCOMPLETE, message=message, key=kernel_id))
    summed: Entry | None = None
    if present:
        summed, faults = sum_kernels([cast("Entry", kernels[position]) for position in present], is_summed=is_summed)
        problems += [Problem(ProblemKind.INCOMPLETE, message=fault) for fault in faults]
    ages_s = [kernels.ages_s[position] for position in present if position in kernels.ages_s]
    return StatisticsBatch(
        [summed],
        problems={0: _joined(problems, is_missing=summed is None)} if problems else {},
        ages_s={0: max(ages_s)} if ages_s and len(ages_s) == len(present) else {},
    )


def _joined(problems: Sequence[Problem], *, is_missing: bool) -> Problem:
    """Return one problem for all problems of a session.

    Its kind is *incomplete*. But if the session is only old, or has no entry at all, its kind is that of the kernels.
    """
    kinds = {problem.kind for problem in problems}
    if is_missing:
        kind = next((problem.kind for problem in problems if problem.kind is not ProblemKind.INCOMPLETE), problems[0].kind)
    else:
        kind = kinds.pop() if len(kinds) == 1 and kinds <= _ONLY_OLD else ProblemKind.INCOMPLETE
    return Problem(kind, message="; ".join(problem.message for problem in problems), key=problems[0].key)


def sum_kernels(entries: Sequence[Entry], *, is_summed: Callable[[str], bool] | None = None) -> tuple[Entry, list[str]]:
    """Return the sum of the entries of a session's kernels, and a text for each part that the sum lacks.

    The entry of a single kernel is returned unchanged. Of several kernels, each metric is summed over the kernels that have
    it: `current`, `capacity` and the `stats` that can be summed are sums, and `pct` is the percentage of the sums. The
    `pct` of `cpu_util` is the sum of the kernels' `pct`, because it is a percentage of one core. The capacity is None if a
    kernel has none, or if the metric has no bound. A metric that is not finite in one kernel, or cannot be read, is left
    out. A metric that every kernel has is too low where one lacks it, and the texts say so. The order of the kernels does
    not matter.

    Args:
        entries: the entries of the kernels.
        is_summed: returns whether a metric is summed, by default every one; the others are left out.
    """
    if len(entries) == 1:
        return entries[0], []
    faults: list[str] = []
    metrics: dict[str, list[Entry]] = {}
    readable = 0
    for entry in entries:
        try:
            names = list(entry)
        except MalformedEntryError as error:
            faults.append(f"a kernel is left out: {error}")
            continue
        for name in names:
            if is_summed is None or is_summed(str(name)):
                metrics.setdefault(name, []).append(entry)
        readable += 1
    summed: dict[str, Any] = {}
    for metric, having in metrics.items():
        try:
            summed[metric] = sum_metric(str(metric), [_fields(entry[metric]) for entry in having]).to_map()
        except (InputError, MalformedEntryError) as error:
            faults.append(f"{metric} is left out: {error}")
            continue
        if metric in METRICS_OF_EVERY_KERNEL and len(having) < readable:
            faults.append(f"{metric} is the sum of {len(having)} of {readable} kernels, since the others have none")
    return summed, sorted(faults)


def _fields(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"not a metric value: {value!r:.100}")
    return cast("Mapping[str, Any]", value)


def sum_metric(metric: str, kernels: Sequence[Mapping[str, Any]]) -> MetricValue:
    """Return the sum of one metric over kernels, as `sum_kernels` describes it.

    Args:
        metric: the metric's name.
        kernels: the MetricValue map of each kernel.

    Raises:
        InputError: a number is not finite.
    """
    current = _total([_number(fields.get("current")) for fields in kernels])
    capacities = [finite_number(fields.get("capacity")) for fields in kernels if fields.get("capacity") != UNBOUNDED]
    bounds = [number for number in capacities if number is not None and number > 0]
    capacity = decimal_text(_total(bounds)) if has_bound(metric) and len(bounds) == len(kernels) else None
    pct = percent_text(current, capacity)
    if metric == "cpu_util" and capacity is not None:
        pct = decimal_text(_total([_number(fields.get("pct")) for fields in kernels]), places=2)
    stats = {name: [finite_number(fields.get(f"stats.{name}")) for fields in kernels] for name in _SUMMED_STATS}
    hints = {hint for fields in kernels if isinstance(hint := fields.get("unit_hint"), str)}
    return MetricValue(
        current=decimal_text(current),
        capacity=capacity,
        pct=pct,
        unit_hint=hints.pop() if len(hints) == 1 else unit_hint(metric),
        stats={
            name: decimal_text(_total([number for number in numbers if number is not None]))
            for name, numbers in stats.items()
            if None not in numbers
        },
    )


def _number(text: object) -> Decimal:
    number = finite_number(text)
    if number is None:
        raise InputError(f"{text!r:.100} is not a finite number")
    return number


def _total(numbers: Sequence[Decimal]) -> Decimal:
    """Return the sum; sorting makes its rounding independent of the order."""
    return sum(sorted(numbers), Decimal())
