"""The event loop of a command: runs a coroutine with a spinner, and turns signals into an event that asks it to stop."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from statcore.concurrency import end_tasks
from statcore_cli.standard_output import plugin_code

if TYPE_CHECKING:
    from asyncio import Event

_T = TypeVar("_T")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, _T], *, doing: str) -> _T:
    """Run a coroutine to its end, with a spinner where standard error is a terminal.

    Args:
        work: the coroutine; whatever plugins print in it is kept out of the answer.
        doing: what the spinner shows, such as "querying node".
    """
    import asyncio  # noqa: PLC0415 - slow to import, and --help needs no event loop

    try:
        with _interruptible(), _progress(doing), plugin_code():
            return asyncio.run(_woken_by_signals(work))
    finally:
        work.close()  # Python warns about a coroutine that never ran, as after an interrupt before it


async def _woken_by_signals(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine in a loop that each signal wakes.

    Without this, a signal that arrives just before the loop begins to wait is handled at the end of the wait, which may
    be a deadline of many seconds.
    """
    import asyncio  # noqa: PLC0415

    if threading.current_thread() is not threading.main_thread():
        return await work
    loop = asyncio.get_running_loop()
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        loop.add_reader(reader, reader.recv, 4096)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            return await work
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)


@contextmanager
def _interruptible() -> Generator[None]:
    """Let SIGINT raise `KeyboardInterrupt` within the block, so that connections are closed and the spinner is removed."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(doing: str) -> Generator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only terminals need it
    from rich.live import Live  # noqa: PLC0415
    from rich.spinner import Spinner  # noqa: PLC0415

    # Not `Console.status`: it would redirect standard output while the coroutine runs.
    with Live(Spinner("dots", text=doing), console=Console(stderr=True), transient=True, redirect_stdout=False):
        yield


@contextmanager
def stop_on_signals() -> Generator[Event]:
    """Yield an event; within the block SIGINT, SIGTERM and SIGHUP set it instead of ending the process.

    A signal that the process was started to ignore, as `nohup` does with SIGHUP, stays ignored.
    """
    import asyncio  # noqa: PLC0415 - it is imported already where a loop runs

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in handled:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine until it ends. SIGINT, SIGTERM and SIGHUP cancel it, and then this returns without an error.

    Raises:
        Exception: the error of the coroutine.
    """
    import asyncio  # noqa: PLC0415

    with stop_on_signals() as stop:
        running, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks([running, stopping])
        if not running.cancelled():
            running.result()
