"""Batched reads: ids are checked, fetched once, split on request, and answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest

from statcore.errors import InputError, ProtocolError, UnavailableError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.statistics import StatisticsRepositories, StatisticsStatefulSource

IDS = [str(UUID(int=number)) for number in range(10)]
STALE = Problem(ProblemKind.STALE, message="old")


@attrs.define(kw_only=True)
class RecordingStore:
    """A `StatisticsPort` that answers each id with itself, and records calls."""

    calls: list[tuple[str, Sequence[Hashable]]] = attrs.field(factory=list)
    before: Callable[[Sequence[Hashable]], Awaitable[None]] | None = None
    lost: int = 0

    async def answer(self, kind: str, ids: Sequence[Hashable]) -> StatisticsBatch:
        """Answer all ids but the last `lost`; ids that end in 1 are stale."""
        self.calls.append((kind, ids))
        if self.before:
            await self.before(ids)
        problems = {position: STALE for position, id_ in enumerate(ids) if str(id_).endswith("1")}
        return StatisticsBatch([{kind: id_} for id_ in ids[: len(ids) - self.lost]], problems=problems)

    def __getattr__(self, name: str) -> Any:
        """Answer every `fetch_…`."""
        return lambda ids: self.answer(name, ids)


READS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "kernel_statistics": ("fetch_kernel_statistics", str),
    "inference_metrics": ("fetch_inference_metrics", str),
    "endpoint_statistics": ("fetch_endpoint_statistics", str),
    "replica_statistics": ("fetch_replica_statistics", lambda id_: (id_, IDS[9])),
    "agent_statistics": ("fetch_agent_statistics", str),
}


@pytest.mark.parametrize("kind", READS)
async def test_each_read_calls_its_method_of_the_store(kind: str) -> None:
    """The repository and the source answer alike; a duplicate is fetched once and is at both positions."""
    fetch, key = READS[kind]
    store = RecordingStore()
    repository = StatisticsRepositories.create(store).repository
    requested = [key(id_) for id_ in (IDS[2], IDS[1], IDS[2])]
    expected = StatisticsBatch(
        [{fetch: id_} for id_ in requested], problems={1: STALE} if kind != "replica_statistics" else {}
    )
    assert expected == await getattr(repository, f"get_{kind}_batch")(requested)
    assert expected == await getattr(repository.source, f"read_{kind}_batch")(requested)
    assert [(fetch, [key(IDS[2]), key(IDS[1])])] * 2 == store.calls


@pytest.mark.parametrize("kind", READS)
async def test_no_ids_do_not_call_the_store(kind: str) -> None:
    """The batch is empty."""
    store = RecordingStore()
    assert StatisticsBatch() == await getattr(StatisticsStatefulSource(store), f"read_{kind}_batch")([])
    assert [] == store.calls


async def test_ids_are_fetched_in_canonical_text() -> None:
    """Two spellings of an id are one id, with an entry at both positions."""
    store = RecordingStore()
    requested: list[UUID | str] = [UUID(IDS[3]), IDS[3].replace("-", ""), IDS[4], f"urn:uuid:{IDS[3]}"]
    batch = await StatisticsStatefulSource(store).read_kernel_statistics_batch(requested)
    assert [IDS[3], IDS[3], IDS[4], IDS[3]] == [entry["fetch_kernel_statistics"] for entry in batch if entry]
    assert [("fetch_kernel_statistics", [IDS[3], IDS[4]])] == store.calls


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *((kind, "no id") for kind in ("kernel_statistics", "inference_metrics", "endpoint_statistics")),
        ("replica_statistics", (IDS[0], "no id")),
        ("replica_statistics", ("no id", IDS[0])),
        ("agent_statistics", "\ud800"),
        ("agent_statistics", 5),
    ],
)
async def test_a_bad_id_is_refused_before_the_store_is_called(kind: str, bad: Any) -> None:
    """The other ids may be good."""
    store = RecordingStore()
    _, key = READS[kind]
    with pytest.raises(InputError):
        await getattr(StatisticsStatefulSource(store), f"read_{kind}_batch")([key(IDS[0]), bad])
    assert [] == store.calls


@pytest.mark.parametrize("chunk_size", [0, -1, 1.5, "5000", True])
def test_a_chunk_holds_at_least_one_id(chunk_size: Any) -> None:
    """The error names the setting."""
    with pytest.raises(InputError, match="chunk_size must be a whole number of at least 1"):
        StatisticsStatefulSource(RecordingStore(), chunk_size=chunk_size)


async def test_a_call_has_all_ids_by_default() -> None:
    """The store splits a batch as its server needs it."""
    store = RecordingStore()
    ids = [str(UUID(int=number)) for number in range(12_000)]
    batch = await StatisticsStatefulSource(store).read_kernel_statistics_batch(ids)
    assert ([("fetch_kernel_statistics", ids)], 12_000) == (store.calls, len(batch))


async def test_chunks_are_read_concurrently() -> None:
    """All calls run before the first is answered; entries are in order, in whatever order calls end."""
    arrived: list[Sequence[Hashable]] = []
    all_there = asyncio.Event()
    last_first = [asyncio.Event() for _ in range(4)]

    async def wait_for_the_next(ids: Sequence[Hashable]) -> None:
        number = len(arrived)
        arrived.append(ids)
        if len(arrived) == 4:
            all_there.set()
            last_first[3].set()
        await all_there.wait()
        await last_first[number].wait()
        if number:
            last_first[number - 1].set()

    store = RecordingStore(before=wait_for_the_next)
    batch = await StatisticsStatefulSource(store, chunk_size=3).read_kernel_statistics_batch([*IDS, IDS[1]])
    assert [*IDS, IDS[1]] == [entry["fetch_kernel_statistics"] for entry in batch if entry]
    assert {1: STALE, 10: STALE} == dict(batch.problems)
    assert [IDS[:3], IDS[3:6], IDS[6:9], IDS[9:]] == arrived


async def test_a_failing_chunk_cancels_the_others() -> None:
    """The store's error is raised with its cause and not in a group, after the other calls have ended."""
    cause = ConnectionResetError("reset")
    cancelled: list[Hashable] = []

    async def fail(ids: Sequence[Hashable]) -> None:
        if ids[0] == IDS[3]:
            raise UnavailableError("down", service="db") from cause
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(ids[0])

    with pytest.raises(UnavailableError, match="down") as caught:
        await StatisticsStatefulSource(RecordingStore(before=fail), chunk_size=3).read_kernel_statistics_batch(IDS)
    assert cause is caught.value.__cause__
    assert [IDS[0], IDS[6], IDS[9]] == sorted(map(str, cancelled))


@pytest.mark.parametrize("chunk_size", [3, 100])
@pytest.mark.parametrize("requested", [IDS, [*IDS, IDS[0]]], ids=["distinct", "with a duplicate"])
async def test_a_store_that_answers_too_few_entries_is_an_error(chunk_size: int, requested: list[str]) -> None:
    """Entries are never paired with the wrong id."""
    source = StatisticsStatefulSource(RecordingStore(lost=1), chunk_size=chunk_size)
    with pytest.raises(ProtocolError, match=r"answered \d+ entries for \d+ ids"):
        await source.read_kernel_statistics_batch(requested)
