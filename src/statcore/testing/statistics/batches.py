"""A batch has one entry per id in the order of the ids: for no ids, unknown ids, duplicates, many ids."""

from __future__ import annotations

from collections.abc import Mapping

from statcore.model.batch import StatisticsBatch, StatisticsColumns
from statcore.model.statistics import MetricValue
from statcore.ports.capabilities import as_port
from statcore.ports.sink import StatisticsSinkPort
from statcore.ports.statistics import ColumnarStatisticsPort, StatisticsPort
from statcore.testing.expectations import expect, plain
from statcore.testing.statistics.planting import KERNELS, KINDS, PLAIN_VALUE, new_agents, new_ids, shown


async def check_no_ids_give_an_empty_batch(store: StatisticsPort, _sink: StatisticsSinkPort) -> None:
    """Every fetch of no ids returns a `StatisticsBatch` without entries and problems."""
    for batch in (
        await store.fetch_kernel_statistics([]),
        await store.fetch_inference_metrics([]),
        await store.fetch_endpoint_statistics([]),
        await store.fetch_replica_statistics([]),
        await store.fetch_agent_statistics([]),
    ):
        expect(StatisticsBatch(), batch, "the batch of no ids")


async def check_unknown_ids_are_none_without_a_problem(store: StatisticsPort, _sink: StatisticsSinkPort) -> None:
    """The entry of an unknown id is None, without a problem. Inference metrics are not checked here."""
    ids = new_ids(2)
    for batch in (
        await store.fetch_kernel_statistics(ids),
        await store.fetch_endpoint_statistics(ids),
        await store.fetch_replica_statistics([(ids[0], ids[1]), (ids[1], ids[0])]),
        await store.fetch_agent_statistics(new_agents(2)),
    ):
        expect(StatisticsBatch([None, None]), batch, "the batch of two unknown ids")


async def check_order_is_kept(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """The entries of every fetch are in the order of the ids, with None where the store has nothing."""
    for kind in KINDS:
        ids = await kind.plant(sink, 5)
        (unknown,) = kind.new_ids(1)
        requested = [ids[3], ids[0], unknown, ids[4], ids[1], ids[2]]
        await kind.expect([3, 0, None, 4, 1, 2], store, requested)
        await kind.expect([2, 1, 4, None, 0, 3], store, requested[::-1])


async def check_duplicates_get_the_same_answer(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """An id that recurs has its entry at each of its positions, in every fetch."""
    for kind in KINDS:
        first, second = await kind.plant(sink, 2)
        (unknown,) = kind.new_ids(1)
        await kind.expect([0, 1, 0, None, 0, None, 1], store, [first, second, first, unknown, first, unknown, second])


async def check_entries_are_mappings(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """An entry is a whole `Mapping`: its length, its keys, membership and `get` agree, and so do those of its metrics."""
    (kernel,) = new_ids(1)
    metrics = {"mem": PLAIN_VALUE, "cpu_util": PLAIN_VALUE}
    await sink.store_kernel_statistics({kernel: metrics})
    (entry,) = await store.fetch_kernel_statistics([kernel])
    if not isinstance(entry, Mapping):
        raise AssertionError(f"an entry must be a Mapping, not {type(entry).__name__}")  # noqa: TRY004 - what a check raises
    expect(2, len(entry), "the number of metrics")
    expect({"mem", "cpu_util"}, set(entry), "the names of the metrics")
    expect((True, False), ("mem" in entry, "io_read" in entry), "whether mem and io_read are in the entry")
    expect(None, entry.get("io_read"), "a metric that is not there")
    try:
        expect(PLAIN_VALUE.to_map(), plain(entry["mem"]), "one metric by name")
        expect(PLAIN_VALUE.to_map(), plain(entry["mem"]), "the same metric read again")
        expect("512.5", entry["cpu_util"]["current"], "one field of one metric")
    except KeyError as error:
        raise AssertionError(f"{error} must be readable by its name, as often as it is read") from error
    expect(shown(metrics), plain(entry), "the entry as a whole")


async def check_columns_are_those_of_the_batch(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A store that is a `ColumnarStatisticsPort` answers the columns of its batch; other stores are not checked.

    There is a column for each field in the order of the fields, with a text or None for each id in the order of the ids,
    also for ids that recur, unknown ids, no ids, and fields that no entry has. Problems are at the positions of the batch.
    """
    if (columnar := as_port(store, ColumnarStatisticsPort)) is None:
        return
    first, second, third, unknown = new_ids(4)
    await sink.store_kernel_statistics(
        {
            first: {"mem": PLAIN_VALUE, "cpu_util": MetricValue(current="-0", stats={"rate": "NaN"})},
            second: {"mem": MetricValue(current="7")},
            third: {},
        }
    )
    fields = ["cpu_util.stats.rate", "mem.current", "mem.capacity", "mem.stats.max", "cpu_util.current", "io_read.pct"]
    for ids in ([third, first, unknown, second, first], [second], []):
        expected = await (await store.fetch_kernel_statistics(ids)).columns(*fields)
        columns = await columnar.fetch_kernel_columns(ids, fields)
        expect(StatisticsColumns, type(columns), "the type of columns")
        expect(fields, list(columns), "the names of the columns")
        for field in fields:
            expect(list(expected[field]), list(columns[field]), f"the column {field} of {len(ids)} ids")
        expect(_kinds(expected), _kinds(columns), "the kinds of problems by position")


def _kinds(columns: StatisticsColumns) -> dict[int, list[str]]:
    return {position: [problem.kind for problem in problems] for position, problems in columns.problems.items()}


async def check_ten_thousand_ids(store: StatisticsPort, sink: StatisticsSinkPort) -> None:
    """A batch of 10,000 ids is complete and in order: kernels, half of them unknown, and a few known ids of each kind."""
    known = await KERNELS.plant(sink, 5_000)
    requested = [id_ for pair in zip(known, new_ids(5_000), strict=True) for id_ in pair]
    await KERNELS.expect([number for index in range(5_000) for number in (index, None)], store, requested)
    for kind in KINDS:
        ids, numbers = kind.new_ids(10_000), list[int | None]([None]) * 10_000
        for number, id_ in enumerate(await kind.plant(sink, 5)):
            at = 2_000 * number + 1_999
            ids[at], numbers[at] = id_, number
        await kind.expect(numbers, store, ids)
