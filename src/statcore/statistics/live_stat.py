"""Live statistics of kernels from the samples of a metric backend: implements `KernelStatisticsPort`."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import attrs

from statcore.concurrency import give_way, in_turns, limiter, run_concurrently
from statcore.errors import InputError, ProtocolError
from statcore.model.batch import StatisticsBatch
from statcore.model.numbers import decimal_text, percent_text
from statcore.model.results import AnswerNotes, Sample, VectorResult
from statcore.model.statistics import STATS, UNBOUNDED, MetricValue, Problem, ProblemKind, has_bound, unit_hint
from statcore.model.text import id_text
from statcore.model.time import format_duration, parse_time
from statcore.ports.promql import PromQLPort
from statcore.promql.live_stat import RATED_METRICS, batch_queries, distinct_batches
from statcore.promql.syntax import Expression, render
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import CONTAINER_METRIC_LABEL

_logger: Final = logging.getLogger(__name__)
_CONCURRENT_QUERIES: Final = 6
"""How many queries are sent at once: the queries of one batch of kernels."""
_KERNELS_PER_TURN: Final = 32
_OTHER_COUNTERS: Final = frozenset({"cpu_used", "io_read", "io_write"})
"""Counters with the count as current value; the maximum and the average of a counter mean nothing."""
_TurnTaking: TypeAlias = AbstractAsyncContextManager[object]


@attrs.frozen
class KernelLiveStatService:
    """Answers like a store of live statistics, but for kernels only; implements `KernelStatisticsPort`.

    The backend knows kernels and no sessions: under the id of a session it has no samples, and the entry is None.

    Entries have the unit hints that agents write, and the keys that managers answer with: every moving statistic, "0" if it
    does not apply. A metric without a bound, or without a finite capacity, has the capacity 9223372036854775807; `pct`
    always has two places. `stats` are of the window: the maximum and the average of what `current` shows, and the rate if
    `current` is a rate. A rate is always over the whole window, so it is too low for a kernel that is younger.

    A metric whose current value is not finite is left out, and its position is *incomplete*. An average that is not finite
    is left out, too. A capacity that is NaN makes the position *incomplete*.

    Args:
        promql: the backend; the caller closes it.
        window: the window of rates and moving statistics, as a timedelta or text such as 5m.

    Raises:
        InputError: the window is not a duration.
    """

    promql: PromQLPort
    window: str = attrs.field(default=RATE_INTERVAL, kw_only=True, converter=format_duration)

    async def fetch_kernel_statistics(
        self, kernel_ids: Sequence[UUID | str], /, *, time: datetime | None = None
    ) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each kernel as of one moment, None for a kernel without samples.

        If the backend says that an answer may lack data, every position of the answer's kernels is *incomplete*.

        Args:
            kernel_ids: any number of ids, duplicates included.
            time: the moment (aware), by default the backend's now.

        Raises:
            InputError: an id is not a UUID, or the time has no zone.
            ProtocolError: the backend answered with kernels that the query does not name.
            StatcoreError: a query failed, as `PromQLPort` says.
        """
        ids = [id_text(kernel_id) for kernel_id in kernel_ids]
        batches = tuple(distinct_batches(ids))
        if not batches:
            return StatisticsBatch()
        moment = await self._now() if time is None else parse_time(time)
        sending = limiter(_CONCURRENT_QUERIES)
        computing = limiter(1)  # several batches in one turn of the event loop would block it for too long
        distinct = StatisticsBatch.join(
            await run_concurrently(self._read(batch, moment, sending, computing) for batch in batches)
        )
        position_of = {kernel_id: position for position, kernel_id in enumerate(dict.fromkeys(ids))}
        return distinct.select(position_of[kernel_id] for kernel_id in ids)

    async def _now(self) -> datetime:
        samples = (await self.promql.query("time()")).samples
        try:
            (sample,) = samples
            return parse_time(sample.value)
        except (InputError, ValueError) as error:
            raise ProtocolError(
                f"expected one sample for time(), but the metric backend answered {samples!r:.200}"
            ) from error

    async def _read(
        self, kernel_ids: Sequence[str], moment: datetime, sending: _TurnTaking, computing: _TurnTaking
    ) -> StatisticsBatch:
        async with computing:
            queries: dict[str, Expression] = attrs.asdict(batch_queries(kernel_ids, window=self.window), recurse=False)
            await give_way()

        async def query(expression: Expression) -> VectorResult:
            async with sending:
                return await self.promql.query(render(expression), time=moment)

        answers = await run_concurrently(map(query, queries.values()))
        async with computing:
            return await _batch(kernel_ids, dict(zip(queries, answers, strict=True)))


async def _batch(kernel_ids: Sequence[str], answers: Mapping[str, VectorResult]) -> StatisticsBatch:
    """Return the entries of kernels from the answers to their queries, giving way to the event loop in between."""
    named = frozenset(kernel_ids)
    samples: dict[str, Samples] = {}
    for name, answer in answers.items():
        samples[name] = group_samples(answer, named)
        await give_way()
    live, doubt = LiveSamples(**samples), doubt_of(answers.values())
    entries: list[Mapping[str, Any] | None] = []
    problems: dict[int, Problem] = {}
    async for part in in_turns(kernel_ids, size=_KERNELS_PER_TURN):
        for kernel_id in part:
            entry, not_finite = live.entry(kernel_id)
            if faults := [f"{metric} is not finite" for metric in not_finite]:
                faults = [doubt.message, *faults] if doubt else faults
                problems[len(entries)] = Problem(ProblemKind.INCOMPLETE, message="; ".join(faults))
            elif doubt:
                problems[len(entries)] = doubt
            entries.append(entry)
    return StatisticsBatch(entries, problems=problems)


def doubt_of(answers: Iterable[AnswerNotes]) -> Problem | None:
    """Return the problem that answers may lack data, if the backend says so.

    Its reasons are only in the log, because they may have addresses, and callers may be confined.
    """
    reasons = dict.fromkeys(
        reason for answer in answers for reason in answer.warnings or (["the answer is partial"] if answer.partial else ())
    )
    if not reasons:
        return None
    _logger.warning("the metric backend says that its answer may lack data: %s", "; ".join(reasons))
    return Problem(ProblemKind.INCOMPLETE, message="the metric backend says that its answer may lack data")


Samples: TypeAlias = Mapping[str, Mapping[tuple[str, str], float]]
"""Sample values by kernel id, then by metric and value type."""


def group_samples(answer: VectorResult, kernel_ids: Collection[str]) -> Samples:
    """Return an answer's sample values by kernel and metric, without samples that have no metric label.

    Raises:
        ProtocolError: a sample's kernel is none of `kernel_ids`.
    """
    by_kernel: dict[str, dict[tuple[str, str], float]] = {}
    for sample in answer.samples:
        kernel_id = kernel_of(sample, kernel_ids)
        if metric := sample.labels.get(CONTAINER_METRIC_LABEL):
            by_kernel.setdefault(kernel_id, {})[metric, sample.labels.get("value_type", "current")] = sample.value
    return by_kernel


def kernel_of(sample: Sample, kernel_ids: Collection[str]) -> str:
    """Return the kernel of a sample.

    Raises:
        ProtocolError: it is none of `kernel_ids`, which the query names.
    """
    kernel_id = sample.labels.get("kernel_id", "")
    if kernel_id not in kernel_ids:
        raise ProtocolError(f"the backend answered with kernel_id {kernel_id!r:.100}, which the query does not name")
    return kernel_id


class LiveSamples(NamedTuple):
    """Samples of the six answers for some kernels; all but `now` have current values only."""

    now: Samples
    rate_now: Samples
    max: Samples
    avg: Samples
    rate_max: Samples
    rate_avg: Samples

    def entry(self, kernel_id: str) -> tuple[dict[str, Any] | None, list[str]]:
        """Return `{metric: MetricValue map}` of a kernel, None without samples, and which values are not finite.

        A metric without a finite current value is left out, since 0 would be a value. A counter whose current value is its
        rate is left out while it has no rate. A capacity that is NaN leaves the metric without a bound, and is named. An
        infinite capacity says that there is no bound, and is not named.
        """
        now = self.now.get(kernel_id)
        if now is None:
            return None, []
        metrics: dict[str, Any] = {}
        not_finite: list[str] = []
        for (metric, value_type), number in now.items():
            if value_type != "current":
                if has_bound(metric) and not number > -math.inf:
                    not_finite.append(f"the {value_type} of {metric}")
                continue
            try:
                value = self._value(kernel_id, metric)
            except InputError:
                not_finite.append(metric)
                continue
            if value is not None:
                # Managers answer with this key, and with nil as its value.
                metrics[metric] = {**value.to_map(), "stats.version": None}
        return metrics, not_finite

    def _value(self, kernel_id: str, metric: str) -> MetricValue | None:
        """Return the value of a metric, None for a counter without a rate.

        Raises:
            InputError: the current value or the percentage is not finite.
        """
        key, now = (metric, "current"), self.now[kernel_id]
        rated = metric in RATED_METRICS
        current = self.rate_now.get(kernel_id, {}).get(key) if rated else now[key]
        if current is None:
            return None
        limit = now.get((metric, "capacity"), math.inf)
        capacity = decimal_text(limit) if has_bound(metric) and math.isfinite(limit) else None
        return MetricValue(
            current=decimal_text(current),
            capacity=UNBOUNDED if capacity is None else capacity,
            pct=_two_places(percent_text(current, capacity)),
            unit_hint=unit_hint(metric),
            stats=_all_stats({}) if metric in _OTHER_COUNTERS else self._stats(kernel_id, key, current),
        )

    def _stats(self, kernel_id: str, key: tuple[str, str], current: float) -> dict[str, str]:
        """Return the moving statistics; without a step in the window, maximum and average are the current value."""
        metric, _ = key
        rated = metric in RATED_METRICS
        maxima, averages = (self.rate_max, self.rate_avg) if rated else (self.max, self.avg)
        maximum, average = (samples.get(kernel_id, {}).get(key, current) for samples in (maxima, averages))
        # The backend evaluates the window in steps, and the current value need not be at one of them.
        known = {"max": current if math.isnan(maximum) else max(maximum, current), "avg": average}
        finite = {name: decimal_text(number) for name, number in known.items() if math.isfinite(number)}
        rate = {"rate": decimal_text(current)} if rated else {}
        if metric == "cpu_util":
            rate["diff"] = rate["rate"]  # as managers do
        return {name: text for name, text in _all_stats(finite | rate).items() if name in finite or name not in known}


def _all_stats(known: Mapping[str, str]) -> dict[str, str]:
    """Return every moving statistic, "0" for a statistic that is not known."""
    return {name: known.get(name, "0") for name in STATS}


def _two_places(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"
