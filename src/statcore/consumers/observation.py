"""From what was read to the one number that a rule looks at, or to the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias, cast

import attrs

from statcore.errors import MalformedEntryError, StatcoreError
from statcore.model.batch import StatisticsBatch
from statcore.model.response import format_sample_value
from statcore.model.statistics import UNBOUNDED, finite_number
from statcore.model.text import describe
from statcore.model.vector import VectorResult


@attrs.frozen
class Abstention:
    """Why a rule has nothing to decide on."""

    reason: str


Observation: TypeAlias = Decimal | Abstention


def mean_pct(metric: str, kernel_ids: Sequence[str], statistics: StatisticsBatch) -> Observation:
    """Return the mean `pct` of a metric over the kernels that have it.

    A kernel without an entry or without the metric is left out. One whose data is there but not to be trusted makes the
    rule abstain: the mean of the others would be a decision on part of the load.
    """
    found: list[Decimal] = []
    for position, (kernel_id, entry) in enumerate(zip(kernel_ids, statistics.entries, strict=True)):
        if problem := statistics.problems.get(position):
            return Abstention(f"kernel {kernel_id} has {problem.kind} data: {problem.message}")
        if entry is None or metric not in entry:
            continue
        fields = _fields(f"kernel {kernel_id}", entry, metric)
        if isinstance(fields, Abstention):
            return fields
        percent = finite_number(fields.get("pct"))
        if percent is None:
            return Abstention(f"kernel {kernel_id} has no finite {metric}: pct is {fields.get('pct')!r:.100}")
        capacity = fields.get("capacity")
        if not percent and (capacity == UNBOUNDED or not finite_number(capacity)):  # 0.00 is what is written then
            return Abstention(f"kernel {kernel_id} has no capacity of {metric}, and so no percentage")
        found.append(percent)
    if not found:
        return Abstention(f"none of {len(kernel_ids)} kernels has {metric}")
    return sum(found, Decimal()) / len(found)


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
            return Abstention(f"the query found {len(several)} samples; its querier must filter by what it groups by")
