"""Store of live statistics that reads through the two Valkey clients which a manager already has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, cast
from uuid import UUID

import attrs

from statcore.concurrency import Deadline, map_concurrently
from statcore.errors import (
    InputError,
    MalformedEntryError,
    ProtocolError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore.model.batch import StatisticsBatch
from statcore.model.statistics import Entry, Problem, ProblemKind
from statcore.model.store_keys import NO_ACTIVITY
from statcore.model.validation import check_seconds
from statcore.ports.statistics import StatisticsPort

_Call: TypeAlias = Callable[[list[Any]], Awaitable[object]]
_Read: TypeAlias = Callable[[object, str], "Entry | Problem | None"]

_SESSIONS: Final = "get_session_statistics_batch"
_ENDPOINTS: Final = "get_inference_app_statistics_batch"
_REPLICAS: Final = "get_inference_replica_statistics_batch"
_AGENTS: Final = "get_agent_statistics_batch"
_PROBE_ID: Final = str(UUID(int=0))
"""An id that no object has: reading it shows whether the store answers."""
_DECODING: Final = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Errors that decoders of MessagePack and numbers raise. Decoders of pickles raise PickleError, too."""


class StatisticsClient(Protocol):
    """Protocol of both clients.

    Methods for endpoints, replicas and agents are looked up when they are needed, because released clients lack some.
    """

    def get_session_statistics_batch(self, session_ids: list[str], /) -> Awaitable[Sequence[Mapping[str, Any] | None]]:
        """Return one entry per id, in order."""
        ...


def _check_client(*methods: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], client: object) -> None:
        if not any(callable(getattr(client, method, None)) for method in methods):
            expected = f"expected a client with the method {methods[0]}"
            raise InputError(f"{field.name} cannot be {type(client).__name__}; {expected}")

    return check


@attrs.frozen(kw_only=True, eq=False)
class ClientStatistics:
    """A `StatisticsPort` over two clients with methods `get_…_statistics_batch`.

    A call that needs a method which the client lacks raises `UnsupportedError`; other calls work. The clients decode the
    entries, and they may load **pickles**, which statcore's own adapters never do. A client raises for a whole batch if one
    payload is bad. The batch is then halved until the bad payload is alone, and its entry is None with a problem. Ages and
    sizes of entries are not known. A client answers two zeros also where nothing is stored for a session, so two zeros are
    *incomplete*.

    Args:
        valkey_stat: the client of statistics; the host closes it.
        valkey_live: the client of live sessions; the host closes it.
        timeout_s: the deadline of a call in seconds, including all halves of a batch. Ids that are not read by then are
            *unavailable* if others were read; if none was, the call raises `TimedOutError`.

    Raises:
        InputError: a client has none of the methods, or `timeout_s` is not a number of seconds above zero.
    """

    valkey_stat: StatisticsClient = attrs.field(
        validator=_check_client(_SESSIONS, _ENDPOINTS, _REPLICAS, _AGENTS), repr=False
    )
    valkey_live: StatisticsClient = attrs.field(validator=_check_client(_SESSIONS), repr=False)
    timeout_s: float = attrs.field(default=10.0, validator=check_seconds)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: MetricValue map}` of kernels or sessions."""
        return await self._fetch("valkey_stat", _SESSIONS, ids, read=_read_metrics)

    async def fetch_inference_metrics(self, session_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"requests": int, "last_response_ms": int}` of sessions; zeros in both are *incomplete*."""
        return await self._fetch("valkey_live", _SESSIONS, session_ids, read=_read_activity)

    async def fetch_endpoint_statistics(self, endpoint_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of inference endpoints."""
        return await self._fetch("valkey_stat", _ENDPOINTS, endpoint_ids, read=_read_metrics)

    async def fetch_replica_statistics(self, pairs: Sequence[tuple[str, str]], /) -> StatisticsBatch:
        """Fetch `{metric: InferenceValue map}` of (endpoint id, replica id) pairs."""
        return await self._fetch("valkey_stat", _REPLICAS, pairs, read=_read_metrics, absent=(_PROBE_ID, _PROBE_ID))

    async def fetch_agent_statistics(self, agent_ids: Sequence[str], /) -> StatisticsBatch:
        """Fetch `{"node": {metric: MetricValue map}, "devices": {metric: {device id: MetricValue map}}}` of agents."""
        return await self._fetch("valkey_stat", _AGENTS, agent_ids, read=_read_agent)

    async def ping(self) -> None:
        """Return when both clients answer for an id that has no entry."""
        for client in ("valkey_stat", "valkey_live"):
            batch = _HalvedBatch(self._method(client, _SESSIONS), f"{client}.{_SESSIONS}", ids=(), absent=_PROBE_ID)
            await batch.within(self.timeout_s, batch.check_store())

    async def aclose(self) -> None:
        """Do nothing: the host closes its clients."""

    async def _fetch(
        self, client: str, method: str, ids: Sequence[Any], *, read: _Read, absent: str | tuple[str, str] = _PROBE_ID
    ) -> StatisticsBatch:
        if not ids:
            return StatisticsBatch()
        batch = _HalvedBatch(self._method(client, method), f"{client}.{method}", ids=ids, absent=absent)
        await batch.within(self.timeout_s, batch.read_all())
        entries: list[Entry | None] = []
        problems: dict[int, Problem] = {}
        for position, id_ in enumerate(ids):
            entry = batch.outcome(position)
            if not isinstance(entry, Problem):
                try:
                    entry = read(entry, str(id_))
                except Exception as error:  # noqa: BLE001 - an entry that decodes itself may raise anything
                    entry = _malformed(str(id_), type(error).__name__)
            if isinstance(entry, Problem):
                problems[position] = entry
                entry = dict(NO_ACTIVITY) if entry.kind is ProblemKind.INCOMPLETE else None
            entries.append(entry)
        return StatisticsBatch(entries, problems=problems)

    def _method(self, client: str, method: str) -> _Call:
        call: Any = getattr(getattr(self, client), method, None)
        if not callable(call):
            raise UnsupportedError(
                f"{client} has no method {method}; expected a client that has it, or a store of statcore"
            )
        return cast("_Call", call)


def store_from(
    store: StatisticsPort | None, valkey_stat: StatisticsClient | None, valkey_live: StatisticsClient | None
) -> StatisticsPort:
    """Return the store, or a `ClientStatistics` over the two clients.

    Raises:
        InputError: there is neither a store nor both clients, or there is a store and a client.
    """
    if store is not None and valkey_stat is None and valkey_live is None:
        return store
    if store is not None or valkey_stat is None or valkey_live is None:
        raise InputError("expected either a store, or both valkey_stat and valkey_live")
    return ClientStatistics(valkey_stat=valkey_stat, valkey_live=valkey_live)


@attrs.define(eq=False)
class _HalvedBatch:
    """One batched read through a client; a part that fails is halved until it is a single id."""

    call: _Call
    name: str
    ids: Sequence[Any] = attrs.field(kw_only=True)
    absent: object = attrs.field(kw_only=True)
    answers: dict[int, object] = attrs.field(factory=dict[int, object], init=False)
    failures: dict[int, Exception] = attrs.field(factory=dict[int, Exception], init=False)
    unread_reason: str = attrs.field(default="the deadline was over", init=False)

    async def within(self, timeout_s: float, reading: Awaitable[None]) -> None:
        """Wait for reading, at most until the deadline.

        Raises:
            TimedOutError: the time is up, and no id was answered.
        """
        try:
            async with Deadline(timeout_s, waiting_for=self.name):
                await reading
        except TimedOutError:
            if not self.answers:
                raise

    async def read_all(self) -> None:
        """Read every id that the client can read; stop where the store stops answering.

        Raises:
            UnavailableError: the client fails for every id, from the first on.
            ProtocolError: an answer is not one entry per id.
        """
        parts: list[Sequence[int]] = [range(len(self.ids))]
        while parts:
            errors = await map_concurrently(parts, self._try_part)
            failed = [(part, error) for part, error in zip(parts, errors, strict=True) if error is not None]
            singles = {part[0]: error for part, error in failed if len(part) == 1}
            # The store itself may fail, so it is checked before single ids are blamed, and where no half was answered.
            if singles or (failed and len(parts) > 1 and not self.answers):
                try:
                    await self.check_store()
                except UnavailableError as error:
                    if not self.answers:
                        raise
                    self.unread_reason = str(error)
                    return
            self.failures.update(singles)
            halves = ((part[: len(part) // 2], part[len(part) // 2 :]) for part, _ in failed if len(part) > 1)
            parts = [half for pair in halves for half in pair]

    async def check_store(self) -> None:
        """Read an id that cannot be the cause of a failure: an id that was answered before, or an id without an entry.

        Raises:
            UnavailableError: the client fails for that id, too, so the store does not answer.
        """
        known = next(iter(self.answers), None)
        try:
            await self.call([self.absent if known is None else self.ids[known]])
        except Exception as error:
            now = " by now" if self.answers else ""
            message = f"{self.name} failed for every id{now}: {type(error).__name__}"
            raise UnavailableError(message, service=self.name) from error

    def outcome(self, position: int) -> object:
        """Return the client's answer for an id, or a problem that says why there is none."""
        if position in self.answers:
            return self.answers[position]
        error, id_ = self.failures.get(position), str(self.ids[position])
        if error is None:
            message = f"{self.name} did not answer for {id_}: {self.unread_reason}"
            return Problem(ProblemKind.UNAVAILABLE, message=message, key=id_)
        from pickle import PickleError  # noqa: PLC0415 - only failures need it

        kind = ProblemKind.MALFORMED if isinstance(error, (*_DECODING, PickleError)) else ProblemKind.UNAVAILABLE
        return Problem(kind, message=f"{self.name} failed for {id_} alone: {type(error).__name__}", key=id_)

    async def _try_part(self, part: Sequence[int]) -> Exception | None:
        try:
            answer = await self.call([self.ids[position] for position in part])
        except Exception as error:  # noqa: BLE001 - a client of the host's may raise anything
            return error
        if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
            raise ProtocolError(f"{self.name} answered {type(answer).__name__}; expected a list of {len(part)} entries")
        entries = cast("Sequence[object]", answer)
        if len(entries) != len(part):
            raise ProtocolError(f"{self.name} answered {len(entries)} entries for {len(part)} ids")
        self.answers.update(zip(part, entries, strict=True))
        return None


class _PartlyBadEntry(Mapping[str, Any]):
    """An entry of which some metrics are not maps; reading such a metric raises `MalformedEntryError`."""

    def __init__(self, metrics: Mapping[str, Any], key: str) -> None:
        self._metrics = metrics
        self._key = key

    def __getitem__(self, metric: str) -> Any:  # noqa: ANN401 - clients answer anything
        value = self._metrics[metric]
        if isinstance(value, Mapping):
            return cast("Mapping[str, Any]", value)
        message = f"metric {metric!r} of {self._key} is malformed: expected a map, found {type(value).__name__}"
        raise MalformedEntryError(message, key=self._key, metric=metric)

    def __contains__(self, metric: object) -> bool:
        return metric in self._metrics

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)


def _read_metrics(entry: object, id_: str) -> Entry | Problem | None:
    if entry is None:
        return None
    if not isinstance(entry, Mapping):
        return _malformed(id_, f"expected a map of metrics, found {type(entry).__name__}")
    metrics: dict[str, Any] = {}
    partly_bad = False
    for name, value in cast("Mapping[object, object]", entry).items():
        if not isinstance(name, str | int | float | UUID):
            return _malformed(id_, f"a metric has a name of type {type(name).__name__}")
        metrics[name if isinstance(name, str) else str(name)] = value
        partly_bad = partly_bad or not isinstance(value, Mapping)
    return _PartlyBadEntry(metrics, id_) if partly_bad else metrics


def _read_agent(entry: object, id_: str) -> Entry | Problem | None:
    if entry is None:
        return None
    if not isinstance(entry, Mapping) or not {"node", "devices"} & set(cast("Mapping[object, object]", entry)):
        return _malformed(id_, "expected a map with node or devices")
    halves = cast("Mapping[object, object]", entry)
    read: dict[str, Any] = {}
    for half in ("node", "devices"):
        read[half] = _read_metrics(halves.get(half, {}), id_)
        if not isinstance(read[half], Mapping):
            return _malformed(id_, f"{half} is not a map of metrics")
    return read


def _read_activity(entry: object, id_: str) -> Entry | Problem:
    counts: dict[str, object] = {}
    if isinstance(entry, Mapping):
        counts = {name: cast("Mapping[object, object]", entry).get(name) for name in NO_ACTIVITY}
    if not counts or not all(type(count) is int for count in counts.values()):
        return Problem(ProblemKind.INCOMPLETE, message=f"no numbers for session {id_}")
    if counts == NO_ACTIVITY:
        message = f"two zeros for session {id_}: the client also answers them if nothing is stored"
        return Problem(ProblemKind.INCOMPLETE, message=message)
    return counts


def _malformed(id_: str, reason: str) -> Problem:
    return Problem(ProblemKind.MALFORMED, message=f"the entry of {id_} is malformed: {reason}", key=id_)
