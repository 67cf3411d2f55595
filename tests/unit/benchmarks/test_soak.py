"""What a soak finds: each kind of wrong answer, foreign exception and leak is planted once, and reported."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import math
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
import psutil
import pytest
import soak
from report import Goal, Report, Row, Table
from rich.console import Console
from soak_faults import Fault, in_order
from soak_ledger import LAG_S, Ledger, View, sample, sample_fault, stamp
from soak_load import _leaks
from soak_memory import Memory, MemorySample, MemorySamples, sampled, samples_of
from soak_reads import (
    OBJECTS_OF_STORE,
    Answer,
    LiveReads,
    MetricReads,
    _fields,
    _of_one_object,
    _values_of_activity,
    write_all,
)
from soak_report import BLOCKS_RATIO, LARGE_RATIO, Circumstances, missed_goals, tables
from soak_tally import Durations, Leaks, Outcome, Tally

from statcore.errors import ProtocolError, UnavailableError
from statcore.model import Problem, ProblemKind, StatisticsBatch, VectorResult
from statcore.model.results import Sample
from statcore.statistics import StatisticsRepositories
from statcore_memory import MemoryStatistics

NOW_S = 1_795_341_600.0
PLACE = 3


@attrs.define
class Clock:
    """A clock that a test moves."""

    now_s: float = 100.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now_s


def _written(clock: Clock, *, times: int) -> Ledger:
    """Return a ledger of ten objects, written and confirmed once a second."""
    ledger = Ledger(10, clock)
    for _ in range(times):
        clock.now_s += 1
        ledger.confirm(range(10), ledger.begin_write(range(10)))
    clock.now_s += 1
    return ledger


def _fault(ledger: Ledger, number: int, *, of: int = PLACE, view: View | None = None) -> str | None:
    return ledger.fault(PLACE, stamp(number, of), view or ledger.view())


def test_the_newest_confirmed_value_is_right_and_any_other_is_wrong() -> None:
    """An older number, one that was never written, and the number of another object."""
    ledger = _written(Clock(), times=5)
    assert _fault(ledger, 5) is None
    assert "number 4 for object 3, which was 5 before the call" == _fault(ledger, 4)
    assert "number 6 for object 3, which was never written" == _fault(ledger, 6)
    assert "the value of object 4 for object 3" == _fault(ledger, 5, of=4)


def test_a_write_that_is_not_confirmed_may_be_seen_but_not_vanish() -> None:
    """Its call may have failed after the server took it; whoever has seen it sees no older value later."""
    ledger = _written(Clock(), times=5)
    ledger.begin_write(range(10))
    before = ledger.view()
    assert _fault(ledger, 5) is None
    assert _fault(ledger, 6) is None
    assert _fault(ledger, 5) is not None
    assert _fault(ledger, 5, view=before) is None  # its call had begun before


def test_a_fail_over_loses_only_the_newest_writes() -> None:
    """Those of the last seconds before it, and those of its own time; what is written afterwards counts again."""
    clock = Clock()
    ledger = _written(clock, times=10)
    before = ledger.view()
    ledger.begin_loss()
    kept = 10 - int(LAG_S) + 1
    during = ledger.begin_write(range(10))
    ledger.confirm(range(10), during)
    for view in (before, ledger.view()):
        assert _fault(ledger, kept, view=view) is None
        assert _fault(ledger, kept - 1, view=view) is not None
    late = ledger.begin_write(range(10))
    clock.now_s += 5
    ledger.end_loss()
    clock.now_s += 1
    ledger.confirm(range(10), late)  # by the primary that was replaced
    assert _fault(ledger, kept) is None
    assert _fault(ledger, kept - 1) is not None
    ledger.confirm(range(10), ledger.begin_write(range(10)))
    assert _fault(ledger, kept) is not None
    assert _fault(ledger, kept, view=before) is None


def test_a_call_that_lasts_longer_than_a_fail_over_may_answer_what_was_left() -> None:
    """Also if a second one comes before it ends."""
    clock = Clock()
    ledger = _written(clock, times=10)
    before = ledger.view()
    for _ in range(2):
        ledger.begin_loss()
        clock.now_s += 1
        ledger.end_loss()
        for _ in range(5):
            clock.now_s += 1
            ledger.confirm(range(10), ledger.begin_write(range(10)))
    assert _fault(ledger, 9, view=before) is None
    assert _fault(ledger, 9) is not None


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (sample(PLACE, 1_795_341_599_000), None),
        (sample(PLACE, 1_795_341_570_000), None),
        (sample(PLACE, 1_795_341_569_999), "a sample of 1795341569.999 for 1795341600.000"),
        (sample(PLACE, 1_795_341_600_001), "a sample of 1795341600.001 for 1795341600.000"),
        (sample(4, 1_795_341_599_000), "the value 5341599000004.0 of object 4 for object 3"),
        (0.0, "the value 0.0 of object 0 for object 3"),
        (float("nan"), "the value nan for object 3"),
        (sample(PLACE, 1_795_341_599_000) + 0.5, "the value 5341599000003.5 for object 3"),
    ],
)
def test_a_sample_says_its_object_and_its_time(value: float, fault: str | None) -> None:
    """One of another object, of the future, one that is too old, or that is changed, is wrong."""
    assert fault == sample_fault(PLACE, float(value), at_s=NOW_S, age_s=30)


def _random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret


async def _live() -> tuple[MemoryStatistics, LiveReads]:
    """Return a store that was written twice, and the reads of it."""
    store, ledger = MemoryStatistics(), Ledger(OBJECTS_OF_STORE)
    for _ in range(2):
        await write_all(store, ledger)
    return store, LiveReads(StatisticsRepositories.create(store).repository, ledger)


@pytest.mark.parametrize("kind", ["kernels", "columns", "activity", "endpoints", "replicas", "agents"])
async def test_each_kind_of_read_is_right_or_found_wrong(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is wrong once another write is missing, answers come in another order, or nothing is answered."""
    store, reads = await _live()
    read = reads.kinds[kind]
    whole = await read(_random(1))
    assert (True, True) == (whole.right > 0, whole.is_whole)

    fetch = {"activity": "inference_metrics", "columns": "kernel_statistics", "kernels": "kernel_statistics"}
    method = f"fetch_{fetch.get(kind, kind.removesuffix('s') + '_statistics')}"
    right: Any = getattr(store, method)

    async def shifted(ids: Any) -> StatisticsBatch:
        batch = await right(ids)
        return StatisticsBatch([*batch[1:], batch[0]])

    async def nothing(ids: Any) -> StatisticsBatch:
        return StatisticsBatch([None] * len(ids))

    async def unavailable(ids: Any) -> StatisticsBatch:
        problems = {position: Problem(ProblemKind.UNAVAILABLE, message="down") for position in range(len(ids))}
        return StatisticsBatch([None] * len(ids), problems=problems)

    for broken in (shifted, nothing):
        monkeypatch.setattr(MemoryStatistics, method, lambda _, ids, broken=broken: broken(ids))
        answer = await read(_random(2))
        assert (0, True) == (answer.right, len(answer.wrong) > 1)
    monkeypatch.setattr(MemoryStatistics, method, lambda _, ids: unavailable(ids))
    answer = await read(_random(2))
    assert (0, 0, ["unavailable"], False) == (answer.right, len(answer.wrong), list(answer.shown), answer.is_whole)


async def test_a_failure_that_is_shown_as_zero_is_wrong() -> None:
    """Zeros with a problem are a problem; zeros alone are the value of another object."""
    store, reads = await _live()
    zeros = {"requests": 0, "last_response_ms": 0}
    problem = Problem(ProblemKind.INCOMPLETE, message="no number")
    for problems, counts in (({0: problem}, (0, 0, 1)), ({}, (0, 1, 0))):
        batch = StatisticsBatch([zeros], problems=problems)
        answer = reads._judged([PLACE], batch, problems, _values_of_activity, reads.ledger.view())
        assert counts == (answer.right, len(answer.wrong), answer.shown.total())
    await store.aclose()


async def test_an_entry_of_another_shape_is_wrong() -> None:
    """It may be the answer to another read: a metric without a capacity, or a text in place of a number."""
    store, reads = await _live()
    for entry in ({"mem": {"current": "7"}}, {"mem": {"current": "much", "capacity": "7"}}):
        answer = reads._judged([PLACE], [entry], {}, _of_one_object(_fields), reads.ledger.view())
        assert (0, 1, 0) == (answer.right, len(answer.wrong), len(answer.foreign))
    await store.aclose()


def test_series_that_are_missing_are_wrong_unless_the_server_has_lost_them() -> None:
    """A server that keeps what it scrapes has a sample for each object at each time."""
    for has_gaps, counts in ((False, (1, 0)), (True, (0, 1))):
        answer, reads = Answer(), MetricReads(metrics=None, has_gaps=has_gaps)  # type: ignore[arg-type]
        reads._judge_vector(answer, PLACE, VectorResult(samples=()))
        assert counts == (len(answer.wrong), answer.gaps)
        found = VectorResult(samples=(Sample(labels={"kernel_id": "other"}, timestamp=NOW_S, value=0.0),))
        reads._judge_vector(answer, PLACE, found)
        assert counts[0] + 1 == len(answer.wrong)


def test_a_sample_has_few_digits() -> None:
    """VictoriaMetrics keeps 15 digits, and rounds some values of 16 while it merges its files."""
    assert sample(99, 2_000_000_000_000) < 10**15


def test_faults_come_in_an_order_that_repeats_from_the_seed() -> None:
    """Each happens once before any happens again, and another seed gives another order."""
    faults = [Fault("store", str(number), lambda *_: iter(())) for number in range(20)]  # type: ignore[arg-type]
    first, again, other = (
        [str(fault) for fault, _ in zip(in_order(faults, _random(seed)), range(40), strict=False)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert {2} == set(Counter(first).values()) == set(Counter(other).values())
    assert len(set(first[:20])) == len(faults)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (
            TimeoutError("waited 60 s for a fail-over\nlog"),
            "store: 2: TimeoutError: waited 60 s for a fail-over; the soak itself stood still for up to 1.5 s before",
        ),
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(), "interrupted"),
    ],
)
def test_a_soak_that_ends_early_shows_what_it_has_measured(
    error: BaseException, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faults until then count; the tables say why it ended, and the soak fails."""
    happened: list[str] = []

    def happen(fault: Fault, *_: object) -> float:
        happened.append(fault.name)
        if fault.name == "2":
            raise error
        return 0.5

    monkeypatch.setattr(Fault, "happen", happen)
    course = _course(monkeypatch, primaries=lambda _: {})
    assert ["0", "1", "2"] == happened
    assert {"store: 0": 1, "store: 1": 1} == course.happened
    assert failure == course.failure
    assert f"It ended early: {failure}" == _tables(_outcome(), failure=failure)[0].notes[0]


@pytest.mark.parametrize(("loses", "expected"), [(True, 4), (False, 2)])
def test_a_soak_ends_where_others_take_over_without_a_fault(
    loses: bool,  # noqa: FBT001 - by parametrize
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault whose servers may be replaced says so; a replacement of any other says that the machine stood still."""
    happened: list[str] = []

    def happen(fault: Fault, *_: object) -> float:
        happened.append(fault.name)
        return 0.5

    monkeypatch.setattr(Fault, "happen", happen)
    course = _course(monkeypatch, loses=loses, primaries=lambda _: {"store": "second" if happened[1:] else "first"})
    assert expected == len(happened)
    assert loses == (not course.failure)
    assert loses or "another primary has taken over without a fault (store)" in course.failure


@pytest.mark.parametrize("minutes", [0, 1])
def test_a_take_over_in_a_pause_is_told(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the last one; no fault is blamed that has not begun."""
    monkeypatch.setattr(Fault, "happen", lambda *_: pytest.fail("it has taken over before"))
    primaries = iter("12")
    course = _course(monkeypatch, primaries=lambda _: {"store": next(primaries)}, minutes=minutes)
    assert course.failure.startswith(
        "before store: 0: RuntimeError: another primary has taken over without a fault (store)"
    )


def _course(
    monkeypatch: pytest.MonkeyPatch,
    *,
    primaries: Callable[[Any], Mapping[str, str]],
    loses: bool = False,
    minutes: float = 1,
) -> soak.Course:
    """Return the course of four faults of a store, without servers, after a stall of 1.5 s."""
    monkeypatch.setattr(soak, "_PAUSE_S", (0.0, 0.0))
    monkeypatch.setattr(soak, "primaries_of", primaries)
    stalls = soak.Stalls()
    stalls.add(math.inf, 1.5)
    faults = [Fault("store", str(number), lambda *_: iter(()), loses=loses) for number in range(4)]  # type: ignore[arg-type]
    nothing: Any = None
    report = Report(console=Console(quiet=True))
    return soak.let_happen(faults, nothing, nothing, _random(1), stalls, report, minutes=minutes)


@pytest.mark.parametrize(
    ("failure", "table", "expected"),
    [
        ("", "met", []),
        ("interrupted", "met", ["ended early: interrupted"]),
        ("store: was interrupted", "met", ["ended early: store: was interrupted", "with their logs"]),
        ("interrupted", "missed", ["ended early: interrupted", "missed: store: wrong", "with their logs"]),
        ("", "missed", ["missed: store: wrong", "with their logs"]),
        (KeyError("site"), "met", ["ended early: KeyError: 'site'", "with their logs"]),
        (KeyboardInterrupt(), "met", ["ended early: interrupted"]),
    ],
)
def test_the_files_of_servers_stay_if_a_soak_has_failed(
    failure: str | BaseException, table: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names their folder; they do not stay after a good run, or one that was only interrupted."""

    def end(report: Report, *_: object, **__: object) -> str:
        row = Row(contender="store", figures={"wrong": int(table == "missed")}, goals={"wrong": Goal(0)})
        report.add(Table(title="answers", rows=[row]))
        if isinstance(failure, BaseException):
            raise failure
        return failure

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(soak, "soak", end)
    reasons = soak.run_soak(Report(console=Console(quiet=True)), minutes=1, seed=1)
    assert [True] * len(expected) == [text in reason for text, reason in zip(expected, reasons, strict=True)]
    kept = list(tmp_path.iterdir())
    assert ("with their logs" in expected) == bool(kept)
    assert [True] * len(kept) == [str(folder) in reasons[-1] for folder in kept]


def test_a_process_that_does_not_run_is_noticed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs beside a call that keeps the interpreter's lock, and its stack is shown; before it, all was well."""
    monkeypatch.setattr(soak, "_STALL_S", 0.2)
    with soak.watching_stalls() as stalls:
        ctypes.PyDLL(None).usleep(500_000)
    after_s = time.monotonic()
    assert stalls.longest_s() > 0.3
    assert 0.0 == stalls.longest_s(after_s)
    assert "test_a_process_that_does_not_run_is_noticed" in capfd.readouterr().err


def test_a_turn_that_is_a_little_late_is_no_stall() -> None:
    """Threads wait for each other all the time."""
    stalls = soak.Stalls()
    stalls.add(1.0, soak._TURN_S / 2)
    assert 0.0 == stalls.longest_s()


def test_percentiles_are_those_of_all_calls() -> None:
    """Within two percent, however many there are."""
    durations = Durations()
    for number in range(1, 1_001):
        durations.add(number / 1_000)
    assert [pytest.approx(share, rel=0.03) for share in (0.5, 0.99)] == [
        durations.percentile(share) for share in (0.5, 0.99)
    ]
    assert 1.0 == durations.longest_s
    assert 0.0 == Durations().percentile(0.99)


def test_memory_is_a_line_after_the_warm_up() -> None:
    """Growth within the warm-up does not count."""
    steady = [MemorySample(float(second), 2_000_000, 2_000_000 + 1_000 * second, 10_000) for second in range(60, 601)]
    warm_up = [MemorySample(float(second), 1, 1 + second, 1 + second) for second in range(60)]
    memory = Memory.of([*warm_up, *steady], warm_up_s=60)
    assert memory is not None
    assert [pytest.approx(60_000), pytest.approx(2_600 / 2_060), pytest.approx(1)] == [
        memory.large_per_min,
        memory.large_ratio,
        memory.blocks_ratio,
    ]
    assert pytest.approx(0) == memory.resident_per_min
    assert Memory.of(warm_up[:2], warm_up_s=0) is None


def test_a_process_keeps_samples_of_its_own_memory(tmp_path: Path) -> None:
    """Its program does nothing for it; what it holds in large and in small pieces is counted as such."""
    program = "import sys; held = b'x' * 100_000_000, [*range(1_000_000)]; print('ready', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=sampled(os.environ, tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert b"ready\n" == process.stdout.readline()
        kept = len(samples_of(tmp_path, process.pid))
        deadline = time.monotonic() + 60
        while len(samples := samples_of(tmp_path, process.pid)) < kept + 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.communicate()
    last = samples[-1]
    assert 100_000_000 < last.large_bytes < last.resident_bytes < 300_000_000
    assert 999_000 < last.blocks < 1_500_000


def test_samples_of_memory_are_no_growth() -> None:
    """Those of an hour take no pieces of memory of their own."""
    samples = MemorySamples()
    samples.add(MemorySample(0.5, 2e9, 1e6, 250_000))
    before = sys.getallocatedblocks()
    for second in range(3_600):
        samples.add(MemorySample(second + 0.25, 2e9 + second, 1e6, 250_000.0 + second))
    assert abs(sys.getallocatedblocks() - before) < 100
    first, *_, last = samples
    assert (MemorySample(0.5, 2e9, 1e6, 250_000), MemorySample(3_599.25, 2e9 + 3_599, 1e6, 253_599)) == (first, last)


async def test_what_is_left_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task, a file and a thread that do not end."""
    monkeypatch.setattr("soak_load._SETTLE_S", 0.0)
    gc.collect()  # garbage of other tests may have open files
    files, threads = psutil.Process().num_fds(), threading.active_count()
    task = asyncio.create_task(asyncio.Event().wait())
    with (tmp_path / "file").open("w"):
        leaks = await _leaks(files=files, threads=threads - 1, connections_in_use=2)
    task.cancel()
    assert Leaks(connections_in_use=2, tasks=1, files_and_sockets=1, threads=1) == leaks


def _growing(large: int, small: int) -> list[MemorySample]:
    return [MemorySample(float(second), 1_000_000, 1_000 + large * second, 1_000 + small * second) for second in range(600)]


def _outcome(*, seconds: float = 600.0, **changes: Any) -> Outcome:
    tally = Tally(deadline_s=2.0)
    tally.add("kernels", Answer(right=100))
    tally.durations.add(1.0)
    parts: dict[str, Any] = {
        "tallies": {"store": tally},
        "recoveries_s": {"store: killed": [0.5, 1.5]},
        "memory": _growing(0, 0),
        "leaks": Leaks(connections_in_use=0, tasks=0, files_and_sockets=0, threads=0),
        "most_connections": 3,
    }
    return Outcome(**{**parts, "seconds": seconds, **changes})


def _missed(outcome: Outcome, **circumstances: Any) -> list[str]:
    report = Report(console=Console(file=io.StringIO()))
    for table in _tables(outcome, **circumstances):
        report.add(table)
    return [text.rsplit(" ", 3)[0] for text in missed_goals(report)]


def _tables(outcome: Outcome, **circumstances: Any) -> list[Table]:
    around = Circumstances(
        faults={"store: killed": 2},
        load=1.0,
        cores=2,
        longest_stall_s=0.25,
        versions="Valkey 8",
        service_connections=0,
        memory_of_worker=_growing(0, 0),
    )
    return tables(outcome, attrs.evolve(around, **circumstances))


def test_goals_are_met_by_a_run_without_a_fault_of_statcore() -> None:
    """Errors that answers show, gaps and recoveries of seconds are none."""
    outcome = _outcome()
    outcome.tallies["store"].add("kernels", Answer(gaps=1, shown=Counter(unavailable=2)))
    outcome.tallies["store"].add_error("kernels", UnavailableError("down"))
    assert [] == _missed(outcome)
    assert {"unavailable": 2, "UnavailableError": 1} == outcome.tallies["store"].shown


def test_each_goal_is_missed_by_what_it_is_about() -> None:
    """A wrong answer, a foreign exception, an error that no fault explains, a late call, a leak, growth, no recovery."""
    for answer in (Answer(wrong=["7 for 8"]), Answer(foreign=["InternalError"])):
        outcome = _outcome()
        outcome.tallies["store"].add("kernels", answer)
        assert [f"store: {'wrong' if answer.wrong else 'foreign'}"] == _missed(outcome)
        assert any((answer.wrong or answer.foreign)[0] in note for note in _tables(outcome)[0].notes)
    many = Tally(deadline_s=2.0)
    many.add("kernels", Answer(wrong=["7 for 8", "8 for 9", "9 for 7"]))
    many.add("agents", Answer(foreign=["InternalError"]))
    assert ["kernels: 7 for 8, and 2 more", "agents: InternalError"] == many.examples
    for error in (KeyError("x"), ProtocolError("not an answer")):
        outcome = _outcome()
        outcome.tallies["store"].add_error("kernels", error)
        assert ["store: foreign"] == _missed(outcome)
    late = _outcome()
    for _ in range(100):
        late.tallies["store"].durations.add(2.1)
    assert ["store: p99 s"] == _missed(late)
    assert ["store: right"] == _missed(_outcome(tallies={"store": Tally(deadline_s=2.0)}))
    assert ["readers and writers: tasks"] == _missed(_outcome(leaks=attrs.evolve(_outcome().leaks, tasks=1)))
    assert ["service: connections of callers"] == _missed(_outcome(), service_connections=1)
    for large, small, missed in ((1, 0, LARGE_RATIO), (0, 1, BLOCKS_RATIO)):
        growth = _growing(large, small)
        assert [f"readers and writers: {missed}"] == _missed(_outcome(memory=growth))
        assert [f"a worker of the service: {missed}"] == _missed(_outcome(), memory_of_worker=growth)
    ratios = [f"a worker of the service: {ratio}" for ratio in (LARGE_RATIO, BLOCKS_RATIO)]
    for kept in ([], _growing(0, 0)[:300]):  # it could not keep samples, or not to the end
        assert ratios == _missed(_outcome(), memory_of_worker=kept)
        assert [] == _missed(_outcome(memory=growth, seconds=60.0))
    assert ["store: killed: worst"] == _missed(_outcome(recoveries_s={"store: killed": [0.5, float("inf")]}))
