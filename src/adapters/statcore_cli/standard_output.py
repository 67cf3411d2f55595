"""Standard output holds the answer alone: what plugins write there is kept apart, and the plugin is named.

`guarded` moves the answer to a duplicate of the descriptor, which no plugin knows. Descriptor 1, and with it `os.write`,
libraries in C and subprocesses, then leads to a file in memory, whose content goes to standard error. `sys.stdout` leads to
the answer where the program's own code runs, and to descriptor 1 everywhere else: in threads of plugins, and within
`plugin_code`. On a terminal, descriptor 1 stays the terminal, where people see who writes what.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import TextIOWrapper
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from statcore_cli.text import printable

if TYPE_CHECKING:
    from statcore.plugins.report import PluginReport  # which takes too long for --help

_INTERVAL_S: Final = 1.0
"""How often what plugins write is moved to standard error, so that it does not fill the memory."""
_MAX_SHOWN: Final = 65_536

_is_answer: ContextVar[bool] = ContextVar("is_answer", default=False)
_guard: _Guard | None = None


@contextmanager
def guarded() -> Generator[None]:
    """Keep standard output for the answer until the block ends; what is printed in the block is the answer."""
    global _guard  # noqa: PLW0603 - a process has one standard output
    _guard = guard = _Guard(cast("TextIOWrapper", sys.stdout))
    sys.stdout = cast("TextIO", guard)
    _is_answer.set(True)
    try:
        yield
    finally:
        _is_answer.set(False)
        _guard = None
        guard.end()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for what runs at exit


@contextmanager
def plugin_code() -> Generator[None]:
    """Within the block, what is printed is not the answer."""
    before = _is_answer.set(False)
    try:
        yield
    finally:
        _is_answer.reset(before)
        if _guard is not None:
            _guard.take_back()


@contextmanager
def loading(report: PluginReport) -> Generator[None]:
    """Name this plugin, unless it is one of ours, for what is written while the block runs."""
    guard = _guard
    if guard is None or report.is_ours:
        yield
        return
    guard.suspects.append(report.origin)
    try:
        yield
    finally:
        if not guard.take_back():  # whoever has written once may do so again, from a thread
            guard.suspects.remove(report.origin)


def suspect(report: PluginReport) -> None:
    """Name this plugin for what is written from now on, unless it is one of ours."""
    if _guard is not None and not report.is_ours:
        _guard.suspects.append(report.origin)


def suspect_any(reports: Iterable[PluginReport]) -> None:
    """Name these plugins for what is written while no other is named."""
    if _guard is not None:
        _guard.others = [report.origin for report in reports if not report.is_ours]


class _Guard:
    """What `sys.stdout` is meanwhile."""

    def __init__(self, stdout: TextIOWrapper) -> None:
        stdout.flush()
        self._first = stdout  # which would close the descriptor when nobody holds it
        self.suspects: list[str] = []
        self.others: list[str] = []
        self._told: set[str] = set()
        self._style: dict[str, Any] = {"encoding": stdout.encoding, "errors": stdout.errors}
        self._descriptor = stdout.fileno()
        self._answer = TextIOWrapper(
            os.fdopen(os.dup(self._descriptor), "wb"),
            line_buffering=stdout.line_buffering,
            write_through=stdout.write_through,
            **self._style,
        )
        self._caught = None if self._answer.isatty() else _file_in_memory()
        if self._caught is not None:
            os.dup2(self._caught, self._descriptor)
        self._plugins = self._open()
        self._lock = Lock()
        self._ended = Event()
        if self._caught is not None:
            Thread(target=self._keep_reporting, daemon=True).start()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._answer if _is_answer.get() else self._plugins, name)

    def take_back(self) -> bool:
        """Be `sys.stdout` again, where plugin code has ended that may have put something else there; and report.

        Returns:
            whether somebody wrote to standard output, closed or replaced it.
        """
        replaced = sys.stdout is not cast("TextIO", self)
        sys.stdout = cast("TextIO", self)
        if replaced:
            self._tell("replaced standard output; the answer is complete all the same")
        return self.report() or replaced

    def report(self) -> bool:
        """Move what was written to standard error, and name the plugins that may have written it.

        Returns:
            whether somebody wrote to standard output or closed it.
        """
        with self._lock:
            closed = self._reopened()
            for stream in (self._plugins, sys.__stdout__):
                with suppress(OSError, ValueError, AttributeError):
                    cast("TextIO", stream).flush()
            written = b"" if self._caught is None else os.pread(self._caught, _MAX_SHOWN, 0)
            size = 0 if self._caught is None else os.fstat(self._caught).st_size
            if self._caught is not None and written:
                os.ftruncate(self._caught, 0)
        if written:
            lines = [*written.decode(errors="replace").splitlines(), *(["…"] if size > len(written) else [])]
            _say("".join(f"{printable(line)}\n" for line in lines))
            self._tell("wrote to standard output; it is shown above, and not in the answer")
        if closed:
            self._tell("closed standard output; the answer is complete all the same")
        return bool(written) or closed

    def _tell(self, deed: str) -> None:
        """Say once who did it."""
        names = sorted(set(self.suspects or self.others))
        who = f"{'one of the plugins' if len(names) > 1 else 'the plugin'} {', '.join(names)}" if names else "a plugin"
        line = f"statcore: {who} {deed}\n"
        if line not in self._told:
            self._told.add(line)
            _say(line)

    def end(self) -> None:
        """Write out the answer, and report a last time."""
        with suppress(OSError, ValueError):  # it was told of where the answer was printed
            self._answer.flush()
        self._ended.set()
        self.report()

    def _open(self) -> TextIO:
        return TextIOWrapper(open(self._descriptor, "wb", closefd=False), line_buffering=True, **self._style)

    def _reopened(self) -> bool:
        """Return whether somebody closed the stream or the descriptor, having opened it again for the others."""
        try:
            os.fstat(self._descriptor)
        except OSError:
            if self._caught is not None:
                os.dup2(self._caught, self._descriptor)
            else:
                os.dup2(self._answer.fileno(), self._descriptor)
            self._plugins = self._open()
            return True
        if self._plugins.closed:
            self._plugins = self._open()
            return True
        return False

    def _keep_reporting(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self.report()


def _file_in_memory() -> int:
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415

        file = os.memfd_create("statcore-plugins")
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # so that it can be emptied while somebody writes
        return file
    from tempfile import TemporaryFile  # noqa: PLC0415

    with TemporaryFile("a+b") as file:
        return os.dup(file.fileno())


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
