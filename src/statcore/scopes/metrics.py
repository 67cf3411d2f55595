"""Metric backends confined to a scope: the scope's matchers are in every selector that is sent."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Final, TypeVar

import attrs

from statcore.concurrency import run_concurrently
from statcore.errors import UnsupportedError
from statcore.model.results import MatrixResult, Sample, Series, VectorResult
from statcore.model.time import QueryTimeRange
from statcore.ports.metrics import MetricQuerierPort, utilization_text_of
from statcore.ports.promql import PromQLPort, as_promql
from statcore.promql.syntax import Selector
from statcore.promql.templates import FilledTemplate
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.interface import PreparedQuerier, UtilizationMetricQuerier, resolve
from statcore.queriers.matcher import LabelMatcher, Matchers, as_labels, as_matcher
from statcore.scopes.scope import Scope

_KERNEL: Final = "kernel_id"
_Answer = TypeVar("_Answer", MatrixResult, VectorResult)
_Labelled = TypeVar("_Labelled", Series, Sample)


@attrs.frozen(eq=False)
class ConfinedMetrics:
    """A `MetricQuerierPort` and `PromQLPort` over another backend that answers from the series of a scope only.

    The scope's matchers are added to every selector. A matcher of the caller on the same label stays beside them, so that a
    caller who names the objects of others gets no series. Series without the scope's labels are in no scope.

    Of PromQL it evaluates only what a preset was filled in with: any other text could read other series.

    A scope with several alternatives that cannot be one selector is queried once for each of them. Then the querier must
    group by `kernel_id`: a sum over kernels would count a kernel twice that two alternatives allow.

    Each method raises the errors of the backend, and `UnsupportedError` for a query that cannot be confined.

    Args:
        backend: the backend; the caller closes it.
        scope: what is allowed.
    """

    backend: MetricQuerierPort
    scope: Scope

    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        """Return the querier's utilization of the allowed series at every point of the range."""
        answers = await run_concurrently(
            self.backend.query_utilization(confined, time_range, rate_interval=rate_interval)
            for confined in self._confined(querier)
        )
        return attrs.evolve(
            _with_all_notes(answers), series=_joined(series for answer in answers for series in answer.series)
        )

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        /,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        """Return the querier's utilization of the allowed series at `time` (aware), by default the backend's now."""
        answers = await run_concurrently(
            self.backend.query_utilization_now(confined, time=time, rate_interval=rate_interval)
            for confined in self._confined(querier)
        )
        return attrs.evolve(
            _with_all_notes(answers),
            samples=tuple(of_labels[0] for of_labels in _by_labels(s for answer in answers for s in answer.samples)),
        )

    def utilization_text(
        self, querier: UtilizationMetricQuerier, /, *, rate_interval: timedelta | str = RATE_INTERVAL
    ) -> str | None:
        """Return the text of the queries by which `query_utilization` answers, with `or` between several."""
        texts = [
            utilization_text_of(self.backend, confined, rate_interval=rate_interval) for confined in self._confined(querier)
        ]
        return None if None in texts else " or ".join(filter(None, texts))

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the distinct values of a label, sorted, among the allowed series that `match` selects, by default all."""
        answers = await run_concurrently(
            self.backend.label_values(label, match=confined, time_range=time_range) for confined in self._selectors(match)
        )
        return sorted({value for values in answers for value in values})

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the label sets, `__name__` included, of the allowed series that `match` selects."""
        answers = await run_concurrently(
            self.backend.series(confined, time_range=time_range) for confined in self._selectors(match)
        )
        return list({frozenset(labels.items()): labels for answer in answers for labels in answer}.values())

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate what a preset was filled in with, at `time` (aware), by default the backend's now."""
        return await self._promql().query(self.promql_text(promql), time=time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate what a preset was filled in with, at every point of the range."""
        return await self._promql().query_range(self.promql_text(promql), time_range)

    def promql_text(self, promql: str) -> str:
        """Return what a preset was filled in with, with the scope's matchers."""
        if not isinstance(promql, FilledTemplate):
            raise UnsupportedError("PromQL is evaluated only for callers who may see everything; use a querier or a preset")
        alternatives = self.scope.matchers
        if len(alternatives) > 1:
            raise UnsupportedError(
                f"the scope has {len(alternatives)} alternatives, and a preset may count a kernel twice that is in several"
            )
        return promql.confined(alternatives[0])

    async def ping(self) -> None:
        """Return when the backend answers; raise as a query would when it does not."""
        await self.backend.ping()

    async def aclose(self) -> None:
        """Do nothing: the backend belongs to the caller."""

    def _confined(self, querier: UtilizationMetricQuerier) -> list[PreparedQuerier]:
        query = resolve(querier)
        alternatives = self.scope.matchers
        if len(alternatives) > 1 and _KERNEL not in query.group_by:
            raise UnsupportedError(
                f"the scope has {len(alternatives)} alternatives, and a kernel may be in several; group by {_KERNEL}"
            )
        return [
            PreparedQuerier(query._replace(wanted=as_labels(_added(query.matchers, matchers)))) for matchers in alternatives
        ]

    def _selectors(self, match: Selector | None) -> list[Selector]:
        if match is None:
            return [Selector(None, matchers) for matchers in self.scope.matchers]
        return [
            Selector(match.name, _added(match.matchers, matchers), offset=match.offset) for matchers in self.scope.matchers
        ]

    def _promql(self) -> PromQLPort:
        return as_promql(self.backend, reason="this is a preset")


def _added(matchers: Iterable[tuple[str, str | LabelMatcher]], more: Matchers) -> Matchers:
    """Return matchers with those of a scope, without the scope's where the first are as narrow."""
    pairs = tuple(matchers)
    return (
        *pairs,
        *[
            (label, allowed)
            for label, allowed in more
            if not any(name == label and as_matcher(matcher).is_within(as_matcher(allowed)) for name, matcher in pairs)
        ],
    )


def _by_labels(items: Iterable[_Labelled]) -> Iterable[list[_Labelled]]:
    """Return the items in lists, one for each distinct set of labels."""
    items_of: dict[frozenset[tuple[str, str]], list[_Labelled]] = {}
    for item in items:
        items_of.setdefault(frozenset(item.labels.items()), []).append(item)
    return items_of.values()


def _joined(series: Iterable[Series]) -> tuple[Series, ...]:
    """Return the series with distinct labels, each with the points of all answers that have it.

    If two alternatives allow a kernel at the same time, both answers have the same value. If the kernel changed its owner,
    each answer has the points of one owner.
    """
    joined: list[Series] = []
    for first, *others in _by_labels(series):
        if any(other.timestamps != first.timestamps for other in others):
            points = dict(chain.from_iterable(zip(s.timestamps, s.values, strict=True) for s in (*reversed(others), first)))
            times = sorted(points)
            values = array("d", map(points.__getitem__, times))
            joined.append(Series(labels=first.labels, timestamps=array("d", times), values=values))
        else:
            joined.append(first)
    return tuple(joined)


def _with_all_notes(answers: Sequence[_Answer]) -> _Answer:
    """Return the first answer with the notes of all."""
    return attrs.evolve(
        answers[0],
        warnings=tuple(dict.fromkeys(warning for answer in answers for warning in answer.warnings)),
        infos=tuple(dict.fromkeys(info for answer in answers for info in answer.infos)),
        partial=any(answer.partial for answer in answers),
    )
