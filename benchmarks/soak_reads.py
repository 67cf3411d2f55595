"""The reads of a soak, by kind, and what is wrong with their answers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, TypeAlias

import aiohttp
import attrs
from soak_ledger import Ledger, View, sample_fault, stamp
from soak_site import KERNELS, LOOKBACK_S, METRICS, RANGE_S, agent_id, owners
from workload import kernel_ids, session_ids

from statcore.errors import StatcoreError
from statcore.model import MatrixResult, MetricValue, Problem, ProblemKind, QueryTimeRange, VectorResult
from statcore.model.results import AnswerNotes
from statcore.model.store_keys import NO_ACTIVITY
from statcore.ports import MetricQuerierPort, StatisticsSinkPort
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES
from statcore.statistics import StatisticsRepository, UtilizationSource

_KERNEL_IDS: Final = kernel_ids(KERNELS)
_SESSION_IDS: Final = session_ids(KERNELS)
_ENDPOINT_IDS: Final = [f"00000000-0000-0000-0005-{number:012x}" for number in range(10)]
_REPLICAS: Final = [
    (endpoint, f"00000000-0000-0000-0006-{number:012x}") for number, endpoint in enumerate(_ENDPOINT_IDS * 2)
]
_AGENT_IDS: Final = [agent_id(number) for number in range(4)]
_KERNELS: Final = range(KERNELS)
# The two numbers of a session's activity are written and lost by themselves, so each is an object.
_REQUESTS: Final = range(_KERNELS.stop, _KERNELS.stop + KERNELS)
_LAST_RESPONSES: Final = range(_REQUESTS.stop, _REQUESTS.stop + KERNELS)
_ENDPOINTS: Final = range(_LAST_RESPONSES.stop, _LAST_RESPONSES.stop + len(_ENDPOINT_IDS))
_REPLICA_PLACES: Final = range(_ENDPOINTS.stop, _ENDPOINTS.stop + len(_REPLICAS))
_AGENTS: Final = range(_REPLICA_PLACES.stop, _REPLICA_PLACES.stop + len(_AGENT_IDS))
OBJECTS_OF_STORE: Final = _AGENTS.stop
_FIELDS: Final = ["mem.current", "io_read.capacity"]
_AGENT_INTERVAL_S: Final = 300.0
_SHOWN: Final = {ProblemKind.UNAVAILABLE, ProblemKind.INCOMPLETE}
"""The problems of entries that faults of servers explain."""
_BATCH: Final = 20
_PAGE: Final = 25
_NO_VALUE: Final[Any] = (None, NO_ACTIVITY)
_EXPECTED_CODES: Final = {"UnavailableError", "TimedOutError", "PartialAnswerError"}


@attrs.define
class Answer:
    """What the answer to a read says.

    Args:
        right: how many entries or points are right.
        gaps: how many series or points are missing that a killed server may have lost.
        shown: why others are missing, as the answer says itself, and how many.
        wrong: what is wrong with the rest.
        foreign: errors inside the answer that no fault of a server explains.
    """

    right: int = 0
    gaps: int = 0
    shown: Counter[str] = attrs.field(factory=Counter[str])
    wrong: list[str] = attrs.field(factory=list[str])
    foreign: list[str] = attrs.field(factory=list[str])

    @property
    def is_whole(self) -> bool:
        """Whether all of it is right, and there as far as the servers have it."""
        return not (self.shown or self.wrong or self.foreign)

    def add(self, fault: str | None) -> None:
        """Count an entry or a point."""
        if fault is None:
            self.right += 1
        else:
            self.wrong.append(fault)


Read: TypeAlias = Callable[[Random], Coroutine[Any, Any, Answer]]
ValuesOf: TypeAlias = Callable[[int, Any], Mapping[int, Iterable[object]]]
"""Returns the values in an entry by object, for the place of the entry and the entry."""


@attrs.frozen
class LiveReads:
    """Reads of a store.

    Args:
        repository: the repository over it.
        ledger: what was written to it.
        is_behind: whether replicas are read.
    """

    repository: StatisticsRepository
    ledger: Ledger
    is_behind: bool = attrs.field(default=False, kw_only=True)

    @property
    def kinds(self) -> Mapping[str, Read]:
        """The reads by name."""
        return {
            "kernels": self._kernels,
            "columns": self._columns,
            "activity": self._activity,
            "endpoints": self._endpoints,
            "replicas": self._replicas,
            "agents": self._agents,
        }

    async def _kernels(self, random: Random) -> Answer:
        places, view = random.choices(_KERNELS, k=random.randint(1, KERNELS)), self._view()
        batch = await self.repository.get_kernel_statistics_batch([_KERNEL_IDS[place] for place in places])
        return self._judged(places, batch, batch.problems, _of_one_object(_fields), view)

    async def _columns(self, random: Random) -> Answer:
        places, view = random.sample(_KERNELS, k=random.randint(1, KERNELS)), self._view()
        ids = [_KERNEL_IDS[place] for place in places]
        columns = await self.repository.get_kernel_statistics_columns(ids, _FIELDS)
        rows = [
            None if row == (None,) * len(_FIELDS) else row
            for row in zip(*(columns[field] for field in _FIELDS), strict=True)
        ]
        problems = {position: problem for position, (problem, *_) in columns.problems.items()}
        return self._judged(places, rows, problems, _of_one_object(lambda row: row), view)

    async def _activity(self, random: Random) -> Answer:
        places, view = random.sample(_KERNELS, k=random.randint(1, 20)), self._view()
        batch = await self.repository.get_inference_metrics_batch([_SESSION_IDS[place] for place in places])
        return self._judged(places, batch, batch.problems, _values_of_activity, view)

    async def _endpoints(self, _: Random) -> Answer:
        view = self._view()
        batch = await self.repository.get_endpoint_statistics_batch(_ENDPOINT_IDS)
        return self._judged(_ENDPOINTS, batch, batch.problems, _of_one_object(_fields), view)

    async def _replicas(self, _: Random) -> Answer:
        view = self._view()
        batch = await self.repository.get_replica_statistics_batch(_REPLICAS)
        return self._judged(_REPLICA_PLACES, batch, batch.problems, _of_one_object(_fields), view)

    async def _agents(self, _: Random) -> Answer:
        view = self._view()
        batch = await self.repository.get_agent_statistics_batch(_AGENT_IDS)
        return self._judged(_AGENTS, batch, batch.problems, _of_one_object(lambda entry: _fields(entry["node"])), view)

    def _view(self) -> View:
        return self.ledger.view(is_behind=self.is_behind)

    def _judged(
        self,
        places: Sequence[int],
        entries: Sequence[Any],
        problems: Mapping[int, Problem],
        values_of: ValuesOf,
        view: View,
    ) -> Answer:
        """Return what entries say; all values of an object in an entry are of one write."""
        answer = Answer()
        for position, (place, entry) in enumerate(zip(places, entries, strict=True)):
            if (problem := problems.get(position)) is not None:
                if problem.kind in _SHOWN and entry in _NO_VALUE:
                    answer.shown[problem.kind.value] += 1
                else:
                    answer.wrong.append(f"{entry} of object {place} with {problem}")
            elif entry is None:
                answer.wrong.append(f"nothing for object {place}, and no problem")
            else:
                try:
                    fault = _fault(self.ledger, values_of(place, entry), view)
                except (KeyError, TypeError, ValueError):
                    fault = f"{entry} for object {place}"
                answer.add(fault)
        return answer


def _fault(ledger: Ledger, values: Mapping[int, Iterable[object]], view: View) -> str | None:
    """Return what is wrong with the values of objects in an answer, or None."""
    for place, texts in values.items():
        of_object = {int(str(text)) for text in texts}
        if len(of_object) != 1:
            return f"parts of {len(of_object)} writes for object {place}: {sorted(of_object)}"
        if fault := ledger.fault(place, of_object.pop(), view):
            return fault
    return None


def _values_of_activity(place: int, entry: Mapping[str, int]) -> Mapping[int, Iterable[object]]:
    """Return the values of a session's activity by object."""
    return {_REQUESTS[place]: [entry["requests"]], _LAST_RESPONSES[place]: [entry["last_response_ms"]]}


def _of_one_object(values_of: Callable[[Any], Iterable[object]]) -> ValuesOf:
    return lambda place, entry: {place: values_of(entry)}


def _fields(entry: Mapping[str, Mapping[str, Any]]) -> Iterable[object]:
    return [fields[name] for fields in entry.values() for name in ("current", "capacity")]


async def write_all(sink: StatisticsSinkPort, ledger: Ledger) -> None:
    """Write all objects of a store once; what is confirmed stays so if a later write fails.

    Raises:
        StatcoreError: a write failed.
    """

    def metric(number: int, place: int) -> MetricValue:
        text = str(stamp(number, place))
        return MetricValue(current=text, capacity=text)

    write = ledger.begin_write(_KERNELS)
    metrics = {id_: metric(write.number, place) for id_, place in zip(_KERNEL_IDS, _KERNELS, strict=True)}
    await sink.store_kernel_statistics({id_: {"mem": value, "io_read": value} for id_, value in metrics.items()})
    ledger.confirm(_KERNELS, write)

    async def write_activity(place: int) -> None:
        places = _REQUESTS[place], _LAST_RESPONSES[place]
        requests, last_response_ms = (stamp(write.number, each) for each in places)
        id_ = _SESSION_IDS[place]
        await sink.store_session_activity(id_, requests=requests, last_response_ms=last_response_ms)
        ledger.confirm(places, write)

    write = ledger.begin_write([*_REQUESTS, *_LAST_RESPONSES])
    for start in range(0, KERNELS, _PAGE):
        outcomes = await asyncio.gather(*map(write_activity, _KERNELS[start : start + _PAGE]), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    write = ledger.begin_write(_ENDPOINTS)
    of_endpoints = {id_: str(stamp(write.number, place)) for id_, place in zip(_ENDPOINT_IDS, _ENDPOINTS, strict=True)}
    await sink.store_endpoint_statistics(
        {id_: {"running": {"current": text, "capacity": text}} for id_, text in of_endpoints.items()}
    )
    ledger.confirm(_ENDPOINTS, write)

    write = ledger.begin_write(_REPLICA_PLACES)
    of_replicas = {pair: str(stamp(write.number, place)) for pair, place in zip(_REPLICAS, _REPLICA_PLACES, strict=True)}
    await sink.store_replica_statistics(
        {pair: {"running": {"current": text, "capacity": text}} for pair, text in of_replicas.items()}
    )
    ledger.confirm(_REPLICA_PLACES, write)

    for id_, place in zip(_AGENT_IDS, _AGENTS, strict=True):
        write = ledger.begin_write([place])
        node = {"mem": metric(write.number, place)}
        await sink.store_agent_statistics(id_, node=node, devices={}, interval_s=_AGENT_INTERVAL_S)
        ledger.confirm([place], write)


@attrs.frozen
class MetricReads:
    """Reads of a metric backend, whose series are functions of object and time.

    Args:
        metrics: the backend.
        has_gaps: whether a server that was killed may have lost its newest samples.
    """

    metrics: MetricQuerierPort
    has_gaps: bool = False

    @property
    def kinds(self) -> Mapping[str, Read]:
        """The reads by name."""
        return {
            "now": self._now,
            "range": self._range,
            "batch": self._batch,
            "metric names": self._names,
            "series": self._series,
        }

    async def _now(self, random: Random) -> Answer:
        place, answer = random.choice(_KERNELS), Answer()
        self._judge_vector(answer, place, await self.metrics.query_utilization_now(_querier(random, place)))
        return answer

    async def _range(self, random: Random) -> Answer:
        place, answer = random.choice(_KERNELS), Answer()
        end = datetime.now(UTC)
        time_range = QueryTimeRange(start=end - timedelta(seconds=RANGE_S), end=end, step=timedelta(seconds=1))
        result = await self.metrics.query_utilization(_querier(random, place), time_range)
        self._judge_matrix(answer, place, result)
        return answer

    async def _batch(self, random: Random) -> Answer:
        places, answer = random.sample(_KERNELS, _BATCH), Answer()
        queriers = [_querier(random, place) for place in places]
        outcomes = await UtilizationSource(self.metrics).read_utilization_now_batch(queriers)
        for place, outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, StatcoreError):
                answer.shown[type(outcome).__name__] += 1
            else:
                self._judge_vector(answer, place, outcome)
        return answer

    async def _names(self, _: Random) -> Answer:
        found = await self.metrics.label_values(CONTAINER_METRIC_LABEL, match=Selector(CONTAINER_SERIES))
        return self._judged_list(list(found), list(METRICS))

    async def _series(self, random: Random) -> Answer:
        labels = owners(random.choice(_KERNELS))
        found = await self.metrics.series(Selector(CONTAINER_SERIES, {"kernel_id": labels["kernel_id"]}))
        shown = sorted(({name: series.get(name) for name in labels} for series in found), key=str)
        return self._judged_list(shown, [labels] * len(METRICS))

    def _judged_list(self, found: Sequence[object], expected: Sequence[object]) -> Answer:
        answer = Answer()
        if found == expected:
            answer.right += len(found)
        elif self.has_gaps and not found:
            answer.gaps += 1
        else:
            answer.wrong.append(f"{found}, not {expected}")
        return answer

    def _judge_vector(self, answer: Answer, place: int, result: VectorResult) -> None:
        _note(answer, result)
        if len(result.samples) != 1:
            self._miss(answer, f"{len(result.samples)} series for object {place}")
        for each in result.samples:
            answer.add(_sample_fault(place, each.labels, each.value, each.timestamp))

    def _judge_matrix(self, answer: Answer, place: int, result: MatrixResult) -> None:
        _note(answer, result)
        if len(result.series) != 1:
            self._miss(answer, f"{len(result.series)} series for object {place}")
        for series in result.series:
            if len(series) != RANGE_S + 1:
                self._miss(answer, f"{len(series)} points of {RANGE_S + 1} for object {place}")
            for at_s, value in zip(series.timestamps, series.values, strict=True):
                answer.add(_sample_fault(place, series.labels, value, at_s))

    def _miss(self, answer: Answer, what: str) -> None:
        if self.has_gaps or answer.shown:
            answer.gaps += 1
        else:
            answer.wrong.append(f"{what}, and no problem")


def _querier(random: Random, place: int) -> ContainerMetricQuerier:
    return ContainerMetricQuerier(metric_name=random.choice(METRICS), value_type="current", kernel_id=_KERNEL_IDS[place])


def _note(answer: Answer, result: AnswerNotes) -> None:
    if result.partial or result.warnings:
        answer.shown["partial"] += 1


def _sample_fault(place: int, labels: Mapping[str, str], value: float, at_s: float) -> str | None:
    if labels.get("kernel_id") != _KERNEL_IDS[place]:
        return f"the series {dict(labels)} for object {place}"
    return sample_fault(place, value, at_s=at_s, age_s=LOOKBACK_S)


@attrs.frozen
class ServiceReads:
    """GraphQL queries of `statcore serve` over the store of a ledger and an HA pair.

    Args:
        session: the HTTP session of the caller.
        url: the service.
        ledger: what its store holds.
    """

    session: aiohttp.ClientSession
    url: str
    ledger: Ledger

    @property
    def kinds(self) -> Mapping[str, Read]:
        """The queries by name."""
        return {"sessions": self._sessions, "utilization": self._utilization}

    async def _sessions(self, random: Random) -> Answer:
        view = self.ledger.view()
        page = f"limit: {_PAGE}, offset: {random.randrange(0, KERNELS, _PAGE)}"
        fields = 'session_id kernels { kernel_id live_stat(fields: ["mem.current"]) } inference_metrics'
        answer, data, noted = await self._query(
            f"{{ compute_session_list({page}) {{ total_count items {{ {fields} }} }} }}"
        )
        listing = data.get("compute_session_list")
        if listing is None:
            return answer if noted else _wrong(answer, "no list of sessions, and no error")
        if listing["total_count"] != KERNELS or len(listing["items"]) != _PAGE:
            _wrong(answer, f"{len(listing['items'])} of {listing['total_count']} sessions")
        for number, item in enumerate(listing["items"]):
            place = _SESSION_IDS.index(item["session_id"])
            path = ("compute_session_list", "items", number)
            activity = item["inference_metrics"]
            values = None if activity in _NO_VALUE else _values_of_activity(place, activity)
            self._judge(answer, values, (*path, "inference_metrics"), noted, view)
            if [kernel["kernel_id"] for kernel in item["kernels"]] != [_KERNEL_IDS[place]]:
                _wrong(answer, f"kernels {item['kernels']} of session {place}")
            for position, kernel in enumerate(item["kernels"]):
                live = kernel["live_stat"]
                values = None if live is None else {place: [live["mem"]["current"]]}
                self._judge(answer, values, (*path, "kernels", position, "live_stat"), noted, view)
        return answer

    async def _utilization(self, random: Random) -> Answer:
        place, metric, end_s = random.choice(_KERNELS), random.choice(METRICS), datetime.now(UTC).timestamp()
        selector = f'{{metric_name: "{metric}", value_type: "current", kernel_id: "{_KERNEL_IDS[place]}"}}'
        times = f'start: "{end_s - RANGE_S:.3f}", end: "{end_s:.3f}", step: "1s"'
        answer, data, noted = await self._query(
            f'{{ utilization(querier: "container", selector: {selector}, {times}) '
            "{ partial warnings series { labels values } } }"
        )
        found = data.get("utilization")
        if found is None:
            return answer if noted else _wrong(answer, "no utilization, and no error")
        if found["partial"] or found["warnings"]:
            answer.shown["partial"] += 1
        if [len(series["values"]) for series in found["series"]] != [RANGE_S + 1] and not answer.shown:
            _wrong(answer, f"{[len(series['values']) for series in found['series']]} points of object {place}")
        for series in found["series"]:
            for at_s, text in series["values"]:
                answer.add(_sample_fault(place, series["labels"], float(text), at_s))
        return answer

    async def _query(self, query: str) -> tuple[Answer, Mapping[str, Any], set[tuple[object, ...]]]:
        """Return an empty answer with the errors, the data, and the paths of which errors and problems speak."""
        answer = Answer()
        try:
            async with self.session.post(f"{self.url}/graphql", json={"query": query}) as response:
                document = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as lost:
            answer.shown[f"the caller's {type(lost).__name__}"] += 1
            return answer, {}, {()}
        errors, problems = document.get("errors") or [], document.get("extensions", {}).get("problems", [])
        for error in errors:
            code = error["extensions"]["code"]
            if code in _EXPECTED_CODES:
                answer.shown[code] += 1
            else:
                answer.foreign.append(f"{code}: {error['message']}")
        for problem in problems:
            if problem["kind"] in _SHOWN:
                answer.shown[problem["kind"]] += 1
            else:
                answer.wrong.append(f"{problem}")
        return answer, document.get("data") or {}, {tuple(each.get("path") or ()) for each in (*errors, *problems)}

    def _judge(
        self,
        answer: Answer,
        values: Mapping[int, Iterable[object]] | None,
        path: tuple[object, ...],
        noted: set[tuple[object, ...]],
        view: View,
    ) -> None:
        """Judge the values of a field, which is None only where an error or a problem speaks of it."""
        is_noted = any(path[: len(part)] == part or part[: len(path)] == path for part in noted)
        if values is None:
            if not is_noted:
                _wrong(answer, f"nothing at {path}, and no error")
        else:
            answer.add(_fault(self.ledger, values, view))


def _wrong(answer: Answer, what: str) -> Answer:
    answer.wrong.append(what)
    return answer
