"""Loading plugins in time: one that hangs is given up."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

from statcore.errors import PluginError
from statcore.plugins.discovery import Candidate
from statcore.plugins.loading import Loaded, load, new_manager
from statcore.plugins.report import PluginReport, PluginStatus

Around: TypeAlias = Callable[[PluginReport], AbstractContextManager[object]]


class _Worker(Thread):
    """A thread that loads candidates one after the other, until it has all or is given up."""

    def __init__(self, candidates: Sequence[Candidate], around: Around, *, trial: bool) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.candidates = tuple(candidates)
        self.around = around
        self.trial = trial
        self.loaded = SimpleQueue[Loaded]()
        self.is_given_up = False
        self.start()

    def run(self) -> None:
        """Load each in a context of its own: what one sets there, the precision of decimals for one, is not the next's."""
        manager = new_manager()
        for candidate in self.candidates:
            if self.is_given_up:
                break
            self.name = candidate.name
            with self.around(candidate.report(PluginStatus.OK)):
                loaded = copy_context().run(load, candidate, manager, trial=self.trial)
            self.loaded.put(loaded)

    def whereabouts(self) -> str:
        """Return what line the thread is at: it may be another's, which this plugin waits for."""
        frames = sys._current_frames()  # noqa: SLF001 - documented all the same  # pyright: ignore[reportPrivateUsage]
        frame = frames.get(self.ident or 0)
        while frame is not None and frame.f_code.co_filename.startswith(("<frozen importlib", threading.__file__)):
            frame = frame.f_back
        return f"; it is at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def load_each(
    candidates: Iterable[Candidate], timeout_s: float, around: Around = nullcontext, *, trial: bool = False
) -> Iterator[Loaded]:
    """Import plugins one after the other in a thread, and ask their hooks.

    Whatever goes wrong is in the reports; so is a plugin that takes longer than `timeout_s` seconds, for which the thread
    is given up for a new one. `around` and `trial` are as in `PluginRegistry.discover`.

    Raises:
        PluginError: a plugin calls this while it is loaded itself.
    """
    thread = threading.current_thread()
    if isinstance(thread, _Worker):
        raise PluginError(f"the plugin {thread.name} discovers plugins while it is loaded itself", plugin=thread.name)
    left = deque(candidates)
    while left:
        worker = _Worker(left, around, trial=trial)
        try:
            while left:
                yield worker.loaded.get(timeout=timeout_s)
                left.popleft()
        except Empty:
            yield _overdue(left.popleft(), timeout_s, worker.whereabouts())
        finally:
            # Nothing ends code that hangs. It may go on at any time, so the rest shares nothing with it.
            worker.is_given_up = True


def _overdue(candidate: Candidate, timeout_s: float, whereabouts: str) -> Loaded:
    error = f"it was not loaded within {timeout_s:g} s{whereabouts}"
    remedy = f"upgrade or uninstall {candidate.distribution}, {candidate.or_switch_off}"
    return Loaded(candidate.report(PluginStatus.BROKEN, error=error, remedy=remedy))
