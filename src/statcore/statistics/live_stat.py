"""Live statistics of kernels from the samples of a metric backend: implements `KernelStatisticsPort`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import attrs

from statcore.concurrency import run_concurrently
from statcore.errors import InputError, ProtocolError
from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.numbers import decimal_text, percent_text
from statcore.model.results import VectorResult
from statcore.model.statistics import STATS, UNBOUNDED, MetricValue, has_bound, unit_hint
from statcore.model.text import id_text
from statcore.model.time import format_duration, parse_time
from statcore.ports.promql import PromQLPort
from statcore.promql.live_stat import RATED_METRICS, id_batches, live_stat_queries
from statcore.promql.syntax import Expression, render
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.container import CONTAINER_METRIC_LABEL

if TYPE_CHECKING:
    from asyncio import Lock, Semaphore

_OTHER_COUNTERS: Final = frozenset({"cpu_used", "io_read", "io_write"})
"""Shown as they are counted; the highest and the average of a counter mean nothing."""

Figures: TypeAlias = Mapping[str, Mapping[tuple[str, str], float]]
"""By kernel, then by metric and value type."""


def figures(answer: VectorResult, kernel_ids: Collection[str]) -> Figures:
    """Sort an answer's samples by kernel and metric; those without the name of a metric are none of ours.

    Raises:
        ProtocolError: the answer has a kernel that was not asked for.
    """
    found: dict[str, dict[tuple[str, str], float]] = {}
    for sample in answer.samples:
        labels = sample.labels
        kernel_id = labels.get("kernel_id", "")
        if kernel_id not in kernel_ids:
            raise ProtocolError(f"the metric backend answered with kernel_id {kernel_id!r:.100}, which was not asked for")
        if metric := labels.get(CONTAINER_METRIC_LABEL):
            found.setdefault(kernel_id, {})[metric, labels.get("value_type", "current")] = sample.value
    return found


@attrs.frozen(kw_only=True)
class LiveFigures:
    """The six answers for some kernels; all but `now` are of current values."""

    now: Figures
    rate_now: Figures
    max: Figures
    avg: Figures
    rate_max: Figures
    rate_avg: Figures

    def entry(self, kernel_id: str) -> tuple[dict[str, Any] | None, list[str]]:
        """Return `{metric: MetricValue map}` of a kernel, None without samples, and what of it is not finite.

        A metric without a finite current value is left out of the map: 0 would be taken for a figure. A counter whose
        current value is its rate is left out while it has none. A capacity that is not a number leaves the metric without
        a bound; an infinite one says that there is none, and is no fault.
        """
        now = self.now.get(kernel_id)
        if now is None:
            return None, []
        metrics: dict[str, Any] = {}
        not_finite: list[str] = []
        for (metric, value_type), figure in now.items():
            if value_type != "current":
                if has_bound(metric) and not figure > -math.inf:
                    not_finite.append(f"the {value_type} of {metric}")
                continue
            try:
                value = self._value(kernel_id, metric)
            except InputError:
                not_finite.append(metric)
                continue
            if value is not None:
                # The key is there, and nil, in the live statistics that managers make of the same answers.
                metrics[metric] = {**value.to_map(), "stats.version": None}
        return metrics, not_finite

    def _value(self, kernel_id: str, metric: str) -> MetricValue | None:
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
        """Return the moving statistics; the maximum and the average of a window without a step are the current value."""
        metric, _ = key
        rated = metric in RATED_METRICS
        maxima, averages = (self.rate_max, self.rate_avg) if rated else (self.max, self.avg)
        highest, average = (some.get(kernel_id, {}).get(key, current) for some in (maxima, averages))
        # The window is looked at in steps, of which the current value need not be one.
        known = {"max": current if math.isnan(highest) else max(highest, current), "avg": average}
        finite = {name: decimal_text(number) for name, number in known.items() if math.isfinite(number)}
        rate = {"rate": decimal_text(current)} if rated else {}
        if metric == "cpu_util":
            rate["diff"] = rate["rate"]  # where managers answer it
        return {name: text for name, text in _all_stats(finite | rate).items() if name in finite or name not in known}


def _all_stats(known: Mapping[str, str]) -> dict[str, str]:
    """Return every moving statistic, "0" where one does not apply."""
    return {name: known.get(name, "0") for name in STATS}


def _two_places(text: str) -> str:
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"


_AT_ONCE: Final = 6
"""How many questions are on their way at any time: those about one batch of kernels."""
_KERNELS_A_TURN: Final = 32


@attrs.frozen
class KernelLiveStatService:
    """Answers as a store of live statistics does for kernels; implements `KernelStatisticsPort`.

    The backend knows kernels, not sessions: under the id of a session it has no samples, and the entry is None.

    Entries have the unit hints that agents write, and the keys that managers answer: every statistic, "0" where it does not
    apply. A metric without a bound, or without a finite capacity, has the capacity 9223372036854775807; `pct` always has
    two places. `stats` are of the window: the highest and the average of what `current` shows, and the rate where that is
    a rate. A rate is one over the whole window, and so too low for a kernel that is younger. A metric of which the current
    value is not finite is left out, and the position marked *incomplete*; so is an average that is not finite. A capacity
    that is NaN marks it, too.

    Args:
        promql: the backend, which stays the caller's to close.
        window: what rates and moving statistics are taken over.
    """

    promql: PromQLPort
    window: str = attrs.field(default=RATE_INTERVAL, kw_only=True, converter=format_duration)

    async def fetch_kernel_statistics(
        self, kernel_ids: Sequence[UUID | str], /, *, time: datetime | None = None
    ) -> StatisticsBatch:
        """Return `{metric: MetricValue map}` of each kernel as of one moment, None where there are no samples.

        Where the backend says that an answer may lack something, every position that it is about is *incomplete*.

        Args:
            kernel_ids: any number, of which any may recur.
            time: the moment (aware), by default the backend's now.

        Raises:
            InputError: something that is not an id, or a time without a zone.
            ProtocolError: an answer to something else than was asked.
            StatcoreError: any of the questions failed, as `PromQLPort` says.
        """
        from asyncio import Lock, Semaphore  # noqa: PLC0415 - costs as much as the rest of the import, and is there by now

        ids = [id_text(kernel_id) for kernel_id in kernel_ids]
        batches = tuple(id_batches(ids))
        if not batches:
            return StatisticsBatch()
        moment = await self._now() if time is None else parse_time(time)
        gate = Semaphore(_AT_ONCE)
        turn = Lock()  # one batch works at a time: all of them in one turn of the event loop would hold it for long
        read = StatisticsBatch.join(await run_concurrently(self._read(batch, moment, gate, turn) for batch in batches))
        position_of = {kernel_id: position for position, kernel_id in enumerate(dict.fromkeys(ids))}
        return read.select(position_of[kernel_id] for kernel_id in ids)

    async def _now(self) -> datetime:
        samples = (await self.promql.query("time()")).samples
        try:
            (sample,) = samples
            return parse_time(sample.value)
        except (InputError, ValueError) as error:
            raise ProtocolError(f"the metric backend answered {samples!r:.200} to what time it is") from error

    async def _read(self, kernel_ids: Sequence[str], moment: datetime, gate: Semaphore, turn: Lock) -> StatisticsBatch:
        from asyncio import sleep  # noqa: PLC0415 - likewise

        async with turn:
            queries = live_stat_queries(kernel_ids, window=self.window)
            await sleep(0)
        names = [field.name for field in attrs.fields(type(queries))]

        async def ask(expression: Expression) -> VectorResult:
            async with gate:
                return await self.promql.query(render(expression), time=moment)

        answers = await run_concurrently(ask(getattr(queries, name)) for name in names)
        async with turn:
            return await _batch(kernel_ids, dict(zip(names, answers, strict=True)))


async def _batch(kernel_ids: Sequence[str], answers: Mapping[str, VectorResult]) -> StatisticsBatch:
    """Put the answers together in small pieces, between which others have the event loop."""
    from asyncio import sleep  # noqa: PLC0415 - likewise

    wanted = frozenset(kernel_ids)
    found: dict[str, Figures] = {}
    for name, answer in answers.items():
        found[name] = figures(answer, wanted)
        await sleep(0)
    live, doubts = LiveFigures(**found), _doubts(answers.values())
    entries: list[Mapping[str, Any] | None] = []
    problems: dict[int, Problem] = {}
    for position, kernel_id in enumerate(kernel_ids):
        if position % _KERNELS_A_TURN == 0:
            await sleep(0)
        entry, not_finite = live.entry(kernel_id)
        entries.append(entry)
        if reasons := [*doubts, *(f"{metric} is not finite" for metric in not_finite)]:
            problems[position] = Problem(ProblemKind.INCOMPLETE, message="; ".join(reasons))
    return StatisticsBatch(entries, problems=problems)


def _doubts(answers: Collection[VectorResult]) -> list[str]:
    warnings = dict.fromkeys(warning for answer in answers for warning in answer.warnings)
    if not warnings and any(answer.partial for answer in answers):
        return ["the metric backend says that its answer is partial"]
    return list(warnings)
