"""Loading plugins in time: one that hangs is given up."""

from __future__ import annotations

import sys
import threading
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread

import attrs

from statcore.errors import PluginError
from statcore.plugins.discovery import Candidate
from statcore.plugins.loading import Loaded, load, new_manager
from statcore.plugins.report import PluginStatus


class _Worker(Thread):
    """A thread that loads the candidates it is given, until it is given None."""

    def __init__(self) -> None:
        """Start at once."""
        super().__init__(daemon=True)
        self.candidates = SimpleQueue[Candidate | None]()
        self.loaded = SimpleQueue[Loaded]()
        self.start()

    def run(self) -> None:
        """Load each in a context of its own: what one sets there, the precision of decimals for one, is not the next's."""
        manager = new_manager()
        while candidate := self.candidates.get():
            self.name = candidate.name
            self.loaded.put(copy_context().run(load, candidate, manager))

    def whereabouts(self) -> str:
        """Return what line the thread is at: it may be another's, which this plugin waits for."""
        frames = sys._current_frames()  # noqa: SLF001 - documented all the same  # pyright: ignore[reportPrivateUsage]
        frame = frames.get(self.ident or 0)
        while frame is not None and frame.f_code.co_filename.startswith(("<frozen importlib", threading.__file__)):
            frame = frame.f_back
        return f"; it is at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


@attrs.define
class Loader:
    """Loads plugins one after the other in a thread, which it gives up for a new one when `timeout_s` pass."""

    timeout_s: float
    _worker: _Worker = attrs.field(factory=_Worker, init=False)

    def __attrs_pre_init__(self) -> None:
        """Refuse to go round in circles."""
        thread = threading.current_thread()
        if isinstance(thread, _Worker):
            raise PluginError(f"the plugin {thread.name} discovers plugins while it is loaded itself", plugin=thread.name)

    def load(self, candidate: Candidate) -> Loaded:
        """Import a plugin and ask its hooks; whatever goes wrong, a deadline that passes too, is in the report."""
        self._worker.candidates.put(candidate)
        try:
            return self._worker.loaded.get(timeout=self.timeout_s)
        except Empty:
            error = f"it was not loaded within {self.timeout_s:g} s{self._worker.whereabouts()}"
        # Nothing ends code that hangs. It may go on at any time, so the rest shares nothing with it.
        self.close()
        self._worker = _Worker()
        remedy = f"upgrade or uninstall {candidate.distribution}, {candidate.or_switch_off}"
        return Loaded(candidate.report(PluginStatus.BROKEN, error=error, remedy=remedy))

    def close(self) -> None:
        """Let the thread end when it has done what it was given."""
        self._worker.candidates.put(None)
