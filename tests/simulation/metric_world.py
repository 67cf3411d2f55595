"""Kernels whose metrics are plain functions of identity and time, servers that scrape them, and what answers may say."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias
from unittest import mock
from uuid import UUID

import aiohttp.connector
import attrs

from statcore.model import MatrixResult, QueryTimeRange, VectorResult
from statcore.model.results import AnswerNotes
from statcore.ports import ScrapeSample
from statcore.promql import Selector
from statcore.queriers import ContainerMetricQuerier, QueryStrategy, UtilizationMetricQuerier
from statcore.queriers.container import CONTAINER_METRIC_LABEL, CONTAINER_SERIES, ValueType
from statcore.testing.queriers import FixedQuerier
from statcore.testing.simulation import Path, Simulation
from statcore.testing.simulation.prometheus import (
    ApiRequest,
    Behaviour,
    SimulatedPrometheus,
    answer_rightly,
)
from statcore.testing.simulation.prometheus_faults import PARTIAL_WARNING, TooManyRequests, lack_series
from statcore_memory import MemoryMetrics

EPOCH_S: Final = 1_795_340_000
"""The unix time at which the clock of a simulated loop shows 0."""
SCRAPE_S: Final = 30
HISTORY_S: Final = 1_200
"""How long the servers have scraped when a run begins."""
LOOKBACK_S: Final = 300
WINDOW_S: Final = 300
ATTEMPTS: Final = 3
"""How often a client may send the same request to a server."""
SETTLE_S: Final = 10.0
"""How long after the end of a fault calls of before may still hold connections: the deadline of a call."""
START_S: Final = 5.0
"""How long a server that starts again answers that it is not ready."""
CREDENTIAL: Final = "reader:not-for-messages"
_COUNTED_FROM_S: Final = EPOCH_S - 100_000
_CLOSE: Final = 1e-9

LabelSet: TypeAlias = frozenset[tuple[str, str]]
Band: TypeAlias = tuple[float, float]
"""The lowest and the highest value that may be answered; both are equal where the value is known."""


def wall_s() -> float:
    """Return the unix time of the simulated clock."""
    return EPOCH_S + asyncio.get_running_loop().time()


def wall_time() -> datetime:
    """Return the time of the simulated clock."""
    return datetime.fromtimestamp(wall_s(), UTC)


@contextmanager
def aiohttp_on_virtual_clock() -> Generator[None]:
    """Let aiohttp count how long connections are idle by the running loop's clock; it takes the real one."""
    with mock.patch.object(aiohttp.connector, "monotonic", asyncio.get_running_loop().time):
        yield


def _labels_of(kernel: Kernel) -> Mapping[str, str]:
    number = kernel.number
    return {
        "kernel_id": str(UUID(int=number)),
        "session_id": str(UUID(int=1_000 + number // 2)),
        "agent_id": f"i-{number % 2}",
        "user_id": str(UUID(int=2_000 + number // 3)),
        "project_id": str(UUID(int=3_000)),
    }


@attrs.frozen
class Kernel:
    """A kernel by its number, from which its labels and all its values follow; it ends at a time, or never.

    `labels` are its ids and those of its owners: two kernels share a session, three a user.
    """

    number: int
    end_s: float = math.inf
    labels: Mapping[str, str] = attrs.field(init=False, repr=False, default=attrs.Factory(_labels_of, takes_self=True))

    def value(self, metric: str, value_type: str, time_s: float) -> float:
        """Return what its agent exports at a time."""
        match metric, value_type:
            case "mem", "current":
                return self.number * 1_000_000 + time_s - _COUNTED_FROM_S
            case "mem", _:
                return self.number * 4_000_000
            case _, "current":
                return self.slope(metric) * (time_s - _COUNTED_FROM_S)
            case _:
                return 100.0

    def slope(self, metric: str) -> float:
        """Return by how much a counter grows in a second."""
        return self.number * {"cpu_util": 2.0, "net_rx": 1_000.0}[metric]


KERNELS: Final = tuple(Kernel(number, math.inf if number % 5 else EPOCH_S + 1_300) for number in range(1, 8))
SERIES: Final[tuple[tuple[str, ValueType], ...]] = (
    ("mem", "current"),
    ("mem", "capacity"),
    ("cpu_util", "current"),
    ("cpu_util", "capacity"),
    ("net_rx", "current"),
)


def exported(kernel: Kernel, time_s: float) -> Iterator[ScrapeSample]:
    """Yield the samples of a kernel at a time."""
    for metric, value_type in SERIES:
        labels = {CONTAINER_METRIC_LABEL: metric, "value_type": value_type, **kernel.labels}
        yield CONTAINER_SERIES, labels, kernel.value(metric, value_type, time_s)


Scrapes: TypeAlias = Sequence[float]
"""The times at which a server scraped, in order."""


@attrs.frozen
class Question:
    """A query of utilization, and what it has to be answered with: computed from the kernels, never from PromQL.

    Args:
        metric: the metric.
        value_type: the value type.
        of: what the labels of the kernels must be.
        by: the labels by which kernels are summed.
    """

    metric: str
    value_type: ValueType
    of: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)
    by: Sequence[str] = ()

    @property
    def is_rate(self) -> bool:
        """Whether it reads rates."""
        return self.metric != "mem" and self.value_type != "capacity"

    def querier(self) -> UtilizationMetricQuerier:
        """Return its querier: that of containers where it groups by what it selects by."""
        if tuple(self.of) == tuple(self.by):
            owners: dict[str, Any] = dict(self.of)
            return ContainerMetricQuerier(metric_name=self.metric, value_type=self.value_type, **owners)
        return FixedQuerier(
            CONTAINER_SERIES,
            {CONTAINER_METRIC_LABEL: self.metric, "value_type": self.value_type, **self.of},
            group_by=["value_type", *self.by],
            strategy=QueryStrategy.RATE if self.is_rate else QueryStrategy.GAUGE,
        )

    def expected(self, scrapes: Scrapes, time_s: float) -> dict[LabelSet, Band]:
        """Return the values at a time of a server with these scrapes."""
        groups: dict[LabelSet, list[tuple[Band, float]]] = {}
        for kernel in KERNELS:
            labels = kernel.labels
            if any(labels[name] != text for name, text in self.of.items()):
                continue
            if (value := self._of_kernel(kernel, scrapes, time_s)) is not None:
                group = frozenset({("value_type", self.value_type), *((name, labels[name]) for name in self.by)})
                groups.setdefault(group, []).append(value)
        return {group: self._sum(values) for group, values in groups.items()}

    def _of_kernel(self, kernel: Kernel, scrapes: Scrapes, time_s: float) -> tuple[Band, float] | None:
        """Return the value of one kernel and its capacity; None without a value."""
        last = bisect_right(scrapes, time_s) - 1
        if last < 0 or time_s - scrapes[last] >= LOOKBACK_S or scrapes[last] >= kernel.end_s:
            newest = None
        else:
            newest = scrapes[last]
        if self.value_type == "pct" and newest is None:
            return None
        capacity = kernel.value(self.metric, "capacity", time_s) if self.value_type == "pct" else 1.0
        if not self.is_rate:
            if newest is None:
                return None
            value = kernel.value(self.metric, "current" if self.value_type == "pct" else self.value_type, newest)
            return (value, value), capacity
        window = scrapes[bisect_right(scrapes, time_s - WINDOW_S) : last + 1]
        samples = sum(scrape < kernel.end_s for scrape in window)
        if samples < 2:  # a rate needs two
            return None
        slope = kernel.slope(self.metric)
        return (slope if samples == WINDOW_S // SCRAPE_S else 0.0, slope), capacity

    def _sum(self, values: Iterable[tuple[Band, float]]) -> Band:
        values = list(values)
        if self.value_type == "pct" and self.is_rate:
            return tuple(sum(band[end] / capacity * 100 for band, capacity in values) for end in (0, 1))  # type: ignore[return-value]
        total = [math.fsum(band[end] for band, _ in values) for end in (0, 1)]
        if self.value_type == "pct":
            whole = math.fsum(capacity for _, capacity in values)
            total = [number / whole * 100 for number in total]
        return total[0], total[1]


class Incarnation:
    """One life of a server's data: the scrapes that it holds, and the end of the loop's time at which it was lost."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.data = MemoryMetrics(retention="1d", clock=wall_s)
        self.scrapes: list[float] = []
        self.lost_s = math.inf

    def scrape(self, time_s: float) -> None:
        """Scrape all kernels that have not ended."""
        samples = [sample for kernel in KERNELS if time_s < kernel.end_s for sample in exported(kernel, time_s)]
        self.data.append_scrape(samples, target="agents", time=time_s)
        self.scrapes.append(time_s)


class Fault(NamedTuple):
    """A fault that a server made: when, and which."""

    time_s: float
    behaviour: Behaviour


class Member:
    """A server of an HA pair: it scrapes every half minute while it runs, and makes faults while it is sick.

    Attributes:
        server: the server.
        sick_with: the faults of which it makes one at each request, or none while it is well.
        sick_share: at which share of the requests it makes one.
        whole_since_s: since when, by the loop's clock, it has answered rightly; None while something is wrong.
        faults: the faults that it made.
        complaints: what clients did wrong.
    """

    def __init__(self, simulation: Simulation, name: str) -> None:
        """Start with a history."""
        self.random: Random = simulation.random
        self.incarnations = [Incarnation()]
        self.sick_with: Sequence[Behaviour] = ()
        self.sick_share = 1.0
        self.whole_since_s: float | None = asyncio.get_running_loop().time() - 1_000
        self.faults: list[Fault] = []
        self.complaints: list[str] = []
        self.server = SimulatedPrometheus(simulation.network, name, self)
        self.server.choose = self._choose
        self.server.host.path = self._usual_path()
        self._next_scrape_s = wall_s() - HISTORY_S
        self._next_scrape_s += -self._next_scrape_s % SCRAPE_S
        self._is_down = False
        self._healed_s = -math.inf
        self._ready = asyncio.Event()
        self._asked: dict[object, tuple[Member, float]] = {}
        self._not_before_s: dict[object, float] = {}
        self._attempts: dict[object, int] = {}

    def join(self, other: Member) -> None:
        """Let both members know what the other was asked."""
        other._asked = self._asked

    # What the server answers from.

    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        """Evaluate what has been scraped."""
        return await self._data().query(promql, time=time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        """Evaluate what has been scraped."""
        return await self._data().query_range(promql, time_range)

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        """Return the values of what has been scraped."""
        return await self._data().label_values(label, match=match, time_range=time_range)

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        """Return the series of what has been scraped."""
        return await self._data().series(match, time_range=time_range)

    def _data(self) -> MemoryMetrics:
        """Return the data, with the scrapes that are due."""
        while not self._is_down and self._next_scrape_s <= wall_s():
            self.incarnations[-1].scrape(self._next_scrape_s)
            self._next_scrape_s += SCRAPE_S
        return self.incarnations[-1].data

    def scrapes_since(self, loop_s: float) -> Iterator[Scrapes]:
        """Yield the scrapes of each life of the data that did not end before a time."""
        self._data()
        for incarnation in self.incarnations:
            if incarnation.lost_s >= loop_s:
                yield incarnation.scrapes

    # What happens to it.

    def fall_sick(self, faults: Sequence[Behaviour], share: float) -> None:
        """Make faults from now on."""
        self.sick_with, self.sick_share = faults, share
        self.whole_since_s = None

    def crash(self) -> None:
        """End; nothing is scraped until it starts again."""
        if not self._is_down:
            self._data()
            self._is_down = True
            self._ready.clear()
            self.whole_since_s = None
            self.server.crash()

    def start(self, *, with_data: bool = True) -> None:
        """Start again, with a gap in the data, or without data; it is not ready for a while."""
        if not with_data:
            self.incarnations[-1].lost_s = asyncio.get_running_loop().time()
            self.incarnations.append(Incarnation())
        self.server.is_starting = True
        self.server.start()
        asyncio.get_running_loop().call_later(START_S, self._get_ready)

    def _get_ready(self) -> None:
        self.server.is_starting = self._is_down = False
        self._ready.set()
        self._next_scrape_s = wall_s() + -wall_s() % SCRAPE_S

    async def heal(self) -> None:
        """End everything that is wrong, and wait until it is whole."""
        self.sick_with = ()
        host = self.server.host
        host.path = self._usual_path()
        host.heal()
        if self._is_down and not self.server.is_starting:
            self.start()
        if self._is_down:
            await self._ready.wait()
        self._healed_s = asyncio.get_running_loop().time()
        if self.whole_since_s is None:
            self.whole_since_s = self._healed_s

    def _usual_path(self) -> Path:
        """Return a path on which answers arrive in one piece, or in several within a few milliseconds."""
        return Path(latency_s=(0.0001, self.random.choice([0.001, 0.005])), piece_bytes=self.random.choice([None, 100]))

    def _choose(self, request: ApiRequest) -> Behaviour:
        self._check(request)
        if self.sick_with and self.random.random() < self.sick_share:
            behaviour = self.random.choice(self.sick_with)
            now_s = asyncio.get_running_loop().time()
            self.faults.append(Fault(now_s, behaviour))
            if isinstance(behaviour, TooManyRequests):
                self._not_before_s[_identity(request)] = now_s + behaviour.retry_after_s
            return behaviour
        return answer_rightly

    def _check(self, request: ApiRequest) -> None:
        """Complain about requests without the credential, too many of one call, too early, or without a reason."""
        if not request.headers.get("authorization", "").startswith("Basic "):
            self.complaints.append(f"no credential: {request}")
        if (key := _identity(request)) is None:
            return
        self._attempts[key] = self._attempts.get(key, 0) + 1
        # aiohttp sends a GET once more by itself if the connection is lost.
        if self._attempts[key] > (ATTEMPTS if request.method == "POST" else 2 * ATTEMPTS):
            self.complaints.append(f"too many attempts: {request}")
        now_s = asyncio.get_running_loop().time()
        if self._healed_s > now_s - SETTLE_S:
            return  # the request may have been on its way since before, and its caller has long given it up
        if now_s < self._not_before_s.get(key, 0.0):
            self.complaints.append(f"earlier than Retry-After says: {request}")
        if self.whole_since_s is None:
            return  # the request may have been on its way for long
        asked, since_s = self._asked.get(key, (self, None))
        if asked.whole_since_s == since_s:
            self.complaints.append(f"asked again, although {asked.server.name} was whole: {request}")
        self._asked[key] = self, self.whole_since_s


def _identity(request: ApiRequest) -> object | None:
    """Return what is equal for the attempts of one request and for no other: the times are random to the millisecond.

    A request that is sent as a GET because a POST was refused is another.
    """
    if not request.one("time") and not request.one("start"):
        return None
    return request.method, request.path, tuple(pair for pair in request.parameters if pair[0] != "timeout")


def is_close(value: float, band: Band) -> bool:
    """Tell whether a value is within a band, but for rounding."""
    low, high = band
    return low * (1 - _CLOSE) <= value <= high * (1 + _CLOSE) and (value > 0 or low == high)


@attrs.frozen(eq=False)
class Allowed:
    """What the members of a pair may answer now to a call that began at a time of the loop.

    Args:
        members: the members.
        start_s: when the call began.
    """

    members: Sequence[Member]
    start_s: float

    @property
    def scrapes(self) -> list[Scrapes]:
        """What each member holds, or held while the call ran."""
        return [scrapes for member in self.members for scrapes in member.scrapes_since(self.start_s)]

    @property
    def may_lack(self) -> bool:
        """Whether a member left out series while the call ran."""
        return any(
            fault.behaviour is lack_series and fault.time_s >= self.start_s
            for member in self.members
            for fault in member.faults
        )

    def check_notes(self, answer: AnswerNotes) -> bool:
        """Return whether an answer says that it lacks series, after checking that it has a reason to say so."""
        assert () == answer.infos, "an answer that is too long was taken"
        assert answer.warnings in ((), (PARTIAL_WARNING,)), answer.warnings
        assert answer.partial == bool(answer.warnings), answer
        assert self.may_lack or not answer.partial, "the answer says that it is partial, but no server left anything out"
        return answer.partial

    def check_point(self, question: Question, time_s: float, found: Mapping[LabelSet, float], *, partial: bool) -> None:
        """Check the values at one point of time: each is one of a member's, and none is missing that all members have."""
        candidates = [question.expected(scrapes, time_s) for scrapes in self.scrapes]
        for labels, value in found.items():
            bands = [candidate[labels] for candidate in candidates if labels in candidate]
            assert bands, f"{question} at {time_s}: nobody has {dict(labels)}"
            assert any(is_close(value, band) for band in bands), (
                f"{question} at {time_s}: {value}, not {bands} of {dict(labels)}"
            )
        if not partial:
            first, *others = candidates
            missing = [dict(labels) for labels in first if labels not in found and all(labels in other for other in others)]
            assert not missing, f"{question} at {time_s}: missing without a word are {missing}"

    def check_range(self, question: Question, time_range: QueryTimeRange, answer: MatrixResult) -> None:
        """Check an answer at every point of a range."""
        partial = self.check_notes(answer)
        points: dict[float, dict[LabelSet, float]] = {}
        seen: set[LabelSet] = set()
        for series in answer.series:
            labels = frozenset(series.labels.items())
            assert labels not in seen, f"{question}: {dict(labels)} twice"
            seen.add(labels)
            times = list(series.timestamps)
            assert sorted(set(times)) == times, f"{question}: the samples of {dict(labels)} are not in order"
            for time_s, value in zip(times, series.values, strict=True):
                points.setdefault(round(time_s, 3), {})[labels] = value
        start_s, step_s = time_range.start.timestamp(), time_range.step.total_seconds()
        grid = [round(start_s + number * step_s, 3) for number in range(time_range.points)]
        assert points.keys() <= set(grid), f"{question}: points that are not of the range"
        for time_s in grid:
            self.check_point(question, time_s, points.get(time_s, {}), partial=partial)

    def check_now(self, question: Question, time_s: float | None, answer: VectorResult) -> None:
        """Check an answer at an instant; None is the server's now."""
        partial = self.check_notes(answer)
        found: dict[LabelSet, float] = {}
        for sample in answer.samples:
            assert sample.timestamp == time_s if time_s is not None else self._is_now(sample.timestamp), sample
            found[frozenset(sample.labels.items())] = sample.value
        assert len(found) == len(answer.samples), f"{question}: a series twice"
        at_s = time_s or next((sample.timestamp for sample in answer.samples), None)
        if at_s is not None:
            self.check_point(question, at_s, found, partial=partial)

    def _is_now(self, time_s: float) -> bool:
        return EPOCH_S + self.start_s - 0.001 <= time_s <= wall_s() + 0.001
