"""Faults 31 and 32: a log that cannot be written costs its lines, and nothing else."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
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


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-"])
async def test_a_service_whose_standard_error_is_closed_prints_its_url_alone(
    closed: str, workers: str, tmp_path: Path
) -> None:
    """It is ready, answers, and ends with 0; its log goes nowhere."""
    within = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    with serving_in(tmp_path, environment(**NO_STORES), "--workers", workers, within=within) as service:
        assert [200] * 5 == [await answers(service.url) for _ in range(5)]
        assert 0 == service.stop()
        assert service.process.stdout is not None
        assert "" == service.process.stdout.read()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
async def test_a_service_whose_standard_output_is_closed_serves(closed: str, workers: str, tmp_path: Path) -> None:
    """Its log has the URL, and no error."""
    service = [sys.executable, "-m", "statcore_cli", "serve", "--port", "0", "--workers", workers]
    log_file = tmp_path / "log"
    with log_file.open("w") as log:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f'exec "$@" {closed}', "sh", *service, env=environment(**NO_STORES), stderr=log
        )
    try:
        await until(lambda: "serving http" in log_file.read_text(), "the service")
        url = log_file.read_text().split("serving ")[1].split()[0]
        assert [200] * 5 == [await answers(url) for _ in range(5)]
        process.terminate()
        assert 0 == await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert [] == [line for line in log_file.read_text().splitlines() if " INFO " not in line]


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
