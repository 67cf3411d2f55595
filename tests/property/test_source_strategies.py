"""Batched reads compared with single reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs
from hypothesis import given
from hypothesis import strategies as st

from statcore.model import Problem, ProblemKind, StatisticsBatch, id_text
from statcore.statistics import StatisticsStatefulSource
from statcore.testing.strategies import ids

KINDS = st.none() | st.sampled_from(ProblemKind)


@attrs.frozen
class Store:
    """A store that answers by id with an entry, a problem, both or neither, after the turns that the id needs."""

    content: dict[str, tuple[int | None, ProblemKind | None, int]]

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """See the port."""
        assert len(set(ids)) == len(ids)
        assert ids
        entries: list[dict[str, Any] | None] = []
        problems: dict[int, Problem] = {}
        for position, id_ in enumerate(ids):
            number, kind, turns = self.content.get(id_, (None, None, 0))
            for _ in range(turns):
                await asyncio.sleep(0)
            entries.append(None if number is None else {"mem": number})
            if kind:
                problems[position] = Problem(kind, message="planted", key=id_)
        return StatisticsBatch(entries, problems=problems)

    def __getattr__(self, name: str) -> Any:
        """A whole port as far as types go."""
        raise AttributeError(name)


@given(st.data(), st.lists(ids(), max_size=12, unique_by=id_text), st.integers(1, 15))
def test_a_batched_read_equals_single_reads(data: st.DataObject, known: list[UUID | str], chunk_size: int) -> None:
    """This holds for any ids in any order, number and spelling, any chunk size, and any order of the chunks' answers."""
    content = {id_text(id_): data.draw(st.tuples(st.none() | st.integers(), KINDS, st.integers(0, 3))) for id_ in known}
    some = st.sampled_from(known) if known else ids()
    requested = data.draw(
        st.lists(st.one_of(some, some.map(id_text), some.map(lambda id_: UUID(id_text(id_))), ids()), max_size=30)
    )
    source = StatisticsStatefulSource(Store(content), chunk_size=chunk_size)

    async def read() -> tuple[StatisticsBatch, list[StatisticsBatch]]:
        return await source.read_kernel_statistics_batch(requested), [
            await source.read_kernel_statistics_batch([id_]) for id_ in requested
        ]

    batch, singles = asyncio.run(read())
    assert [single[0] for single in singles] == list(batch)
    assert {position: single.problems[0] for position, single in enumerate(singles) if single.problems} == dict(
        batch.problems
    )
