"""The six expressions that read the live statistics of many kernels from Prometheus alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import attrs

from statcore.errors import InputError
from statcore.model.text import id_text
from statcore.model.time import format_duration
from statcore.promql.syntax import Aggregation, Call, Expression, RangeSelector, Selector, Subquery
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, COUNTERS, VALUE_TYPES
from statcore.queriers.matcher import LabelMatcher

MAX_IDS: Final = 256
"""How many kernels one expression names at most."""
RATED_METRICS: Final = tuple(COUNTERS)
"""Counters whose current value is their rate; without a rate they have no current value."""


@attrs.frozen(kw_only=True)
class LiveStatQueries:
    """Expressions to evaluate at the same time; all are grouped by metric and kernel, and `now` also by value type."""

    now: Expression
    rate_now: Expression
    max: Expression
    avg: Expression
    rate_max: Expression
    rate_avg: Expression


def id_batches(ids: Iterable[UUID | str]) -> Iterator[tuple[str, ...]]:
    """Yield the distinct ids as text, in the order given, in batches of at most `MAX_IDS`.

    Raises:
        InputError: a value that is not an id.
    """
    return distinct_batches(map(id_text, ids))


def distinct_batches(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield batches as `id_batches` does, for ids that are canonical text already."""
    distinct = tuple(dict.fromkeys(ids))
    for start in range(0, len(distinct), MAX_IDS):
        yield distinct[start : start + MAX_IDS]


def live_stat_queries(kernel_ids: Sequence[UUID | str], *, window: timedelta | str = RATE_INTERVAL) -> LiveStatQueries:
    """Return the expressions for one batch of kernels.

    Args:
        kernel_ids: from 1 to `MAX_IDS` distinct ids.
        window: the duration of the rates, maxima and averages.

    Raises:
        InputError: no id (which must never mean every kernel), too many ids, a value that is not an id, or a window that is
            not a positive duration.
    """
    ids = set(map(id_text, kernel_ids))
    if len(ids) > MAX_IDS:
        raise InputError(f"{len(ids)} kernels in one expression; take at most {MAX_IDS} at a time, as from id_batches")
    return batch_queries(ids, window=window)


def batch_queries(ids: Collection[str], *, window: timedelta | str) -> LiveStatQueries:
    """Return what `live_stat_queries` returns, for a batch of `distinct_batches`."""
    window = format_duration(window)
    kernels = ("kernel_id", LabelMatcher.one_of(ids))
    by = (CONTAINER_METRIC_LABEL, "kernel_id")

    current = Aggregation("sum", Selector(CONTAINER_SERIES, [kernels, ("value_type", "current")]), by=by)
    rated = (CONTAINER_METRIC_LABEL, LabelMatcher.one_of(RATED_METRICS))
    counters = Selector(CONTAINER_SERIES, [kernels, rated, ("value_type", "current")])
    rate_now = Aggregation("sum", Call("rate", RangeSelector(counters, window)), by=by)
    both = Selector(CONTAINER_SERIES, [kernels, ("value_type", LabelMatcher.regex("|".join(VALUE_TYPES)))])
    return LiveStatQueries(
        now=Aggregation("sum", both, by=(*by, "value_type")),
        rate_now=rate_now,
        max=Call("max_over_time", Subquery(current, window)),
        avg=Call("avg_over_time", Subquery(current, window)),
        rate_max=Call("max_over_time", Subquery(rate_now, window)),
        rate_avg=Call("avg_over_time", Subquery(rate_now, window)),
    )
