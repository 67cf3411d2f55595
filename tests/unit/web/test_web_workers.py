"""Workers that cannot be started."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import SpawnProcess

import pytest
from tests.support.environments import ROOT

from statcore_web.process import listen
from statcore_web.workers import Worker, serve_with_workers


def wait_for_signal(worker: Worker) -> None:
    """Run as a worker that serves nothing."""
    worker.announce_start()
    signal.pause()


async def test_a_worker_that_the_system_cannot_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The service goes on, says what is wrong, and becomes ready once the worker has started."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])  # where the new process finds this module
    start: Callable[[SpawnProcess], None] = SpawnProcess.start
    failures = [OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))]

    def start_later(process: SpawnProcess) -> None:
        if failures:
            raise failures.pop()
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", start_later)
    states: list[str] = []
    stop, ready = asyncio.Event(), asyncio.Event()

    def announce(state: str) -> None:
        states.append(state)
        ready.set()

    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(
            serve_with_workers(wait_for_signal, listener, stop, workers=1, drain_s=1.0, announce=announce)
        )
        async with asyncio.timeout(60):
            await ready.wait()
            stop.set()
            await serving
    assert ["ready", "stopping"] == states
    assert os.strerror(errno.EAGAIN) in caplog.text
