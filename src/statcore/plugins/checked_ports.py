"""Stores and backends of third parties as ports: each answer is checked, and each fault names the plugin.

Only what other distributions contribute is wrapped. statcore's own adapters hold the contract by their tests, and reading
10,000 entries is where time counts.
"""

from __future__ import annotations

import logging
import reprlib
from array import array
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from math import isfinite
from operator import lt
from typing import Any, Final, Self, TypeGuard, TypeVar, cast

import attrs

from statcore.errors import PluginError, StatcoreError
from statcore.model.batch import Entry, Problem, ProblemKind, StatisticsBatch
from statcore.model.results import AnswerNotes, MatrixResult, Sample, Series, VectorResult
from statcore.model.statistics import MetricValue
from statcore.model.text import describe
from statcore.model.time import QueryTimeRange
from statcore.plugins.report import PluginReport, raised_at
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import PromQLPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort
from statcore.promql.syntax import Selector
from statcore.promql.utilization import RATE_INTERVAL
from statcore.queriers.interface import UtilizationMetricQuerier

_T = TypeVar("_T")
_log: Final = logging.getLogger("statcore.plugins")
_YEAR_1_S: Final = -62_135_596_800.0
_YEAR_10000_S: Final = 253_402_300_800.0
_TEXT: Final = frozenset({str})
_DICT: Final = frozenset({dict})
_ACTIVITY: Final = ("requests", "last_response_ms")


class _NonsenseError(Exception):
    """An answer that breaks the contract; the message says what came and what was expected."""

    @classmethod
    def of(cls, answer: object, expected: str) -> Self:
        return cls(f"answered {reprlib.repr(answer)}: expected {expected}")


@attrs.frozen
class Contributor:
    """Who contributed a store or a backend, for messages.

    Args:
        name: of the store or the backend.
        report: on its plugin.
        secrets: what no message shows, the longest first.
    """

    name: str
    report: PluginReport
    secrets: Sequence[str] = attrs.field(default=(), repr=False)

    @contextmanager
    def blamed_for(self, method: str, *, passing: tuple[type[BaseException], ...] = ()) -> Generator[None]:
        """Turn whatever its code raises into a `PluginError`; errors of statcore and cancellation pass.

        Args:
            method: what is called.
            passing: further exceptions that pass.
        """
        try:
            yield
        except (StatcoreError, CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except passing:
            raise
        except _NonsenseError as error:
            raise self._error(method, self._without_secrets(str(error))) from None
        except BaseException as error:  # SystemExit of a plugin must not end its host
            said = self._without_secrets(describe(error))
            raise self._error(method, f"raised {said}{raised_at(error)}") from error

    def _without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def _error(self, method: str, fault: str) -> PluginError:
        message = f"{self.name} (plugin {self.report.origin}): {method}() {fault}"
        return PluginError(message, plugin=self.report.name, method=method)


async def answer_of(answer: object) -> object:
    """Await what a method that must be async answered; call it inside `blamed_for`."""
    if not isinstance(answer, Awaitable):
        what = type(answer).__name__  # its repr may show a password
        raise _NonsenseError(f"answered {what} instead of being async: write `async def`")
    return await cast("Awaitable[object]", answer)


@asynccontextmanager
async def closing(opened: object, contributor: Contributor) -> AsyncGenerator[None]:
    """Close afterwards what was opened; where the block itself failed, that error stays and one of closing is logged."""

    async def close() -> None:
        with contributor.blamed_for("aclose"):
            await answer_of(cast("Any", opened).aclose())

    try:
        yield
    except BaseException:
        if hasattr(opened, "aclose"):
            try:
                await close()
            except StatcoreError as error:
                _log.warning("%s", error)
        raise
    await close()


def checked_statistics(opened: object, contributor: Contributor) -> StatisticsPort:
    """Return an opened store as a port whose answers are checked.

    Raises:
        PluginError: it lacks methods of `StatisticsPort`.
    """
    _require_methods(opened, StatisticsPort, contributor, "open")
    return _CheckedStatistics(opened, contributor)


def checked_sink(opened: object, contributor: Contributor) -> StatisticsSinkPort:
    """Return an opened writer as a port whose faults name the plugin; errors as `checked_statistics`."""
    _require_methods(opened, StatisticsSinkPort, contributor, "open_sink")
    return _CheckedSink(opened, contributor)


def checked_metrics(opened: object, contributor: Contributor) -> MetricQuerierPort:
    """Return an opened backend as a port whose answers are checked; a `PromQLPort` where the backend is one.

    Raises:
        PluginError: it lacks methods of `MetricQuerierPort`.
    """
    _require_methods(opened, MetricQuerierPort, contributor, "open")
    with contributor.blamed_for("open"):
        evaluates_promql = not _missing(opened, PromQLPort)
    return (_CheckedPromQL if evaluates_promql else _CheckedMetrics)(opened, contributor)


def _missing(opened: object, port: type[object]) -> list[str]:
    # A wrapper may well delegate with `__getattr__`, which `isinstance` sees in some Python versions and not in others.
    return [name for name in dir(port) if not name.startswith("_") and not hasattr(opened, name)]


def _require_methods(opened: object, port: type[object], contributor: Contributor, factory: str) -> None:
    with contributor.blamed_for(factory):
        if missing := _missing(opened, port):
            what = f"answered {type(opened).__name__}, which lacks {', '.join(missing)}"  # its repr may show a password
            raise _NonsenseError(f"{what}: expected a {port.__name__}")


class _Checked:
    def __init__(self, opened: object, contributor: Contributor) -> None:
        self._opened = opened
        self._contributor = contributor

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The adapter's class, for hosts that ask with `isinstance` which of their own it is."""
        kind: type[Any] = self._opened.__class__
        return kind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the adapter has beside the port
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._opened, name)
        return getattr(self, f"_checked_{name}", found)  # some methods are optional, and checked where they are there

    async def _call(self, method: str, check: Callable[[object], _T], /, *arguments: object, **options: object) -> _T:
        with self._contributor.blamed_for(method):
            return check(await answer_of(getattr(self._opened, method)(*arguments, **options)))

    async def ping(self) -> None:
        await self._call("ping", _nothing)

    async def aclose(self) -> None:
        await self._call("aclose", _anything)

    async def _checked_diagnose(self) -> str | None:
        return await self._call("diagnose", _finding)


class _CheckedStatistics(_Checked):
    def _checked_with_ages(self) -> KernelStatisticsPort:
        with self._contributor.blamed_for("with_ages"):
            reader: object = cast("Any", self._opened).with_ages()
        _require_methods(reader, KernelStatisticsPort, self._contributor, "with_ages")
        return _CheckedStatistics(reader, self._contributor)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        return await self._fetch("fetch_kernel_statistics", ids, _Levels.metrics)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        return await self._fetch("fetch_inference_metrics", session_ids, _Levels.activity)

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        return await self._fetch("fetch_endpoint_statistics", endpoint_ids, _Levels.metrics)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        return await self._fetch("fetch_replica_statistics", pairs, _Levels.metrics)

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        return await self._fetch("fetch_agent_statistics", agent_ids, _Levels.agent)

    async def _fetch(
        self, method: str, ids: Sequence[object], entry: Callable[[_Levels, object], Entry]
    ) -> StatisticsBatch:
        levels = _Levels(self._contributor, method)

        def check(answer: object) -> StatisticsBatch:
            if not isinstance(answer, StatisticsBatch):
                raise _NonsenseError.of(answer, "a StatisticsBatch")
            if len(answer.entries) != len(ids):
                raise _NonsenseError(f"answered {len(answer.entries)} entries for {len(ids)} ids: expected one for each")
            for position, problem in answer.problems.items():
                if position not in range(len(ids)) or not _is_problem(problem):
                    raise _NonsenseError.of({position: problem}, "a Problem by the position of an id")
            for position, age_s in answer.ages_s.items():
                if position not in range(len(ids)) or not (_is_number(age_s) and isfinite(age_s)):
                    raise _NonsenseError.of({position: age_s}, "an age in seconds by the position of an id")
            entries = [None if item is None else entry(levels, item) for item in answer.entries]
            return StatisticsBatch(entries, problems=answer.problems, ages_s=answer.ages_s)

        return await self._call(method, check, ids)


class _CheckedSink(_Checked):
    async def store_kernel_statistics(self, entries: Mapping[str, Mapping[str, MetricValue]], /) -> None:
        await self._call("store_kernel_statistics", _anything, entries)

    async def store_agent_statistics(
        self,
        agent_id: str,
        /,
        *,
        node: Mapping[str, MetricValue],
        devices: Mapping[str, Mapping[str, MetricValue]],
        interval_s: float,
    ) -> None:
        options = {"node": node, "devices": devices, "interval_s": interval_s}
        await self._call("store_agent_statistics", _anything, agent_id, **options)

    async def store_container_count(self, agent_id: str, count: int, /) -> None:
        await self._call("store_container_count", _anything, agent_id, count)

    async def store_endpoint_statistics(self, entries: Mapping[str, Mapping[str, Mapping[str, Any]]], /) -> None:
        await self._call("store_endpoint_statistics", _anything, entries)

    async def store_replica_statistics(self, entries: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]], /) -> None:
        await self._call("store_replica_statistics", _anything, entries)

    async def store_session_activity(self, session_id: str, /, *, requests: int, last_response_ms: int) -> None:
        options = {"requests": requests, "last_response_ms": last_response_ms}
        await self._call("store_session_activity", _anything, session_id, **options)

    async def remove(self, ids: Iterable[str], /) -> None:
        await self._call("remove", _anything, ids)


class _CheckedMetrics(_Checked):
    async def query_utilization(
        self,
        querier: UtilizationMetricQuerier,
        time_range: QueryTimeRange,
        /,
        *,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> MatrixResult:
        return await self._call("query_utilization", _matrix, querier, time_range, rate_interval=rate_interval)

    async def query_utilization_now(
        self,
        querier: UtilizationMetricQuerier,
        /,
        *,
        time: datetime | None = None,
        rate_interval: timedelta | str = RATE_INTERVAL,
    ) -> VectorResult:
        return await self._call("query_utilization_now", _vector, querier, time=time, rate_interval=rate_interval)

    async def label_values(
        self, label: str, /, *, match: Selector | None = None, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[str]:
        return await self._call("label_values", _texts, label, match=match, time_range=time_range)

    async def series(
        self, match: Selector, /, *, time_range: tuple[datetime, datetime] | None = None
    ) -> Sequence[Mapping[str, str]]:
        return await self._call("series", _label_sets, match, time_range=time_range)


class _CheckedPromQL(_CheckedMetrics):
    async def query(self, promql: str, /, *, time: datetime | None = None) -> VectorResult:
        return await self._call("query", _vector, promql, time=time)

    async def query_range(self, promql: str, time_range: QueryTimeRange, /) -> MatrixResult:
        return await self._call("query_range", _matrix, promql, time_range)


@attrs.frozen
class _Levels:
    """Checks entries: maps, so many levels deep.

    A dict is checked at once. What is another Mapping may decode itself on access, and is checked on access.
    """

    _contributor: Contributor
    _method: str

    def metrics(self, entry: object) -> Entry:
        """Check `{metric: map}`."""
        return self.maps(entry, 1)

    def activity(self, entry: object) -> Entry:
        """Check `{"requests": int, "last_response_ms": int}`."""
        numbers = self._parts(entry, _ACTIVITY)
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers.values()):
            raise _NonsenseError.of(entry, f"whole numbers as {' and '.join(_ACTIVITY)}")
        return numbers

    def agent(self, entry: object) -> Entry:
        """Check `{"node": {metric: map}, "devices": {metric: {device: map}}}`."""
        parts = self._parts(entry, ("node", "devices"))
        return {"node": self.maps(parts["node"], 1), "devices": self.maps(parts["devices"], 2)}

    def maps(self, value: object, levels: int) -> Entry:
        """Return a map whose values are maps, so many levels deep."""
        if _is_dict(value):
            return value if _is_plain(value, levels) else self._items(value, levels)
        if isinstance(value, Mapping):
            return _CheckedEntry(cast("Entry", value), self, levels)
        raise _NonsenseError.of(value, "a map as an entry and as each metric in it")

    def _items(self, entry: dict[Any, Any], levels: int) -> Entry:
        if not levels:
            return entry
        if unnamed := [name for name in entry if not isinstance(name, str)]:
            raise _NonsenseError.of(unnamed[0], "text as the key of an entry")
        return {name: self.maps(item, levels - 1) for name, item in entry.items()}

    def _parts(self, entry: object, names: Iterable[str]) -> dict[str, object]:
        if not isinstance(entry, Mapping):
            raise _NonsenseError.of(entry, "a map as an entry")
        found = cast("Mapping[str, object]", entry)
        if missing := [name for name in names if name not in found]:
            raise _NonsenseError.of(found, f"an entry with {' and '.join(missing)}")
        return {name: found[name] for name in names}

    def blamed(self, *passing: type[BaseException]) -> AbstractContextManager[None]:
        """Blame the contributor for what reading an entry raises."""
        return self._contributor.blamed_for(self._method, passing=passing)


class _CheckedEntry(Mapping[str, Any]):
    """An entry that is checked where it is read."""

    __slots__ = ("_entry", "_levels", "_remaining")

    def __init__(self, entry: Entry, levels: _Levels, remaining: int) -> None:
        self._entry = entry
        self._levels = levels
        self._remaining = remaining

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever is stored
        with self._levels.blamed(KeyError):
            try:
                value = self._entry[name]
            except KeyError:
                if name in iter(self._entry):
                    raise _NonsenseError(f"raised KeyError for {name!r:.100}, which its entry lists") from None
                raise
            return self._levels.maps(value, self._remaining - 1) if self._remaining else value

    def __iter__(self) -> Iterator[str]:
        with self._levels.blamed():
            return iter(list(self._entry))

    def __len__(self) -> int:
        with self._levels.blamed():
            return len(self._entry)

    def __contains__(self, name: object) -> bool:
        with self._levels.blamed():
            return name in self._entry

    def __repr__(self) -> str:
        return reprlib.repr(self._entry)


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return type(value) is dict


def _is_plain(entry: Mapping[Any, Any], levels: int) -> bool:
    return levels == 1 and _TEXT.issuperset(map(type, entry)) and _DICT.issuperset(map(type, entry.values()))


def _anything(_: object) -> None:
    """A writer's answer says nothing, and misleads nobody."""


def _nothing(answer: object) -> None:
    if answer is not None:  # False would pass for a store that answers
        raise _NonsenseError.of(answer, "None, or an exception where the server does not answer")


def _finding(answer: object) -> str | None:
    if answer is None or isinstance(answer, str):
        return answer
    raise _NonsenseError.of(answer, "a text or None")


def _is_problem(value: object) -> bool:
    return (
        isinstance(value, Problem)
        and isinstance(cast("object", value.kind), ProblemKind)
        and isinstance(cast("object", value.message), str)
        and isinstance(cast("object", value.key), str | None)
    )


def _matrix(answer: object) -> MatrixResult:
    if not isinstance(answer, MatrixResult):
        raise _NonsenseError.of(answer, "a MatrixResult")
    _check_notes(answer)
    for series in _elements(answer.series, Series, "series"):
        _check_labels(series.labels)
        times, values = series.timestamps, series.values
        if not (_is_array(times) and _is_array(values) and len(times) == len(values)):
            raise _NonsenseError.of(series, "timestamps and values as array('d'), equally long")
        _check_times(series.timestamps.tolist())
    return answer


def _vector(answer: object) -> VectorResult:
    if not isinstance(answer, VectorResult):
        raise _NonsenseError.of(answer, "a VectorResult")
    _check_notes(answer)
    for sample in _elements(answer.samples, Sample, "samples"):
        _check_labels(sample.labels)
        if not (_is_number(sample.timestamp) and _is_number(sample.value)):
            raise _NonsenseError.of(sample, "numbers as timestamp and value")
        _check_times([sample.timestamp])
    return answer


def _texts(answer: object) -> Sequence[str]:
    if all(isinstance(text, str) for text in _listed(answer, "a list of texts")):
        return cast("Sequence[str]", answer)
    raise _NonsenseError.of(answer, "a list of texts")


def _label_sets(answer: object) -> Sequence[Mapping[str, str]]:
    for labels in _listed(answer, "a list of label sets"):
        _check_labels(labels)
    return cast("Sequence[Mapping[str, str]]", answer)


def _listed(answer: object, expected: str) -> Sequence[object]:
    if not isinstance(answer, (list, tuple)):
        raise _NonsenseError.of(answer, expected)
    return cast("Sequence[object]", answer)


def _check_notes(answer: AnswerNotes) -> None:
    for name, notes in (("warnings", answer.warnings), ("infos", answer.infos)):
        if not isinstance(cast("object", notes), tuple) or not all(isinstance(cast("object", note), str) for note in notes):
            raise _NonsenseError.of(notes, f"a tuple of texts as {name}")
    if not isinstance(cast("object", answer.partial), bool):
        raise _NonsenseError.of(answer.partial, "True or False as partial")


def _elements(items: object, kind: type[_T], name: str) -> tuple[_T, ...]:
    if not isinstance(items, tuple):
        raise _NonsenseError.of(items, f"a tuple of {kind.__name__} as {name}")
    for item in cast("tuple[object, ...]", items):
        if not isinstance(item, kind):
            raise _NonsenseError.of(item, f"a {kind.__name__} in {name}")
    return cast("tuple[_T, ...]", items)


def _check_labels(labels: object) -> None:
    if not isinstance(labels, Mapping):
        raise _NonsenseError.of(labels, "labels, a map of text to text")
    found = cast("Mapping[object, object]", labels)
    if not all(isinstance(label, str) and isinstance(value, str) for label, value in found.items()):
        raise _NonsenseError.of(found, "labels, a map of text to text")


def _check_times(times: Sequence[float]) -> None:
    """Check that times are in order, and such that a calendar has them."""
    if times and not (_YEAR_1_S <= times[0] <= times[-1] < _YEAR_10000_S and all(map(lt, times, islice(times, 1, None)))):
        raise _NonsenseError.of(times, "timestamps in order, in unix seconds")


def _is_array(value: object) -> bool:
    return isinstance(value, array) and value.typecode == "d"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
