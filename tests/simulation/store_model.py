"""A plain model of a store: every state that each key has had, and which answers about it are right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import attrs
import msgpack

from statcore.model import Problem, ProblemKind, StatisticsBatch, StatisticsColumns
from statcore.model.store_keys import (
    INFERENCE_TTL_S,
    KERNEL_TTL_S,
    NO_ACTIVITY,
    activity_keys,
    agent_ttl_s,
    endpoint_key,
    replica_key,
)
from statcore.testing.expectations import plain
from statcore.testing.simulation.valkey_commands import Value
from statcore_valkey import ValkeyStatistics

FIELDS: Final = ("value.current", "value.unit_hint")
AGENT_INTERVAL_S: Final = 5.0
MAX_ENTRY_BYTES: Final = 400
"""The option `max_entry_bytes` of the readers."""
_ROUNDING_S: Final = 0.002
"""PTTL counts milliseconds."""


@attrs.frozen
class State:
    """What a key held at some time: `kind` is the type, or `none`."""

    since_s: float
    kind: str = "none"
    content: bytes = b""
    expires_s: float | None = None

    @property
    def is_oversized(self) -> bool:
        """Whether it is longer than readers take."""
        return len(self.content) > MAX_ENTRY_BYTES

    @property
    def is_read(self) -> bool:
        """Whether readers look at its content."""
        return self.kind == "string" and not self.is_oversized

    @property
    def entry(self) -> Any:
        """The map that a reader decodes, or None for bytes that are no map of maps."""
        try:
            found = msgpack.unpackb(self.content, strict_map_key=True)
        except (ValueError, msgpack.UnpackException):
            return None
        return found if isinstance(found, dict) and all(isinstance(value, dict) for value in found.values()) else None


@attrs.frozen
class History:
    """Every state that each key has had; a key that was never written has none."""

    _states: dict[str, list[State]] = attrs.field(factory=dict[str, list[State]], init=False)

    def note(self, key: bytes, value: Value | None, now_s: float) -> None:
        """Note what a key holds from now on."""
        state = State(now_s)
        if value is not None:
            content = value.content if isinstance(value.content, bytes) else b""
            state = State(now_s, value.kind, content, value.expires_s)
        self._states.setdefault(key.decode(), []).append(state)

    def note_flush(self, now_s: float) -> None:
        """Note that every key is gone."""
        for states in self._states.values():
            states.append(State(now_s))

    def possible(self, key: str, first_s: float, last_s: float) -> list[State]:
        """Return the states in which a key was at some time between two times."""
        states = [State(float("-inf")), *self._states.get(key, [])]
        found: list[State] = []
        for state, until_s in zip(states, [*(state.since_s for state in states[1:]), float("inf")], strict=True):
            begin_s, end_s = max(state.since_s, first_s), min(until_s, last_s)
            if begin_s > end_s:
                continue
            if state.expires_s is None or begin_s < state.expires_s:
                found.append(state)
            if state.expires_s is not None and end_s >= state.expires_s:
                found.append(State(state.expires_s))
        return found

    def was(self, key: str, content: Any, first_s: float, last_s: float) -> bool:
        """Return whether an entry was under a key at some time between two times."""
        return any(state.kind == "string" and state.entry == content for state in self.possible(key, first_s, last_s))


@attrs.frozen
class Span:
    """The time of a call, and the options of the store that was called.

    Args:
        first_s, last_s: when it began and ended.
        is_dated: whether the store reads ages.
        freshness_s: the freshness bound of the store, or None.
    """

    first_s: float
    last_s: float
    is_dated: bool = attrs.field(default=False, kw_only=True)
    freshness_s: float | None = attrs.field(default=None, kw_only=True)


Check: TypeAlias = "Callable[[History, Any, Span], str | None]"


@attrs.frozen
class Question:
    """One call of a reader.

    Args:
        name: what is read, for messages.
        ids: the ids, some of them several times.
        call: makes the call.
        check: returns what is wrong with an answer, or None.
    """

    name: str
    ids: Sequence[Any]
    call: Callable[[ValkeyStatistics], Awaitable[Any]]
    check: Check

    def __str__(self) -> str:
        """Show the name and the ids."""
        return f"{self.name} {', '.join(map(str, self.ids))}"


def kernels(ids: Sequence[str]) -> Question:
    """Read kernels."""
    check = partial(_check_batch, ids, KERNEL_TTL_S)
    return Question("kernels", ids, lambda store: store.fetch_kernel_statistics(ids), check)


def columns(ids: Sequence[str]) -> Question:
    """Read columns of kernels."""
    check = partial(_check_columns, ids)
    return Question("columns", ids, lambda store: store.fetch_kernel_columns(ids, FIELDS), check)


def endpoints(ids: Sequence[str]) -> Question:
    """Read endpoints."""
    check = partial(_check_batch, [endpoint_key(id_) for id_ in ids], INFERENCE_TTL_S)
    return Question("endpoints", ids, lambda store: store.fetch_endpoint_statistics(ids), check)


def replicas(pairs: Sequence[tuple[str, str]]) -> Question:
    """Read replicas."""
    check = partial(_check_batch, [replica_key(pair) for pair in pairs], INFERENCE_TTL_S)
    return Question("replicas", pairs, lambda store: store.fetch_replica_statistics(pairs), check)


def agents(ids: Sequence[str]) -> Question:
    """Read agents; the store has the option `agent_interval_s=AGENT_INTERVAL_S`."""
    check = partial(_check_batch, ids, agent_ttl_s(AGENT_INTERVAL_S))
    return Question("agents", ids, lambda store: store.fetch_agent_statistics(ids), check)


def activity(ids: Sequence[str]) -> Question:
    """Read the activity of sessions."""
    return Question("sessions", ids, lambda store: store.fetch_inference_metrics(ids), partial(_check_activity, ids))


def _check_batch(keys: Sequence[str], ttl_s: float, history: History, batch: StatisticsBatch, span: Span) -> str | None:
    entries = [None if entry is None else plain(entry) for entry in batch]
    return _fault_of_entries(keys, ttl_s, history, entries, batch, span)


def _check_columns(keys: Sequence[str], history: History, columns: StatisticsColumns, span: Span) -> str | None:
    rows = zip(*(columns[field].texts for field in FIELDS), strict=True)
    entries = [None if row == (None, None) else _entry_of_row(*row) for row in rows]
    problems = {at: problems[0] for at, problems in columns.problems.items()}
    batch = StatisticsBatch(problems=problems, ages_s=columns.ages_s)
    return _fault_of_entries(keys, KERNEL_TTL_S, history, entries, batch, span, view=_of_fields)


def _entry_of_row(current: str | None, unit_hint: str | None) -> Any:
    return {"value": {"current": current, "unit_hint": unit_hint}}


def _of_fields(entry: Any) -> Any:
    """Return an entry with the fields of the columns alone."""
    return None if entry is None else _entry_of_row(entry["value"]["current"], entry["value"]["unit_hint"])


def _fault_of_entries(
    keys: Sequence[str],
    ttl_s: float,
    history: History,
    entries: Sequence[Any],
    batch: StatisticsBatch,
    span: Span,
    *,
    view: Callable[[Any], Any] = lambda entry: entry,
) -> str | None:
    """Return what is wrong with any of the entries, whose problems and ages are those of the batch."""
    if len(keys) != len(entries):
        return f"{len(entries)} entries for {len(keys)} ids"
    for at, (key, entry) in enumerate(zip(keys, entries, strict=True)):
        states = history.possible(key, span.first_s, span.last_s)
        problem, age_s = batch.problems.get(at), batch.ages_s.get(at)
        held = [number for number, state in enumerate(states) if state.is_read and view(state.entry) == entry]
        is_entry = entry is not None and bool(held)
        if is_entry:
            is_right = any(_is_right_age(states[: number + 1], problem, age_s, ttl_s, span) for number in held)
        else:
            is_right = _is_right_none(states, problem)
        if not is_right or (entry is not None and not is_entry) or (problem is not None and problem.key != key):
            return f"{key} was answered with {entry!r}, {problem}, age {age_s}; possible are {states}"
    return None


def _is_right_none(states: Sequence[State], problem: Problem | None) -> bool:
    """Return whether there may be no entry, with this problem."""
    kinds = {state.kind for state in states}
    if problem is None:  # a key of another type that is written meanwhile looks like one that was missing
        return "none" in kinds or len(kinds) > 1
    if problem.kind is ProblemKind.UNAVAILABLE:
        return bool(kinds - {"none", "string"})
    if problem.kind is ProblemKind.OVERSIZED:
        return any(state.is_oversized for state in states)
    return problem.kind is ProblemKind.MALFORMED and any(state.kind == "string" and state.entry is None for state in states)


def _is_right_age(states: Sequence[State], problem: Problem | None, age_s: float | None, ttl_s: float, span: Span) -> bool:
    """Return whether the entry of the last state may have this age and problem; its time to live was read before it."""
    kind = None if problem is None else problem.kind
    if not span.is_dated:
        return kind is None and age_s is None
    if age_s is None:
        known = [state.expires_s for state in states if state.kind != "none"]
        is_undated = any(end_s is None or end_s - span.first_s > ttl_s for end_s in known)
        return kind is ProblemKind.UNDATED and is_undated
    is_stale = span.freshness_s is not None and age_s > span.freshness_s
    ends_s = [state.expires_s for state in states if state.expires_s is not None]
    ages_s = [(ttl_s - end_s + span.first_s, ttl_s - end_s + span.last_s) for end_s in ends_s]
    ages_s += [(0.0, 0.0)] if any(state.kind == "none" for state in states) else []
    is_possible = any(youngest_s - _ROUNDING_S <= age_s <= oldest_s + _ROUNDING_S for youngest_s, oldest_s in ages_s)
    return is_possible and kind is (ProblemKind.STALE if is_stale else None)


def _check_activity(ids: Sequence[str], history: History, batch: StatisticsBatch, span: Span) -> str | None:
    if len(ids) != len(batch):
        return f"{len(batch)} entries for {len(ids)} ids"
    for at, id_ in enumerate(ids):
        entry, problem = plain(batch[at]), batch.problems.get(at)
        states = [history.possible(key, span.first_s, span.last_s) for key in activity_keys(id_)]
        if problem is None:
            is_right = isinstance(entry, Mapping) and all(
                any(state.content == b"%d" % entry[name] for state in states_of)
                for name, states_of in zip(NO_ACTIVITY, states, strict=True)
            )
        else:
            # MGET answers nothing for a key of another type.
            is_missing = any(state.kind != "string" for states_of in states for state in states_of)
            is_right = is_missing and problem.kind is ProblemKind.INCOMPLETE and entry == NO_ACTIVITY
        if not is_right:
            return f"session {id_} was answered with {entry}, {problem}; possible are {states}"
    return None
