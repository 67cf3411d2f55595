"""Statistics of sessions: the sums of their kernels, and what is left out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import attrs
import pytest
from tests.support.lazy_entries import Lazy

from statcore.errors import InputError, MalformedEntryError, ProtocolError
from statcore.model import Problem, ProblemKind, StatisticsBatch
from statcore.model.inventory import KernelRecord, SessionRecord
from statcore.statistics import SessionStatistics, StatisticsRepositories, session_entry, sum_kernels
from statcore_memory import MemoryStatistics

SESSION, OTHER, ONE, TWO, THREE = (str(UUID(int=number)) for number in range(1, 6))


def value(current: str, capacity: str | None, pct: str, unit: str, **stats: str) -> dict[str, Any]:
    """Return a stored metric."""
    flat = {f"stats.{name}": text for name, text in stats.items()}
    return {"current": current, "capacity": capacity, "pct": pct, "unit_hint": unit, **flat}


FIRST = {
    "cpu_util": value("1000", "1000", "100", "millicores", max="385894.5", rate="1000"),
    "mem": value("1024", "4096", "25", "bytes", max="2048"),
    "net_rx": value("10005.5", "1820", "549.75", "bps", rate="10005.5"),
}
SECOND = {
    "cpu_util": value("502", "1000", "50.2", "millicores", max="9", rate="502"),
    "mem": value("3072", "4096", "75", "bytes", max="4096"),
    "net_rx": value("0.5", "1", "50", "bps", rate="0.5"),
    "cuda_mem": value("5", "10", "50", "bytes"),
}


def test_two_kernels_are_summed() -> None:
    """Percentages of one core add up, others are of the sums. A metric of one kernel alone is that kernel's."""
    found, faults = sum_kernels([FIRST, SECOND])
    assert [] == faults
    assert {
        "cpu_util": value("1502", "2000", "150.2", "millicores", rate="1502"),
        "mem": value("4096", "8192", "50", "bytes"),
        "net_rx": value("10006", None, "0.00", "bps", rate="10006"),
        "cuda_mem": value("5", "10", "50", "bytes"),
    } == {
        metric: {name: part for name, part in fields.items() if name != "stats.version"} for metric, fields in found.items()
    }


@pytest.mark.parametrize(
    ("hints", "expected"), [((None, None), "bytes"), ((None, "B"), "B"), (("B", "KB"), "bytes"), (("B", "B"), "B")]
)
def test_kernels_with_different_units_have_the_unit_of_the_metric(hints: tuple[Any, Any], expected: str) -> None:
    """A missing unit is never the text None."""
    found, faults = sum_kernels([{"mem": value("1", "4", "25", hint)} for hint in hints])
    assert (expected, []) == (found["mem"]["unit_hint"], faults)


@pytest.mark.parametrize("capacity", [None, "0", "NaN", "Infinity", "9223372036854775807"])
def test_a_kernel_without_a_capacity_leaves_the_session_without_one(capacity: str | None) -> None:
    """The sum of the other capacities would be too low."""
    found, _ = sum_kernels([{"mem": value("1", "4", "25", "bytes")}, {"mem": value("1", capacity, "0.00", "bytes")}])
    assert ("2", None, "0.00") == tuple(found["mem"][name] for name in ("current", "capacity", "pct"))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({**SECOND, "mem": value("NaN", "4096", "75", "bytes")}, "mem is left out: 'NaN' is not a finite number"),
        ({**SECOND, "mem": 5}, "mem is left out: not a metric value: 5"),
        (
            Lazy({**SECOND, "mem": MalformedEntryError("mem is garbage", key="k", metric="mem")}),
            "mem is left out: mem is garbage",
        ),
    ],
)
def test_an_unreadable_metric_is_left_out_of_the_sum(second: Any, message: str) -> None:
    """It is a problem, and neither a zero nor the value of the other kernel; the other metrics are summed."""
    batch = session_entry([ONE, TWO], StatisticsBatch([None, FIRST, second]))
    assert batch[0] is not None
    assert {"cpu_util", "net_rx", "cuda_mem"} == set(batch[0])
    assert {0: Problem(ProblemKind.INCOMPLETE, message=message)} == batch.problems


def test_a_sum_that_lacks_a_kernel_says_so() -> None:
    """Every kernel has memory; only the kernels with an accelerator have its memory."""
    batch = session_entry([ONE, TWO], StatisticsBatch([None, SECOND, {"cpu_util": FIRST["cpu_util"]}]))
    assert batch[0] is not None
    assert ("3072", "5") == (batch[0]["mem"]["current"], batch[0]["cuda_mem"]["current"])
    assert "mem is the sum of 1 of 2 kernels, since the others have none" in batch.problems[0].message
    assert "net_rx is the sum of 1 of 2 kernels" in batch.problems[0].message
    assert "cuda_mem" not in batch.problems[0].message


def test_an_unreadable_kernel_is_left_out_of_the_sum() -> None:
    """It is a problem. A name of a metric that is not text is kept."""
    odd: Any = {5: {"current": "7"}}
    found, faults = sum_kernels([Lazy({"nothing": 0}), odd, {5: {"current": "1"}}])  # type: ignore[dict-item]
    assert ["8"] == [fields["current"] for fields in found.values()]
    assert ["a kernel is left out: nothing can be read"] == faults


def test_a_kernel_without_an_entry_makes_its_session_incomplete() -> None:
    """The others are summed; if no kernel has an entry, the session has none, and no problem."""
    batch = session_entry([ONE, TWO], StatisticsBatch([None, FIRST, None]))
    assert [FIRST] == list(batch)
    assert ProblemKind.INCOMPLETE == batch.problems[0].kind
    assert f"kernel {TWO} has no statistics" == batch.problems[0].message
    assert StatisticsBatch([None]) == session_entry([ONE, TWO], StatisticsBatch([None, None, None]))
    assert StatisticsBatch([None]) == session_entry([], StatisticsBatch([None]))


def test_the_sessions_own_entry_takes_precedence() -> None:
    """Its problem and its age are its own, too."""
    stale = Problem(ProblemKind.STALE, message="old")
    read = StatisticsBatch([SECOND, FIRST], problems={0: stale, 1: stale}, ages_s={0: 90.0, 1: 1.0})
    batch = session_entry([ONE], read)
    assert ([SECOND], {0: stale}, {0: 90.0}) == (list(batch), dict(batch.problems), dict(batch.ages_s))


@pytest.mark.parametrize("kind", [ProblemKind.INCOMPLETE, ProblemKind.UNAVAILABLE])
def test_kernels_are_summed_if_the_sessions_own_key_cannot_be_read(kind: ProblemKind) -> None:
    """The problem of the own key is kept. A malformed entry is an entry, and takes precedence."""
    problem = Problem(kind, message="look here")
    batch = session_entry([ONE], StatisticsBatch([None, FIRST], problems={0: problem}))
    assert ([FIRST], {0: Problem(ProblemKind.INCOMPLETE, message="look here")}) == (list(batch), dict(batch.problems))
    malformed = StatisticsBatch([None, FIRST], problems={0: Problem(ProblemKind.MALFORMED, message="look here")})
    assert malformed[:1] == session_entry([ONE], malformed)


@pytest.mark.parametrize(
    ("problems", "entries", "kind"),
    [
        ({1: ProblemKind.STALE, 2: ProblemKind.STALE}, [FIRST, SECOND], ProblemKind.STALE),
        ({1: ProblemKind.UNDATED}, [FIRST, SECOND], ProblemKind.UNDATED),
        ({1: ProblemKind.STALE, 2: ProblemKind.UNDATED}, [FIRST, SECOND], ProblemKind.INCOMPLETE),
        ({1: ProblemKind.STALE}, [FIRST, None], ProblemKind.INCOMPLETE),
        ({2: ProblemKind.MALFORMED}, [FIRST, None], ProblemKind.INCOMPLETE),
        ({2: ProblemKind.MALFORMED}, [None, None], ProblemKind.MALFORMED),
        ({1: ProblemKind.INCOMPLETE}, [None, None], ProblemKind.INCOMPLETE),
    ],
)
def test_problems_of_kernels_are_joined(problems: dict[int, ProblemKind], entries: Any, kind: ProblemKind) -> None:
    """Stale or undated if kernels are, incomplete if kinds differ or a part is missing; with no entry the kernel's kind."""
    read = StatisticsBatch(
        [None, *entries], problems={position: Problem(of, message="look here") for position, of in problems.items()}
    )
    assert kind == session_entry([ONE, TWO], read).problems[0].kind


def test_a_session_is_as_old_as_its_oldest_kernel() -> None:
    """If the age of one kernel is unknown, so is that of the session."""
    read = StatisticsBatch([None, FIRST, SECOND], ages_s={1: 3.0, 2: 70.0})
    assert {0: 70.0} == dict(session_entry([ONE, TWO], read).ages_s)
    assert {} == dict(session_entry([ONE, TWO], StatisticsBatch([None, FIRST, SECOND], ages_s={1: 3.0})).ages_s)


@attrs.define
class Inventory:
    """An inventory of two sessions that records calls."""

    calls: list[list[str]] = attrs.field(factory=list)
    lost: int = 0

    async def find_sessions(self, session_ids: Sequence[str], /) -> list[SessionRecord | None]:
        """See `InventoryPort`."""
        self.calls.append(list(session_ids))
        kernels = {SESSION: (ONE, TWO), OTHER: (THREE,)}
        records = [
            SessionRecord(
                session_id=id_, kernels=tuple(KernelRecord(kernel_id=kernel, session_id=id_) for kernel in kernels[id_])
            )
            if id_ in kernels
            else None
            for id_ in session_ids
        ]
        return records[self.lost :]


@attrs.frozen
class Counting:
    """A store that counts its reads."""

    store: MemoryStatistics
    reads: list[int]

    async def fetch_kernel_statistics(self, ids: Sequence[str], /) -> StatisticsBatch:
        """See `StatisticsPort`."""
        self.reads.append(len(ids))
        return await self.store.fetch_kernel_statistics(ids)


async def test_a_page_of_sessions_is_one_read() -> None:
    """Entries are in order, with a duplicate, an unknown session, and one that has an entry of its own."""
    store, reads = MemoryStatistics(), list[int]()
    unknown, written = str(UUID(int=77)), str(UUID(int=78))
    for id_, entry in ((ONE, FIRST), (TWO, SECOND), (written, {"mem": FIRST["mem"]})):
        store.plant(id_, entry)
    inventory = Inventory()
    repository = StatisticsRepositories.create(Counting(store, reads)).repository  # type: ignore[call-overload]
    sessions = SessionStatistics(repository, inventory)  # type: ignore[arg-type]
    batch = await sessions.get_session_statistics_batch([OTHER, UUID(SESSION), unknown, written, SESSION])
    mem = [None if entry is None else entry["mem"]["current"] for entry in batch]
    assert [None, "4096", None, "1024", "4096"] == mem
    assert {} == dict(batch.problems)
    assert ([7], [[OTHER, SESSION, unknown, written]]) == (reads, inventory.calls)
    assert StatisticsBatch() == await sessions.get_session_statistics_batch([])
    assert ([7], 1) == (reads, len(inventory.calls))


async def test_an_inventory_that_answers_too_few_records_is_not_used() -> None:
    """Kernels are never summed for the wrong session."""
    repository = StatisticsRepositories.create(MemoryStatistics()).repository
    with pytest.raises(ProtocolError, match="1 records for 2 ids"):
        await SessionStatistics(repository, Inventory(lost=1)).get_session_statistics_batch(  # type: ignore[arg-type]
            [SESSION, OTHER]
        )
    with pytest.raises(InputError, match="not an id"):
        await SessionStatistics(repository, Inventory()).get_session_statistics_batch(["x"])  # type: ignore[arg-type]
