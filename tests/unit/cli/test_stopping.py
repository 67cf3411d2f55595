"""Signals that end long work, and signals that the process ignores."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from statcore_cli.event_loop import run, run_until_stopped, stop_on_signals

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(params=STOPPING)
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that this process ignores, as if it had been started so."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_IGN)
    yield number
    signal.signal(number, before)


async def after(number: signal.Signals) -> None:
    """Send this process a signal, and return when it has been handled."""
    handled = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, handled.set)
    try:
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGUSR1)  # signals are handled in their order
        await handled.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize("number", STOPPING)
async def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    """The signal does not end the process."""
    with stop_on_signals() as stop:
        assert not stop.is_set()
        await after(number)
        assert stop.is_set()


async def test_an_ignored_signal_stays_ignored(ignored: signal.Signals) -> None:
    """`nohup statcore collect` survives the end of its terminal; the other signals still stop it."""
    with stop_on_signals() as stop:
        await after(ignored)
        assert not stop.is_set()
        await after(next(number for number in STOPPING if number != ignored))
        assert stop.is_set()
    assert signal.SIG_IGN == signal.getsignal(ignored)


@pytest.mark.parametrize("number", STOPPING)
async def test_a_signal_cancels_work_that_runs_until_stopped(number: signal.Signals) -> None:
    """The work ends in its own way, and this is no error."""
    ended: list[str] = []

    async def work() -> None:
        try:
            signal.raise_signal(number)
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    await run_until_stopped(work())

    assert ["work"] == ended


async def test_an_error_of_work_that_runs_until_stopped_is_raised() -> None:
    """It is not taken for the end."""

    async def work() -> None:
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await run_until_stopped(work())


def test_a_signal_that_does_not_end_the_wait_of_the_loop_interrupts() -> None:
    """Another thread takes the signal, so that the loop goes on to wait: as with one that comes just before the wait."""
    begun, ends_of_wait = threading.Event(), list[str]()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            loop.call_later(0.2, begun.set)
            loop.call_later(20, ends_of_wait.append, "its own")
            await loop.create_future()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def send() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    sending = threading.Thread(target=send)
    sending.start()
    with pytest.raises(KeyboardInterrupt):
        run(work(), doing="waiting")
    sending.join()
    assert [] == ends_of_wait
