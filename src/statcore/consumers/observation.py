"""From what was read to the one number that a rule looks at, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

import attrs

from statcore.errors import MalformedEntryError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.numbers import finite_number, format_sample_value
from statcore.model.results import VectorResult
from statcore.model.statistics import UNBOUNDED
from statcore.model.text import describe

_NOTHING: Final = Decimal(0)
_ALL: Final = Decimal(100)


@attrs.frozen
class Abstention:
    """Why a rule is blind: it has nothing to decide on, and nothing is scaled down meanwhile."""

    reason: str


@attrs.frozen
class PartialMean:
    """The percentages of the kernels that have data, at least one, and how many kernels have none."""

    values: tuple[Decimal, ...]
    missing: int

    @property
    def missing_range(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest percentage that a kernel without data may have.

        That is 0 to 100, or to the highest of the others: a percentage of one core may be more than 100.
        """
        return _NOTHING, max(_ALL, *self.values)

    def mean(self, missing: Decimal) -> Decimal:
        """Return the mean where each kernel without data has the percentage `missing`."""
        return (sum(self.values, Decimal()) + self.missing * missing) / (len(self.values) + self.missing)


Observation: TypeAlias = Decimal | PartialMean | Abstention


def mean_pct(
    metric: str, replicas: Sequence[Sequence[int]], kernel_ids: Sequence[str], statistics: StatisticsBatch
) -> Observation:
    """Return the mean `pct` of a metric over the kernels of an endpoint's replicas.

    A kernel without an entry lacks data, and so does, as one kernel, a replica of which no kernel has the metric. A kernel
    without the metric in a replica where another kernel has it is left out. A kernel whose data is there but not to be
    trusted makes the rule blind.

    Args:
        metric: the metric's name.
        replicas: for each replica the positions of its kernels, none where they are not known.
        kernel_ids: the kernels by position.
        statistics: their entries by position.
    """
    found: list[Decimal] = []
    missing = 0
    for positions in replicas:
        found_before, missing_before = len(found), missing
        for position in positions:
            percent = _percent(metric, kernel_ids[position], statistics, position)
            if isinstance(percent, Abstention):
                return percent
            if percent is not None:
                found.append(percent)
            elif statistics.entries[position] is None:
                missing += 1
        if (found_before, missing_before) == (len(found), missing):
            missing += 1
    if not found:
        return Abstention(f"none of {sum(map(len, replicas))} kernels has {metric}")
    return PartialMean(tuple(found), missing) if missing else sum(found, Decimal()) / len(found)


def _percent(metric: str, kernel_id: str, statistics: StatisticsBatch, position: int) -> Decimal | Abstention | None:
    """Return the percentage of a metric of one kernel, None where there is no data."""
    if problem := statistics.problems.get(position):
        return Abstention(f"kernel {kernel_id} has {problem.kind} data: {problem.message}")
    entry = statistics.entries[position]
    if entry is None or metric not in entry:
        return None
    fields = _fields(f"kernel {kernel_id}", entry, metric)
    if isinstance(fields, Abstention):
        return fields
    percent = finite_number(fields.get("pct"))
    if percent is None:
        return Abstention(f"kernel {kernel_id} has no finite {metric}: pct is {fields.get('pct')!r:.100}")
    capacity = fields.get("capacity")
    if not percent and (capacity == UNBOUNDED or not finite_number(capacity)):  # 0.00 is what is written then
        return Abstention(f"kernel {kernel_id} has no capacity of {metric}, and so no percentage")
    return percent


def current_per_replica(metric: str, statistics: StatisticsBatch, *, active: int) -> Observation:
    """Return the `current` value of a metric in the only entry of a batch, divided by the active replicas, or by 1."""
    if problem := statistics.problems.get(0):
        return Abstention(f"the endpoint has {problem.kind} data: {problem.message}")
    (entry,) = statistics.entries
    if entry is None or metric not in entry:
        return Abstention(f"the endpoint has no {metric}")
    fields = _fields("the endpoint", entry, metric)
    if isinstance(fields, Abstention):
        return fields
    current = fields.get("current")
    if fields.get("__type") == "HISTOGRAM" or isinstance(current, Mapping):
        return Abstention(f"{metric} is a histogram, which has no one current value")
    number = finite_number(current)
    if number is None:
        return Abstention(f"the endpoint has no finite {metric}: current is {current!r:.100}")
    return number / (active or 1)


def _fields(whose: str, entry: Mapping[str, Any], metric: str) -> Mapping[str, Any] | Abstention:
    try:
        fields = entry[metric]
    except MalformedEntryError as error:
        return Abstention(f"{whose} has malformed data: {error}")
    if isinstance(fields, Mapping):
        return cast("Mapping[str, Any]", fields)
    return Abstention(f"{whose} has malformed data: {metric} is {fields!r:.100}")


def only_sample(answer: VectorResult | StatcoreError) -> Observation:
    """Return the value of the only sample that a query found, finite or not: the decision abstains on what is not."""
    if isinstance(answer, StatcoreError):
        return Abstention(f"the query failed: {describe(answer)}")
    if answer.partial or answer.warnings:
        return Abstention(f"the answer may lack data: {'; '.join(answer.warnings) or 'it is partial'}")
    match answer.samples:
        case ():
            return Abstention("the query found nothing")
        case (sample,):
            return Decimal(format_sample_value(sample.value))
        case several:
            return Abstention(f"the query found {len(several)} samples; a rule needs one that comes to a single series")
