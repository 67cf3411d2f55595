"""Numbers and metrics that processes share."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from math import isnan
from multiprocessing.connection import Connection
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import enable_created_metrics, values
from prometheus_client.parser import text_string_to_metric_families
from tests.support.environments import ROOT

from statcore.errors import UnavailableError
from statcore_web import shared_metrics, shared_numbers
from statcore_web.observation import Observation
from statcore_web.shared_metrics import SharedMetrics
from statcore_web.shared_numbers import SharedNumbers

CALLER: Final = "ci"


@pytest.fixture
def numbers() -> Iterator[SharedNumbers]:
    """Rows of two numbers."""
    with closing(SharedNumbers(2)) as made:
        yield made


def as_seen_by_another(numbers: SharedNumbers) -> SharedNumbers:
    """Return the same memory, as another process has it."""
    return SharedNumbers(numbers.width, os.dup(numbers.descriptor))


@given(st.lists(st.tuples(st.booleans(), st.text(max_size=40), st.sampled_from([0, 1]), st.floats(allow_nan=False))))
def test_what_one_process_writes_all_read(changes: list[tuple[bool, str, int, float]]) -> None:
    """Rows are those of a dictionary, in the order of their first use, whoever adds, changes or reads them."""
    expected: dict[str, list[float]] = {}
    with closing(SharedNumbers(2)) as first, closing(as_seen_by_another(first)) as second:
        for by_first, name, place, number in changes:
            with (first if by_first else second).changing(name) as row:
                row[place] = number
            expected.setdefault(name, [0.0, 0.0])[place] = number
        for numbers in (first, second):
            assert list(expected) == list(numbers.names())
            assert expected == {name: list(numbers.row(name)) for name in expected}


def hold(numbers: SharedNumbers, held: Connection) -> None:
    """Change a row and never finish; run as a process."""
    with numbers.changing("a") as row:
        row[0] = 1.0
        held.send("held")
        signal.pause()


def test_a_killed_process_leaves_its_numbers_and_no_lock(numbers: SharedNumbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process goes on with the same row."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])  # where the new process finds this module
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=hold, args=(numbers, writer))
    process.start()
    assert "held" == reader.recv()
    process.kill()
    process.join()
    with numbers.changing("a") as row:
        row[0] += 1.0
    assert [2.0, 0.0] == list(numbers.row("a"))
    for end in (reader, writer):
        end.close()


def test_a_row_that_a_killed_process_has_begun_is_none(numbers: SharedNumbers) -> None:
    """The next one is written over it, with zeros."""
    numbers.row("a")
    rest = bytes(numbers._bytes[numbers._known_to * 8 : numbers._known_to * 8 + 800])
    numbers._bytes[numbers._known_to * 8 : numbers._known_to * 8 + 800] = b"\xff" * len(rest)
    with closing(as_seen_by_another(numbers)) as other:
        assert ("a",) == other.names()
        assert [0.0, 0.0] == list(other.row("b"))
        assert ("a", "b") == numbers.names()


def test_a_row_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The others stay as they are; the log has one line."""
    monkeypatch.setattr(shared_numbers, "_BYTES", 4096)
    with closing(SharedNumbers(200)) as numbers:
        for name in ("a", "b"):
            numbers.row(name)[0] = 1.0
        for _ in range(2):
            with pytest.raises(MemoryError, match="'c'"):
                numbers.row("c")
        assert 1 == len(caplog.messages)
        assert [("a", 1.0), ("b", 1.0)] == [(name, numbers.row(name)[0]) for name in numbers.names()]


def add_slowly(numbers: SharedNumbers, parent: Connection) -> None:
    """Add a row as a processor may that writes to memory in another order: its end before its name; run as a process."""
    with numbers._locked(0):
        begin = numbers._known_to + 1
        numbers._counts[0] = begin + 1 + numbers.width
        parent.send("begun")
        parent.recv()
        numbers._counts[begin - 1] = 1
        numbers._bytes[begin * 8 : begin * 8 + 1] = b"a"


@pytest.mark.parametrize("read", [SharedNumbers.names, lambda numbers: numbers.row("b") and numbers.names()])
def test_a_row_is_read_when_it_is_whole(
    read: Callable[[SharedNumbers], Sequence[str]], numbers: SharedNumbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks for names waits for a process that adds one."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])  # where the new process finds this module
    context = multiprocessing.get_context("spawn")
    end, other_end = context.Pipe()
    process = context.Process(target=add_slowly, args=(numbers, other_end))
    process.start()
    with ThreadPoolExecutor() as threads:
        assert "begun" == end.recv()
        names = threads.submit(read, numbers)
        wait([names], timeout=0.1)
        end.send("go on")
        assert "a" == names.result()[0]
    process.join()
    for one in (end, other_end):
        one.close()


def test_a_limit_of_file_sizes_is_named() -> None:
    """The system counts the memory as a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        with pytest.raises(UnavailableError, match="limit of file sizes"):
            SharedNumbers(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def workers(numbers: SharedNumbers, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SharedMetrics]]:
    """The metrics of two workers."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(shared_metrics, "_used", None)
    yield [SharedMetrics(numbers, number) for number in range(2)]
    enable_created_metrics()  # type: ignore[no-untyped-call]


def samples(observation: Observation) -> dict[str, float]:
    """Return the samples of the exposition, by name and the values of its labels."""
    families = text_string_to_metric_families(observation.exposition().decode())
    found = (sample for family in families for sample in family.samples)
    return {" ".join([sample.name, *sorted(sample.labels.values())]): sample.value for sample in found}


def test_each_worker_answers_the_sums_over_all(workers: list[SharedMetrics]) -> None:
    """Of counters, histograms and gauges, also with labels that only another worker has; gauges end with their worker."""
    observations: list[Observation] = []
    for number, metrics in enumerate(workers):
        metrics.use()
        observation = Observation()
        for route, duration_s in (("/graphql", 0.3), (f"/{number}", 7.0)):
            observation.answered(route=route, status=200, token=CALLER, duration_s=duration_s)
        observation._running.inc()
        observations.append(observation)
    first, second = map(samples, observations)
    assert first == second
    requests, duration, running = (f"statcore_http_request{end}" for end in ("s_total", "_duration_seconds", "s_running"))
    assert [2, 1, 1] == [first[f"{requests} {route} 200 ci"] for route in ("/graphql", "/0", "/1")]
    assert [0, 2, 2] == [
        first[f"{duration}_bucket {labels}"] for labels in ("/graphql 0.25", "/graphql 0.5", "+Inf /graphql")
    ]
    assert pytest.approx(0.6) == first[f"{duration}_sum /graphql"]
    assert 2 == first[running]

    workers[0].forget_gauges()
    assert {**first, running: 1} == samples(observations[1])
    assert not [name for name in first if "_created" in name]


def test_series_without_room_are_not_a_number(
    numbers: SharedNumbers, workers: list[SharedMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting them is no error, and neither is answering all metrics in a worker that has them or in another one."""
    observations: list[Observation] = []
    for metrics in workers:
        metrics.use()
        observations.append(Observation())
        observations[-1].graphql_error("counted")
    monkeypatch.setattr(shared_numbers, "_BYTES", 8 * (numbers._counts[0] + 100))
    for token in ("a", "b" * 60):  # room for a part of what the first one needs
        observations[0].answered(route="/graphql", status=200, token=token, duration_s=0.3)
    first, second = map(samples, observations)
    assert 2 == first["statcore_graphql_errors_total counted"] == second["statcore_graphql_errors_total counted"]
    assert (
        1 == first["statcore_http_requests_total /graphql 200 a"] == second["statcore_http_requests_total /graphql 200 a"]
    )
    assert isnan(first[f"statcore_http_requests_total /graphql 200 {'b' * 60}"])
    assert all(isnan(found["statcore_http_request_duration_seconds_count /graphql"]) for found in (first, second))
