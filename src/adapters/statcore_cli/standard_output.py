"""Standard output holds only the answer; what plugins write there goes to standard error, under the plugin's name.

`guarded` moves the answer to a duplicate of the descriptor, which no plugin knows. Descriptor 1, used by `os.write`,
libraries in C and subprocesses, then leads to a file in memory; its content is moved to standard error. `sys.stdout` leads
to the answer where the program's own code runs, and to that file everywhere else: in threads of plugins, and within
`plugin_code`. On a terminal, both lead to the terminal. Text from plugins and servers is made printable before it is
shown, so that it cannot steer the terminal.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import FileIO, TextIOWrapper
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO, cast

if TYPE_CHECKING:
    from statcore.plugins import PluginReport  # too slow to import for --help


_INTERVAL_S: Final = 1.0
"""The time between two moves of what plugins write to standard error, so that it does not fill the memory."""
_MAX_SHOWN: Final = 65_536

_is_answer: ContextVar[bool] = ContextVar("is_answer", default=False)
_guard: _Guard | None = None


@contextmanager
def guarded() -> Generator[None]:
    """Keep standard output for the answer until the block ends; what the block prints is the answer."""
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
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - code that runs at exit may print


@contextmanager
def plugin_code() -> Generator[None]:
    """Run plugin code: what the block prints is kept out of the answer."""
    before = _is_answer.set(False)
    try:
        yield
    finally:
        _is_answer.reset(before)
        if _guard is not None:
            _guard.take_back()


def take_back() -> None:
    """Undo now that a plugin has replaced or closed standard output: plugin code goes on, and may run for days."""
    if _guard is not None:
        _guard.take_back()


@contextmanager
def loading(report: PluginReport) -> Generator[None]:
    """Blame this plugin, unless it is part of statcore, for what is written to standard output within the block."""
    guard = _guard
    if guard is None or report.is_ours:
        yield
        return
    guard.blamed.append(report.origin)
    try:
        yield
    finally:
        if not guard.take_back():  # a plugin that has written once may write again from a thread
            guard.blamed.remove(report.origin)


def blame(report: PluginReport) -> None:
    """Blame this plugin, unless it is part of statcore, for what is written from now on."""
    if _guard is not None and not report.is_ours:
        _guard.blamed.append(report.origin)


def blame_any_of(reports: Iterable[PluginReport]) -> None:
    """Blame these plugins, except statcore's own, for what is written while no single plugin is blamed."""
    if _guard is not None:
        _guard.candidates = [report.origin for report in reports if not report.is_ours]


class _Guard:
    """Replaces `sys.stdout` while the program runs, and reports what plugins write there."""

    def __init__(self, stdout: TextIOWrapper) -> None:
        stdout.flush()
        self._original = stdout  # held, because a stream closes its descriptor when it is collected
        self.blamed: list[str] = []
        self.candidates: list[str] = []
        self._reported: set[str] = set()
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
        # Not descriptor 1: if a plugin closes it, the next connection gets its number.
        self._shown = os.dup(self._descriptor)
        self._plugins = self._open_for_plugins()
        self._is_taken = False
        """Whether something else has the number of the plugins' descriptor."""
        self._lock = Lock()
        self._ended = Event()
        if self._caught is not None:
            Thread(target=self._keep_reporting, daemon=True).start()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._answer if _is_answer.get() else self._plugins, name)

    def fileno(self) -> int:
        """Return the descriptor that code which writes without `sys.stdout` uses."""
        return self._answer.fileno() if _is_answer.get() else self._descriptor

    def take_back(self) -> bool:
        """Become `sys.stdout` again after plugin code, which may have replaced it, and report what it wrote.

        Returns:
            whether standard output was written to, closed or replaced.
        """
        replaced = sys.stdout is not cast("TextIO", self)
        sys.stdout = cast("TextIO", self)
        if replaced:
            self._report_once("replaced standard output; the answer is complete all the same")
        return self.report() or replaced

    def report(self) -> bool:
        """Move what was written to standard error, and name the plugins that may have written it.

        Returns:
            whether standard output was written to or closed.
        """
        with self._lock:
            closed = self._reopen_if_closed()
            with suppress(OSError, ValueError):
                self._plugins.flush()
            with suppress(OSError, ValueError):
                if sys.__stdout__ is not None and self._has_descriptor():
                    sys.__stdout__.flush()
            written, size = b"", 0
            if self._caught is not None:
                written, size = os.pread(self._caught, _MAX_SHOWN, 0), os.fstat(self._caught).st_size
                os.ftruncate(self._caught, 0)
        if written:
            lines = [*written.decode(errors="replace").splitlines(), *(["…"] if size > len(written) else [])]
            _write_error("".join(f"{printable(line)}\n" for line in lines))
            self._report_once("wrote to standard output; it is shown above, and not in the answer")
        if closed:
            self._report_once("closed standard output; the answer is complete all the same")
        return bool(written) or closed

    def _report_once(self, action: str) -> None:
        """Print which plugins may have done this; an equal line is printed once."""
        names = sorted(set(self.blamed or self.candidates))
        who = f"{'one of the plugins' if len(names) > 1 else 'the plugin'} {', '.join(names)}" if names else "a plugin"
        line = f"statcore: {who} {action}\n"
        if line not in self._reported:
            self._reported.add(line)
            _write_error(line)

    def end(self) -> None:
        """Flush the answer, and report for the last time."""
        with suppress(OSError, ValueError):  # the code that printed the answer has reported this error
            self._answer.flush()
        self._ended.set()
        self.report()

    def _open_for_plugins(self) -> TextIO:
        return TextIOWrapper(open(self._shown, "wb", closefd=False), line_buffering=True, **self._style)

    def _has_descriptor(self) -> bool:
        """Return whether descriptor 1 is still the plugins', and not a file or connection that was opened since."""
        return os.path.samestat(os.fstat(self._descriptor), os.fstat(self._shown))

    def _reopen_if_closed(self) -> bool:
        """Open the plugins' stream and descriptor again if a plugin closed them, and return whether it did since before."""
        was_taken, self._is_taken = self._is_taken, False
        try:
            self._is_taken = not self._has_descriptor()  # by what stays open: it may be a client's connection
            closed = self._is_taken and not was_taken
        except OSError:
            os.dup2(self._shown, self._descriptor)
            closed = not was_taken
        if self._plugins.closed:
            self._plugins = self._open_for_plugins()
            closed = True
        return closed

    def _keep_reporting(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self.report()


def write_errors_at_once() -> None:
    """Let standard error have no buffer: text that a full disk or a closed pipe does not take is lost.

    In a buffer it would fail again at exit, which changes the exit code, and whenever another process is started.
    """
    unbuffered = cast("BinaryIO", FileIO(sys.stderr.fileno(), "wb", closefd=False))
    sys.stderr = TextIOWrapper(unbuffered, sys.stderr.encoding, errors="backslashreplace", write_through=True)


def _file_in_memory() -> int:
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415

        file = os.memfd_create("statcore-plugins")
        fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # the file can be emptied while a plugin writes
        return file
    from tempfile import TemporaryFile  # noqa: PLC0415

    with TemporaryFile("a+b") as file:
        return os.dup(file.fileno())


def _write_error(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


class LogLines(logging.Formatter):
    """Formats a record of the log as a line; of its traceback, if it has one, the lines stay."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the message on one line."""
        return printable(super().formatMessage(record))


def printable(text: str) -> str:
    """Return text on one line: characters that do not print, line breaks included, become escapes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
