"""Observations: the value that a rule looks at, computed from data that was read, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

import attrs

from statcore.errors import MalformedEntryError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.numbers import finite_number, format_sample_value
from statcore.model.results import VectorResult
from statcore.model.statistics import has_capacity
from statcore.model.text import describe

_IDLE_PCT: Final = Decimal(0)
_FULL_PCT: Final = Decimal(100)


@attrs.frozen
class Abstention:
    """The reason why a rule is blind: it has no value to decide on. While a rule is blind, nothing is scaled down."""

    reason: str


@attrs.frozen
class PartialMean:
    """Mean of which some values are missing: the percentages of kernels with data, and the number of kernels without."""

    values: tuple[Decimal, ...]
    missing: int

    @property
    def missing_range(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest percentage that a kernel without data may have.

        The range is 0 to 100, or to the highest known percentage: that of several cores may be above 100.
        """
        return _IDLE_PCT, max(_FULL_PCT, *self.values)

    def mean(self, missing: Decimal) -> Decimal:
        """Return the mean for the case that each kernel without data has the percentage `missing`."""
        return (sum(self.values, Decimal()) + self.missing * missing) / (len(self.values) + self.missing)


Observation: TypeAlias = Decimal | PartialMean | Abstention


def mean_pct(
    metric: str, replicas: Sequence[Sequence[int]], kernel_ids: Sequence[str], statistics: StatisticsBatch
) -> Observation:
    """Return the mean `pct` of a metric over the kernels of an endpoint's replicas.

    A kernel without an entry lacks data. A replica without any kernel that has the metric lacks the data of one kernel. A
    kernel without the metric is left out if another kernel of its replica has it. A kernel with a problem, or without a
    finite percentage, makes the rule blind.

    Args:
        metric: the metric's name.
        replicas: for each replica the positions of its kernels, empty if these are not known.
        kernel_ids: the kernels by position.
        statistics: their entries by position.

    Returns:
        The mean, a `PartialMean` if some kernels lack data, or an abstention if all do or the rule is blind.
    """
    percentages: list[Decimal] = []
    missing = 0
    for positions in replicas:
        known_before, missing_before = len(percentages), missing
        for position in positions:
            percent = _percent(metric, kernel_ids[position], statistics, position)
            if isinstance(percent, Abstention):
                return percent
            if percent is not None:
                percentages.append(percent)
            elif statistics.entries[position] is None:
                missing += 1
        if (known_before, missing_before) == (len(percentages), missing):
            missing += 1
    if not percentages:
        return Abstention(f"none of {sum(map(len, replicas))} kernels has {metric}")
    return PartialMean(tuple(percentages), missing) if missing else sum(percentages, Decimal()) / len(percentages)


def _percent(metric: str, kernel_id: str, statistics: StatisticsBatch, position: int) -> Decimal | Abstention | None:
    """Return the percentage of a metric of one kernel, None if the kernel has no entry or not the metric."""
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
    if not percent and not has_capacity(fields.get("capacity")):
        return Abstention(f"kernel {kernel_id} has no capacity of {metric}, and so no percentage")
    return percent


def current_per_replica(metric: str, statistics: StatisticsBatch, *, active: int) -> Observation:
    """Return the `current` value of a metric in the only entry of a batch, divided by the active replicas, or by 1.

    Args:
        metric: the metric's name.
        statistics: the entry of one endpoint.
        active: the number of active replicas.
    """
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
        return Abstention(f"{metric} is a histogram, which has no single current value")
    number = finite_number(current)
    if number is None:
        return Abstention(f"the endpoint has no finite {metric}: current is {current!r:.100}")
    return number / (active or 1)


def _fields(owner: str, entry: Mapping[str, Any], metric: str) -> Mapping[str, Any] | Abstention:
    try:
        fields = entry[metric]
    except MalformedEntryError as error:
        return Abstention(f"{owner} has malformed data: {error}")
    if isinstance(fields, Mapping):
        return cast("Mapping[str, Any]", fields)
    return Abstention(f"{owner} has malformed data: {metric} is {fields!r:.100}")


def only_sample(answer: VectorResult | StatcoreError) -> Observation:
    """Return the value of the only sample that a query found, or an abstention.

    The value may be NaN or infinite; `decide` treats such a rule as blind.
    """
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
            return Abstention(f"the query found {len(several)} samples; the query of a rule must result in a single series")
