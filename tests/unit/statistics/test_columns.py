"""Columns through the repository: they are those of the batch, whatever the store is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest
from tests.support.delegating import Delegating
from tests.unit.statistics.test_clients import Client

from statcore.errors import InputError, ProtocolError
from statcore.model import MetricValue, Problem, ProblemKind, StatisticsBatch, StatisticsColumns
from statcore.model.batch import read_columns
from statcore.ports import ColumnarStatisticsPort, KernelStatisticsPort
from statcore.statistics import ClientStatistics, StatisticsRepositories, StatisticsRepository, StatisticsStatefulSource
from statcore_memory import MemoryStatistics

IDS = [str(UUID(int=number)) for number in range(1, 9)]
FIELDS = ["mem.current", "cpu_util.pct", "mem.stats.max", "mem.nothing"]
STALE = Problem(ProblemKind.STALE, message="old")


@attrs.define
class ColumnarStore:
    """A store of kernels that reads columns itself, and records calls. Ids that end in 1 are stale; others have an age.

    Args:
        lost: how many ids the columns lack at the end.
        renamed: other names of the columns.
    """

    lost: int = 0
    renamed: Sequence[str] | None = None
    calls: list[tuple[str, list[str]]] = attrs.field(factory=list[tuple[str, list[str]]], init=False)

    def batch(self, ids: Sequence[str]) -> StatisticsBatch:
        """Return the batch of ids."""
        entries = [{"mem": {"current": id_[-1]}, "cpu_util": {"pct": f"{id_[-1]}.5"}} for id_ in ids]
        stale = {position: STALE for position, id_ in enumerate(ids) if id_[-1] == "1"}
        ages_s = {position: float(id_[-1]) for position, id_ in enumerate(ids) if position not in stale}
        return StatisticsBatch(entries, problems=stale, ages_s=ages_s)

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """See the port."""
        self.calls.append(("batch", list(ids)))
        return self.batch(ids)

    async def fetch_kernel_columns(self, ids: Sequence[str], fields: Sequence[str], /) -> StatisticsColumns:
        """See the port."""
        self.calls.append(("columns", list(ids)))
        batch = self.batch(ids)[: len(ids) - self.lost]
        return await read_columns(batch, self.renamed or fields, problems=batch.problems, ages_s=batch.ages_s)


async def memory() -> MemoryStatistics:
    """Return a store in memory with some of the kernels."""
    store = MemoryStatistics(clock=lambda: 5.0)
    values = {"mem": MetricValue(current="5", stats={"max": "9"}), "cpu_util": MetricValue(current="1", pct="2.50")}
    await store.store_kernel_statistics({IDS[0]: values, IDS[2]: {"mem": MetricValue(current="NaN")}, IDS[3]: {}})
    return store


def over_clients() -> ClientStatistics:
    """Return a store over clients, with odd entries and an id that the client cannot decode."""
    stored: dict[Any, Any] = {
        IDS[0]: {"mem": {"current": "5"}, "cpu_util": "no map"},
        IDS[2]: {"mem": {"current": 5.5}},
        IDS[4]: 7,
    }
    return ClientStatistics(valkey_stat=Client(stored, bad={IDS[3]}), valkey_live=Client())


async def assert_columns_are_those_of_the_batch(
    source: StatisticsStatefulSource, ids: Sequence[UUID | str]
) -> StatisticsColumns:
    """Assert it for the source and for a repository over it, with ages, and return the columns."""
    repository = StatisticsRepository(source)
    batch = await repository.get_kernel_statistics_batch(ids)
    expected = await batch.columns(*FIELDS)
    for columns in (
        await source.read_kernel_statistics_columns(ids, FIELDS),
        await repository.get_kernel_statistics_columns(ids, tuple(FIELDS)),
    ):
        assert expected == columns
        assert dict(batch.ages_s) == dict(columns.ages_s)
        assert [len(ids)] * len(FIELDS) == [len(column) for column in columns.values()]
    return expected


REQUESTED: list[UUID | str] = [UUID(IDS[2]), IDS[0], IDS[6], IDS[2].upper(), IDS[3], IDS[0], f"urn:uuid:{IDS[4]}"]


@pytest.mark.parametrize("chunk_size", [None, 2])
async def test_columns_of_any_store_are_those_of_its_batch(chunk_size: int | None) -> None:
    """Ids recur in several spellings; some have no entry, and some a problem."""
    for store in (await memory(), over_clients()):
        columns = await assert_columns_are_those_of_the_batch(
            StatisticsStatefulSource(store, chunk_size=chunk_size), REQUESTED
        )
        assert "5" == columns["mem.current"][1] == columns["mem.current"][5]
        assert None is columns["mem.current"][2]
    assert {4, 6} <= set(columns.problems)


async def test_a_store_that_reads_columns_is_called_once_with_distinct_ids() -> None:
    """Problems and ages are at each position of an id that recurs."""
    store: Any = ColumnarStore()
    assert isinstance(ColumnarStore(), ColumnarStatisticsPort)
    columns = await assert_columns_are_those_of_the_batch(StatisticsStatefulSource(store), REQUESTED)
    assert {1: [STALE], 5: [STALE]} == columns.problems
    assert {0: 3.0, 2: 7.0, 3: 3.0, 4: 4.0, 6: 5.0} == dict(columns.ages_s)
    distinct = [IDS[2], IDS[0], IDS[6], IDS[3], IDS[4]]
    assert [("batch", distinct), ("columns", distinct), ("columns", distinct)] == store.calls


async def test_a_wrapper_that_delegates_reads_columns_as_its_store_does() -> None:
    """From Python 3.12 on, `isinstance` of a protocol does not see what only `__getattr__` finds."""
    store = ColumnarStore()
    wrapper: Any = Delegating(store)
    await assert_columns_are_those_of_the_batch(StatisticsStatefulSource(wrapper), IDS)
    assert ["batch", "columns", "columns"] == [kind for kind, _ in store.calls]


async def test_a_source_with_chunks_reads_them_as_a_batch() -> None:
    """`chunk_size` is how many ids a call has at most, also a call for columns."""
    store: Any = ColumnarStore()
    await assert_columns_are_those_of_the_batch(StatisticsStatefulSource(store, chunk_size=3), IDS)
    assert 3 >= max(len(ids) for _, ids in store.calls)


async def test_another_source_of_kernels_is_read_for_columns_too() -> None:
    """The store is not; the source may read columns itself or not."""
    columnar = ColumnarStore()
    kernels: list[KernelStatisticsPort] = [columnar, await memory()]
    for source in kernels:
        repositories = StatisticsRepositories.create(over_clients(), kernels=source)
        await assert_columns_are_those_of_the_batch(repositories.repository.source, REQUESTED)
    assert ["batch", "columns", "columns"] == [kind for kind, _ in columnar.calls]


async def test_no_ids_have_empty_columns() -> None:
    """There is a column for each field."""
    stores: list[Any] = [await memory(), over_clients(), ColumnarStore()]
    for store in stores:
        columns = await assert_columns_are_those_of_the_batch(StatisticsStatefulSource(store), [])
        assert dict.fromkeys(FIELDS, ()) == {field: column.texts for field, column in columns.items()}


BAD_FIELDS: list[Any] = [["mem.pct", "mem.pct"], [""], ["mem.pct", 5], [None], "mem", "mem.pct"]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=repr)
@pytest.mark.parametrize("chunk_size", [None, 2])
async def test_bad_fields_and_ids_are_refused_before_the_store_is_called(fields: Any, chunk_size: int | None) -> None:
    """A single text is no list of fields."""
    store: Any = ColumnarStore()
    source = StatisticsStatefulSource(store, chunk_size=chunk_size)
    with pytest.raises(InputError, match="fields must be a list of different names"):
        await source.read_kernel_statistics_columns(IDS, fields)
    with pytest.raises(InputError):
        await source.read_kernel_statistics_columns([IDS[0], "no id"], FIELDS)
    assert [] == store.calls


@pytest.mark.parametrize(
    "store", [ColumnarStore(lost=1), ColumnarStore(renamed=["a.b", *FIELDS[1:]])], ids=["lost", "renamed"]
)
@pytest.mark.parametrize("requested", [IDS, [*IDS, IDS[0]]], ids=["distinct", "with a duplicate"])
async def test_a_store_that_answers_other_columns_is_an_error(store: Any, requested: list[str]) -> None:
    """A text is never paired with the wrong id or field."""
    with pytest.raises(ProtocolError, match=r"did not answer the columns .* of 8 ids"):
        await StatisticsStatefulSource(store).read_kernel_statistics_columns(requested, FIELDS)
