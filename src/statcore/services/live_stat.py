"""Live statistics of kernels from the metric backend alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from statcore.errors import InputError, ProtocolError
from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.duration import format_duration
from statcore.model.ids import id_text
from statcore.model.time_range import parse_time
from statcore.model.vector import VectorResult
from statcore.ports.promql import PromQLPort
from statcore.promql.live_stat import id_batches, live_stat_queries
from statcore.promql.render import render
from statcore.promql.syntax import Expression
from statcore.promql.utilization import RATE_INTERVAL
from statcore.services.live_entries import Figures, LiveFigures, figures
from statcore.statistics.side_by_side import run_together

if TYPE_CHECKING:
    from asyncio import Lock, Semaphore

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
        read = StatisticsBatch.join(await run_together(self._read(batch, moment, gate, turn) for batch in batches))
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

        answers = await run_together(ask(getattr(queries, name)) for name in names)
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
