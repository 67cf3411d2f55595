"""Ending long work in good order when the terminal or the system asks for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signals() -> Generator[asyncio.Event]:
    """Yield an event that SIGINT, SIGTERM and SIGHUP set, in place of ending the process.

    A signal that the process was started to ignore, as `nohup` does with SIGHUP, stays ignored.
    """
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
