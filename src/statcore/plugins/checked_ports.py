"""Stores and backends of third parties as ports: each answer is checked, and each fault names the plugin.

A table for each port says how the answer of each method is checked; `_CheckedPort` calls the adapter's method and applies
the check. Only the adapters of other distributions are wrapped. Tests show that statcore's own adapters keep the contract,
and the checks would take time where 10,000 entries are read.
"""

from __future__ import annotations

import inspect
import logging
import reprlib
from array import array
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from itertools import islice
from math import isfinite
from operator import lt
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias, TypeGuard, TypeVar, cast

import attrs

from statcore.concurrency import is_cancellation
from statcore.errors import PluginError, StatcoreError
from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.model.results import AnswerNotes, MatrixResult, Sample, Series, VectorResult
from statcore.model.statistics import Entry, Problem, ProblemKind
from statcore.model.store_keys import NO_ACTIVITY
from statcore.model.text import describe
from statcore.plugins.report import PluginReport, raised_at
from statcore.ports.capabilities import as_port, methods, missing_methods
from statcore.ports.diagnosis import ServerFacts, Topology
from statcore.ports.metrics import MetricQuerierPort
from statcore.ports.promql import PromQLPort
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import KernelStatisticsPort, StatisticsPort

_T = TypeVar("_T")
_logger: Final = logging.getLogger("statcore.plugins")
_YEAR_1_S: Final = -62_135_596_800.0
_YEAR_10000_S: Final = 253_402_300_800.0
_TEXT: Final = frozenset({str})
_DICT: Final = frozenset({dict})


class _BadAnswerError(Exception):
    """An answer that breaks the contract; the message says what came and what was expected."""

    @classmethod
    def of(cls, answer: object, expected: str) -> Self:
        return cls(f"answered {reprlib.repr(answer)}: expected {expected}")


@attrs.frozen
class Contributor:
    """The plugin that contributed a store or a backend, as errors name it.

    Args:
        name: the name of the store or the backend.
        report: the report on its plugin.
        secrets: texts that no message shows, the longest first.
    """

    name: str
    report: PluginReport
    secrets: Sequence[str] = attrs.field(default=(), repr=False)

    @contextmanager
    def blamed_for(self, method: str, *, passing: tuple[type[BaseException], ...] = ()) -> Generator[None]:
        """Turn what the plugin's code raises into a `PluginError`; errors of statcore and cancellation pass.

        Args:
            method: the method that is called.
            passing: further exceptions that pass.
        """
        try:
            yield
        except (StatcoreError, KeyboardInterrupt, GeneratorExit):
            raise
        except passing:
            raise
        except _BadAnswerError as error:
            raise self._error(method, self._without_secrets(str(error))) from None
        except BaseException as error:  # SystemExit of a plugin must not end its host
            if is_cancellation(error):
                raise
            description = self._without_secrets(describe(error))
            raise self._error(method, f"raised {description}{raised_at(error)}") from error

    def _without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def _error(self, method: str, fault: str) -> PluginError:
        message = f"{self.name} (plugin {self.report.origin}): {method}() {fault}"
        return PluginError(message, plugin=self.report.name, method=method)


async def answer_of(answer: object) -> object:
    """Await what a method that must be async returned; call it inside `blamed_for`."""
    if not isinstance(answer, Awaitable):
        what = type(answer).__name__  # its repr may show a password
        raise _BadAnswerError(f"answered {what} instead of being async: write `async def`")
    return await cast("Awaitable[object]", answer)


@asynccontextmanager
async def closing(opened: object, contributor: Contributor) -> AsyncGenerator[None]:
    """Close afterwards what was opened; if the block itself fails, its error stays, and an error of closing is logged."""
    try:
        yield
    except BaseException:
        try:
            await _close(opened, contributor)
        except StatcoreError as error:
            _logger.warning("%s", error)
        raise
    await _close(opened, contributor)


async def _close(opened: object, contributor: Contributor) -> None:
    with contributor.blamed_for("aclose"):
        if hasattr(opened, "aclose"):  # an object without it is no port, which the block has reported
            await answer_of(cast("Any", opened).aclose())


def checked_statistics(opened: object, contributor: Contributor) -> StatisticsPort:
    """Return an opened store as a port that checks its answers.

    Raises:
        PluginError: it lacks methods of `StatisticsPort`.
    """
    _require_methods(opened, StatisticsPort, contributor, "open")
    return cast("StatisticsPort", _CheckedPort(opened, contributor, StatisticsPort, _STATISTICS))


def checked_sink(opened: object, contributor: Contributor) -> StatisticsSinkPort:
    """Return an opened writer as a port; its errors name the plugin.

    Raises:
        PluginError: it lacks methods of `StatisticsSinkPort`.
    """
    _require_methods(opened, StatisticsSinkPort, contributor, "open_sink")
    return cast("StatisticsSinkPort", _CheckedPort(opened, contributor, StatisticsSinkPort, _SINK))


def checked_metrics(opened: object, contributor: Contributor, *, method: str = "open") -> MetricQuerierPort:
    """Return an opened backend as a port that checks its answers; as a `PromQLPort`, too, if it evaluates PromQL.

    Raises:
        PluginError: it lacks methods of `MetricQuerierPort`.
    """
    _require_methods(opened, MetricQuerierPort, contributor, method)
    with contributor.blamed_for(method):
        evaluates_promql = as_port(opened, PromQLPort) is not None
    if evaluates_promql:
        return cast("MetricQuerierPort", _CheckedPort(opened, contributor, _PromQLBackendPort, {**_METRICS, **_PROMQL}))
    return cast("MetricQuerierPort", _CheckedPort(opened, contributor, MetricQuerierPort, _METRICS))


def _require_methods(opened: object, port: type[object], contributor: Contributor, factory: str) -> None:
    with contributor.blamed_for(factory):
        if missing := missing_methods(opened, port):
            what = f"answered {type(opened).__name__}, which lacks {', '.join(missing)}"  # its repr may show a password
            raise _BadAnswerError(f"{what}: expected a {port.__name__}")


class _PromQLBackendPort(MetricQuerierPort, PromQLPort, Protocol):
    """A backend that takes queriers and text."""


class _Call(NamedTuple):
    """A call of an adapter's method, for errors that the call raises, or its answer when it is read later."""

    contributor: Contributor
    method: str
    arguments: tuple[object, ...]

    def blamed(self, *passing: type[BaseException]) -> AbstractContextManager[None]:
        """Blame the contributor for what is raised in the block."""
        return self.contributor.blamed_for(self.method, passing=passing)


_Check: TypeAlias = Callable[[_Call, object], object]
"""Takes the answer of a call, and returns the answer that the caller gets; raises `_BadAnswerError` for a bad answer."""


class _CheckedPort:
    """An adapter with checked methods; its other attributes are passed on."""

    def __init__(self, opened: object, contributor: Contributor, port: type[object], checks: Mapping[str, _Check]) -> None:
        self._opened = opened
        self._contributor = contributor
        self._port = port
        self._checks = checks
        for name in methods(port):  # `isinstance` of a protocol does not see what only `__getattr__` finds
            setattr(self, name, self._checked(name))

    @property  # type: ignore[misc]  # nobody sets it
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The adapter's class, for hosts that use `isinstance` to find out which of their own adapters it is."""
        kind: type[Any] = self._opened.__class__
        return kind

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the adapter has beside the port
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._opened, name)
        return self._checked(name) if name in self._checks else found  # optional methods are checked if they exist

    def _checked(self, name: str) -> Callable[..., object]:
        check = self._checks[name]

        def call_at_once(*arguments: object, **options: object) -> object:
            call = _Call(self._contributor, name, arguments)
            with call.blamed():
                return check(call, getattr(self._opened, name)(*arguments, **options))

        async def call_async(*given: object, **named: object) -> object:
            arguments, options = _as_port_says(self._port, name, given, named)
            call = _Call(self._contributor, name, arguments)
            with call.blamed():
                return check(call, await answer_of(getattr(self._opened, name)(*arguments, **options)))

        return call_at_once if name in _NOT_ASYNC else call_async


def _as_port_says(
    port: type[object], method: str, arguments: tuple[object, ...], options: Mapping[str, object]
) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """Return the arguments with the port's own defaults; wrong arguments are a `TypeError` of the caller."""
    if not hasattr(port, method):  # an optional method
        return arguments, options
    bound = inspect.signature(getattr(port, method)).bind(None, *arguments, **options)
    bound.apply_defaults()
    return bound.args[1:], bound.kwargs


def _batch(check_entry: Callable[[_Call, object], Entry]) -> _Check:
    """Return a check for a `StatisticsBatch` with one entry for each id, each of which is checked."""

    def check(call: _Call, answer: object) -> StatisticsBatch:
        ids = cast("Sequence[object]", call.arguments[0])
        if not isinstance(answer, StatisticsBatch):
            raise _BadAnswerError.of(answer, "a StatisticsBatch")
        if len(answer.entries) != len(ids):
            raise _BadAnswerError(f"answered {len(answer.entries)} entries for {len(ids)} ids: expected an entry for each")
        for position, problem in answer.problems.items():
            if position not in range(len(ids)) or not _is_problem(problem):
                raise _BadAnswerError.of({position: problem}, "a Problem by the position of an id")
        _check_ages(answer.ages_s, len(ids))
        entries = [None if entry is None else check_entry(call, entry) for entry in answer.entries]
        return StatisticsBatch(entries, problems=answer.problems, ages_s=answer.ages_s)

    return check


def _columns(call: _Call, answer: object) -> StatisticsColumns:
    """Check that there is a column for each field, with a text or None for each id."""
    ids, fields = (cast("Sequence[object]", argument) for argument in call.arguments)
    if not isinstance(answer, StatisticsColumns):
        raise _BadAnswerError.of(answer, "StatisticsColumns")
    if list(answer) != list(fields):
        raise _BadAnswerError.of(list(answer), f"the columns {reprlib.repr(list(fields))}")
    for column in answer.values():
        if len(column) != len(ids) or not all(isinstance(cast("object", text), str | None) for text in column):
            raise _BadAnswerError.of(column, f"a column with a text or None for each of {len(ids)} ids")
    for position, problems in answer.problems.items():
        if position not in range(len(ids)) or not all(_is_problem(problem) for problem in problems):
            raise _BadAnswerError.of({position: problems}, "a list of Problem by the position of an id")
    _check_ages(answer.ages_s, len(ids))
    return answer


def _check_ages(ages_s: Mapping[int, object], count: int) -> None:
    for position, age_s in ages_s.items():
        if position not in range(count) or not (_is_number(age_s) and isfinite(age_s)):
            raise _BadAnswerError.of({position: age_s}, "an age in seconds by the position of an id")


def _metrics(call: _Call, entry: object) -> Entry:
    """Check `{metric: map}`."""
    return _maps(call, entry, 1)


def _activity(_: _Call, entry: object) -> Entry:
    """Check `{"requests": int, "last_response_ms": int}`."""
    numbers = _parts(entry, NO_ACTIVITY)
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers.values()):
        raise _BadAnswerError.of(entry, f"whole numbers as {' and '.join(NO_ACTIVITY)}")
    return numbers


def _agent(call: _Call, entry: object) -> Entry:
    """Check `{"node": {metric: map}, "devices": {metric: {device: map}}}`."""
    parts = _parts(entry, ("node", "devices"))
    return {"node": _maps(call, parts["node"], 1), "devices": _maps(call, parts["devices"], 2)}


def _maps(call: _Call, value: object, levels: int) -> Entry:
    """Return a map after checking that its values are maps, down to `levels`.

    A dict is checked at once. Any other Mapping may decode itself on access, and is checked on access.
    """
    if _is_dict(value):
        return value if _is_plain(value, levels) else _items(call, value, levels)
    if isinstance(value, Mapping):
        return _CheckedEntry(cast("Entry", value), call, levels)
    raise _BadAnswerError.of(value, "a map as an entry and as each metric in it")


def _items(call: _Call, entry: dict[Any, Any], levels: int) -> Entry:
    if not levels:
        return entry
    if unnamed := [name for name in entry if not isinstance(name, str)]:
        raise _BadAnswerError.of(unnamed[0], "text as the key of an entry")
    return {name: _maps(call, item, levels - 1) for name, item in entry.items()}


def _parts(entry: object, names: Iterable[str]) -> dict[str, object]:
    if not isinstance(entry, Mapping):
        raise _BadAnswerError.of(entry, "a map as an entry")
    found = cast("Mapping[str, object]", entry)
    if missing := [name for name in names if name not in found]:
        raise _BadAnswerError.of(found, f"an entry with {' and '.join(missing)}")
    return {name: found[name] for name in names}


class _CheckedEntry(Mapping[str, Any]):
    """An entry that is checked where it is read."""

    __slots__ = ("_call", "_entry", "_levels")

    def __init__(self, entry: Entry, call: _Call, levels: int) -> None:
        self._entry = entry
        self._call = call
        self._levels = levels

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever is stored
        with self._call.blamed(KeyError):
            try:
                value = self._entry[name]
            except KeyError:
                if name in iter(self._entry):
                    raise _BadAnswerError(f"raised KeyError for {name!r:.100}, which its entry lists") from None
                raise
            return _maps(self._call, value, self._levels - 1) if self._levels else value

    def __iter__(self) -> Iterator[str]:
        with self._call.blamed():
            return iter(list(self._entry))

    def __len__(self) -> int:
        with self._call.blamed():
            return len(self._entry)

    def __contains__(self, name: object) -> bool:
        with self._call.blamed():
            return name in self._entry

    def __repr__(self) -> str:
        return reprlib.repr(self._entry)


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return type(value) is dict


def _is_plain(entry: Mapping[Any, Any], levels: int) -> bool:
    return levels == 1 and _TEXT.issuperset(map(type, entry)) and _DICT.issuperset(map(type, entry.values()))


def _anything(_: _Call, _answer: object) -> None:
    """Accept any answer, and give None to the caller."""


def _nothing(_: _Call, answer: object) -> None:
    if answer is not None:  # a caller would take an answer such as False for success
        raise _BadAnswerError.of(answer, "None, or an exception where the server does not answer")


def _finding(_: _Call, answer: object) -> str | None:
    if answer is None or isinstance(answer, str):
        return answer
    raise _BadAnswerError.of(answer, "a text or None")


def _topology(_: _Call, answer: object) -> Topology | None:
    if answer is None or isinstance(answer, Topology):
        return answer
    raise _BadAnswerError.of(answer, "a Topology or None")


def _facts(_: _Call, answer: object) -> Sequence[ServerFacts]:
    facts = cast("Sequence[object]", answer) if type(answer) in (list, tuple) else (None,)
    if not all(isinstance(item, ServerFacts) for item in facts):
        raise _BadAnswerError.of(answer, "a list of ServerFacts")
    return cast("Sequence[ServerFacts]", facts)


def _reader(call: _Call, answer: object) -> object:
    _require_methods(answer, KernelStatisticsPort, call.contributor, call.method)
    return _CheckedPort(answer, call.contributor, KernelStatisticsPort, _STATISTICS)


def _is_problem(value: object) -> bool:
    return (
        isinstance(value, Problem)
        and isinstance(cast("object", value.kind), ProblemKind)
        and isinstance(cast("object", value.message), str)
        and isinstance(cast("object", value.key), str | None)
    )


def _tenant(call: _Call, answer: object) -> MetricQuerierPort:
    return checked_metrics(answer, call.contributor, method=call.method)


def _matrix(_: _Call, answer: object) -> MatrixResult:
    if not isinstance(answer, MatrixResult):
        raise _BadAnswerError.of(answer, "a MatrixResult")
    _check_notes(answer)
    for series in _elements(answer.series, Series, "series"):
        _check_labels(series.labels)
        times, values = series.timestamps, series.values
        if not (_is_array(times) and _is_array(values) and len(times) == len(values)):
            raise _BadAnswerError.of(series, "timestamps and values as array('d'), equally long")
        _check_times(series.timestamps.tolist())
    return answer


def _vector(_: _Call, answer: object) -> VectorResult:
    if not isinstance(answer, VectorResult):
        raise _BadAnswerError.of(answer, "a VectorResult")
    _check_notes(answer)
    for sample in _elements(answer.samples, Sample, "samples"):
        _check_labels(sample.labels)
        if not (_is_number(sample.timestamp) and _is_number(sample.value)):
            raise _BadAnswerError.of(sample, "numbers as timestamp and value")
        _check_times([sample.timestamp])
    return answer


def _texts(_: _Call, answer: object) -> Sequence[str]:
    if all(isinstance(text, str) for text in _listed(answer, "a list of texts")):
        return cast("Sequence[str]", answer)
    raise _BadAnswerError.of(answer, "a list of texts")


def _label_sets(_: _Call, answer: object) -> Sequence[Mapping[str, str]]:
    for labels in _listed(answer, "a list of label sets"):
        _check_labels(labels)
    return cast("Sequence[Mapping[str, str]]", answer)


def _listed(answer: object, expected: str) -> Sequence[object]:
    if not isinstance(answer, (list, tuple)):
        raise _BadAnswerError.of(answer, expected)
    return cast("Sequence[object]", answer)


def _check_notes(answer: AnswerNotes) -> None:
    for name, notes in (("warnings", answer.warnings), ("infos", answer.infos)):
        if not isinstance(cast("object", notes), tuple) or not all(isinstance(cast("object", note), str) for note in notes):
            raise _BadAnswerError.of(notes, f"a tuple of texts as {name}")
    if not isinstance(cast("object", answer.partial), bool):
        raise _BadAnswerError.of(answer.partial, "True or False as partial")


def _elements(items: object, kind: type[_T], name: str) -> tuple[_T, ...]:
    if not isinstance(items, tuple):
        raise _BadAnswerError.of(items, f"a tuple of {kind.__name__} as {name}")
    for item in cast("tuple[object, ...]", items):
        if not isinstance(item, kind):
            raise _BadAnswerError.of(item, f"a {kind.__name__} in {name}")
    return cast("tuple[_T, ...]", items)


def _check_labels(labels: object) -> None:
    if not isinstance(labels, Mapping):
        raise _BadAnswerError.of(labels, "labels, a map of text to text")
    found = cast("Mapping[object, object]", labels)
    if not all(isinstance(label, str) and isinstance(value, str) for label, value in found.items()):
        raise _BadAnswerError.of(found, "labels, a map of text to text")


def _check_times(times: Sequence[float]) -> None:
    """Check that times are in order, and in the years that `datetime` has."""
    if times and not (_YEAR_1_S <= times[0] <= times[-1] < _YEAR_10000_S and all(map(lt, times, islice(times, 1, None)))):
        raise _BadAnswerError.of(times, "timestamps in order, in unix seconds")


def _is_array(value: object) -> bool:
    return isinstance(value, array) and value.typecode == "d"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


_ANY_ADAPTER: Final[Mapping[str, _Check]] = {
    "aclose": _anything,
    "diagnose": _finding,
    "server_facts": _facts,
    "topology": _topology,
}
_STATISTICS: Final[Mapping[str, _Check]] = {
    **_ANY_ADAPTER,
    "fetch_kernel_statistics": _batch(_metrics),
    "fetch_kernel_columns": _columns,
    "fetch_inference_metrics": _batch(_activity),
    "fetch_endpoint_statistics": _batch(_metrics),
    "fetch_replica_statistics": _batch(_metrics),
    "fetch_agent_statistics": _batch(_agent),
    "ping": _nothing,
    "with_ages": _reader,
}
_SINK: Final[Mapping[str, _Check]] = {**_ANY_ADAPTER, **dict.fromkeys(methods(StatisticsSinkPort), _anything)}
_METRICS: Final[Mapping[str, _Check]] = {
    **_ANY_ADAPTER,
    "query_utilization": _matrix,
    "query_utilization_now": _vector,
    "label_values": _texts,
    "series": _label_sets,
    "ping": _nothing,
    "for_tenant": _tenant,
    "utilization_text": _finding,
}
_PROMQL: Final[Mapping[str, _Check]] = {"query": _vector, "query_range": _matrix}
_NOT_ASYNC: Final = frozenset({"for_tenant", "utilization_text", "with_ages"})
