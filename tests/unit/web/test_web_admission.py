"""Admission with rows that several processes share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import attrs
import psutil
import pytest

from statcore.scopes import Scope
from statcore_web import shared_numbers
from statcore_web.admission import Admission, SharedRows
from statcore_web.refusal import RefusedError
from statcore_web.shared_numbers import SharedNumbers
from statcore_web.tokens import Token, secret_hash

TOKEN = Token(name="ci", hash=secret_hash("ci"), scope=Scope.everything(), requests_per_s=0.001)
FREE = Token(name="free", hash=secret_hash("free"), scope=Scope.everything())
WORKERS = 2
ROUNDS = 5_000
ADMIT_OFTEN = """
import sys
from contextlib import ExitStack
from statcore_web import shared_numbers
from statcore_web.admission import Admission, SharedRows
from statcore_web.shared_numbers import SharedNumbers
width, descriptor, worker, limit, rounds = map(int, sys.argv[1:])
admission, running = Admission(limit, SharedRows(SharedNumbers(width, descriptor), worker)), ExitStack()
print("imported", flush=True)
sys.stdin.readline()
for _ in range(rounds):
    running.enter_context(admission.admit(None))
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def memory() -> Iterator[SharedNumbers]:
    """The memory that the workers share."""
    with closing(SharedRows.memory(WORKERS)) as numbers:
        yield numbers


def refused(admission: Admission, token: Token | None) -> str | None:
    """Return the limit that refuses a request, or None if it is admitted."""
    try:
        with admission.admit(token):
            return None
    except RefusedError as error:
        return error.limit


@pytest.mark.parametrize("token", [FREE, None])
def test_running_requests_are_counted_over_all_workers(token: Token | None, memory: SharedNumbers) -> None:
    """A request that has ended makes room, and so do those of a worker that has ended without its requests."""
    first, second = (Admission(3, SharedRows(memory, number)) for number in range(WORKERS))
    with ExitStack() as running:
        for admission in (first, second, second):
            running.enter_context(admission.admit(token))
        assert ["concurrent_requests"] * 2 == [refused(admission, token) for admission in (first, second)]
        SharedRows(memory, 1).forget_requests()
        assert [None, None] == [refused(admission, token) for admission in (first, second)]


def test_the_rate_of_a_token_holds_over_all_workers(memory: SharedNumbers) -> None:
    """A worker finds the bucket as another one has left it; other tokens have their own."""
    now = 1_000.0
    first, second = (Admission(3, SharedRows(memory, number), clock=lambda: now) for number in range(WORKERS))
    assert [None, "requests_per_s", None] == [refused(first, TOKEN), refused(second, TOKEN), refused(second, FREE)]
    now += 1_000
    assert [None, "requests_per_s"] == [refused(second, TOKEN), refused(first, TOKEN)]


def test_there_may_be_more_tokens_than_open_files(memory: SharedNumbers) -> None:
    """Requests of a thousand tokens leave no file open."""
    admission = Admission(3, SharedRows(memory, 0))
    before = psutil.Process().num_fds()
    for number in range(1_000):
        assert refused(admission, attrs.evolve(FREE, name=f"token-{number}")) is None
    assert before >= psutil.Process().num_fds()  # garbage of other tests may have been open


def test_tokens_without_room_have_limits_in_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is full; no request fails for that."""
    monkeypatch.setattr(shared_numbers, "_BYTES", 8)
    with closing(SharedRows.memory(WORKERS)) as full:
        first, second = (Admission(1, SharedRows(full, number)) for number in range(WORKERS))
        with first.admit(FREE):
            assert ["concurrent_requests", None] == [refused(admission, FREE) for admission in (first, second)]
        assert [None, "requests_per_s", None] == [refused(admission, TOKEN) for admission in (second, second, first)]


def test_no_count_is_lost_when_processes_count_at_the_same_time(memory: SharedNumbers) -> None:
    """Each of them reads, changes and writes the same row."""
    with ExitStack() as running:
        workers = [running.enter_context(_admitting(memory, number)) for number in range(WORKERS)]
        for worker in workers:
            assert "imported\n" == worker.stdout.readline()
        for worker in workers:
            worker.stdin.write("start\n")
            worker.stdin.flush()
        for worker in workers:
            assert "done\n" == worker.stdout.readline()
        assert "concurrent_requests" == refused(Admission(ROUNDS * WORKERS, SharedRows(memory, 0)), None)
        assert refused(Admission(ROUNDS * WORKERS + 1, SharedRows(memory, 0)), None) is None


@contextmanager
def _admitting(memory: SharedNumbers, worker: int) -> Iterator[Any]:
    """Run a process that admits many requests once it is told to start."""
    numbers = [memory.width, memory.descriptor, worker, ROUNDS * WORKERS + 1, ROUNDS]
    process = subprocess.Popen(
        [sys.executable, "-c", ADMIT_OFTEN, *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[memory.descriptor],
    )
    try:
        yield process
    finally:
        process.communicate()
