"""Faults 31 and 32: a log that cannot be written costs its lines, and nothing else."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from aiohttp import ClientSession
from tests.e2e.program import environment
from tests.support.polling import until
from tests.support.service import NO_STORES, serving, serving_in


def full_disk() -> int:
    """Open a file that takes nothing."""
    return os.open("/dev/full", os.O_WRONLY)


def closed_pipe() -> int:
    """Open a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


async def answers(url: str) -> int:
    """Return the status of an answer to a query."""
    async with ClientSession(url) as client, client.get("/graphql", params={"query": "{ schema_version }"}) as response:
        return response.status


@pytest.mark.parametrize(("workers", "log"), [("1", full_disk), ("1", closed_pipe), ("2", full_disk)])
async def test_a_log_that_cannot_be_written_changes_no_answer_and_no_exit_code(
    log: Callable[[], int], workers: str, tmp_path: Path
) -> None:
    """Queries are answered, and the service ends with 0 after SIGTERM."""
    stderr = log()
    try:
        with serving_in(tmp_path, environment(**NO_STORES), "--workers", workers, stderr=stderr) as service:
            assert [200] * 5 == [await answers(service.url) for _ in range(5)]
            assert 0 == service.stop()
    finally:
        os.close(stderr)


async def test_a_log_has_no_traceback_of_the_time_in_which_it_was_full(tmp_path: Path) -> None:
    """Once there is room again, it goes on."""
    with serving(tmp_path, **NO_STORES) as service:
        process = psutil.Process(service.process.pid)
        _, most = process.rlimit(resource.RLIMIT_FSIZE)
        process.rlimit(resource.RLIMIT_FSIZE, (len(service.log), most))
        assert [200] * 100 == [await answers(service.url) for _ in range(100)]
        assert "/graphql" not in service.log

        process.rlimit(resource.RLIMIT_FSIZE, (most, most))
        assert 200 == await answers(service.url)
        await until(lambda: "/graphql" in service.log, "lines of requests")
        assert 0 == service.stop()
        assert [] == [line for line in service.log.splitlines() if " INFO " not in line]
