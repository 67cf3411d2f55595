"""Workers: several processes that serve one listening socket; a worker that ends is started again.

The parent listens, starts the workers and waits. It serves nothing itself. Workers notice the death of the parent, finish
their requests and end. They share, in memory, their metrics and the running requests and rates of tokens.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, TypeAlias

import attrs

from statcore.concurrency import end_tasks, run_concurrently
from statcore_web.admission import SharedRows
from statcore_web.process import Announce
from statcore_web.shared_metrics import SharedMetrics
from statcore_web.shared_numbers import SharedNumbers

_logger: Final = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
_STABLE_S: Final = 60.0
"""A worker that has run this long is started again after the first pause."""
_END_S: Final = 5.0
"""How long a worker may take beyond the time for its requests before it is killed."""
_TERMINAL_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP)
"""Signals that a terminal sends to all processes; only the parent handles them."""


@attrs.frozen(kw_only=True)
class Worker:
    """What a worker gets from its parent.

    Args:
        listener: the listening socket.
        rows: the requests and rates of tokens, counted over all workers.
        metrics: the values of the metrics of all workers.
        started: the end of a pipe to the parent.
    """

    listener: socket.socket
    rows: SharedRows
    metrics: SharedMetrics
    started: Connection

    def announce_start(self) -> None:
        """Tell the parent that this worker accepts connections."""
        with suppress(OSError):  # the parent has ended
            self.started.send_bytes(b"started")
        self.started.close()

    def stop_with_parent(self, stop: asyncio.Event) -> None:
        """Set an event of the running event loop when the parent ends, also if it is killed."""
        parent = multiprocessing.parent_process()
        if parent is None:
            return
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(parent.sentinel)
            stop.set()

        loop.add_reader(parent.sentinel, ended)


RunWorker: TypeAlias = Callable[[Worker], None]
"""What a worker runs. It ends after SIGTERM, when its requests are finished.

It runs in a new process, so it must be a function of a module, or a `functools.partial` of one whose arguments can be
pickled.
"""


async def serve_with_workers(
    run_worker: RunWorker,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    workers: int,
    drain_s: float,
    announce: Announce,
) -> None:
    """Run workers until an event is set; then stop them, and wait until they have ended.

    Args:
        run_worker: what a worker runs.
        listener: the listening socket, which is closed at the stop.
        stop: the event. If it is set again, the workers are killed.
        workers: how many workers there are.
        drain_s: how long a worker may take to finish its requests after the stop, in seconds.
        announce: called once the first worker accepts connections, and at the stop.
    """
    with closing(SharedRows.memory(workers)) as rows, closing(SharedNumbers(workers)) as metrics:
        parent = _Parent(run_worker, listener, rows, metrics)
        workers_running = (parent.keep_running(number) for number in range(workers))
        keeping = asyncio.create_task(run_concurrently([parent.announce_start(announce), *workers_running]))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, keeping], return_when=asyncio.FIRST_COMPLETED)
            announce("stopping")
            stop.clear()
            parent.stop()
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([stopped, keeping], return_when=asyncio.FIRST_COMPLETED, timeout=drain_s + _END_S)
            if keeping.done():
                keeping.result()  # raises its error
        finally:
            listener.close()
            parent.kill()
            await end_tasks([stopped, keeping])


@attrs.frozen(eq=False)
class _Parent:
    run_worker: RunWorker
    listener: socket.socket
    rows: SharedNumbers
    metrics: SharedNumbers
    started: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _stopping: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _running: set[SpawnProcess] = attrs.field(factory=set[SpawnProcess], init=False)

    async def announce_start(self, announce: Announce) -> None:
        """Announce that the service is ready, once a worker is; not after the stop."""
        await self.started.wait()
        if not self._stopping.is_set():
            announce("ready")

    async def keep_running(self, number: int) -> None:
        """Run a worker again and again; the pauses in between grow while it ends soon after its start."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            start_s = loop.time()
            end = await self._run(number)
            if self._stopping.is_set():
                return
            if loop.time() - start_s >= _STABLE_S:
                pause_s = _FIRST_PAUSE_S
            _logger.error("worker %d %s; it is started again in %g s", number, end, pause_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _run(self, number: int) -> str:
        """Run a worker to its end, and return for the log how it ended."""
        rows, metrics = SharedRows(self.rows, number), SharedMetrics(self.metrics, number)
        try:
            process = self._start(rows, metrics)
        except OSError as error:  # there is no memory, or there are too many processes or open files
            return f"cannot be started: {error.strerror}"
        self._running.add(process)
        await _readable(process.sentinel)
        process.join()
        self._running.discard(process)
        metrics.forget_gauges()
        rows.forget_requests()
        return f"(process {process.pid}) ended with code {process.exitcode}"

    def stop(self) -> None:
        """Tell the workers to finish their requests and end; without the parent's socket, the last one ends listening."""
        self._stopping.set()
        self.started.set()  # nothing waits for the start any more
        self.listener.close()
        for process in self._running:
            process.terminate()

    def kill(self) -> None:
        """Kill the workers that have not ended."""
        for process in self._running:
            _logger.warning("process %s had not ended and is killed", process.pid)
            process.kill()
            process.join()

    def _start(self, rows: SharedRows, metrics: SharedMetrics) -> SpawnProcess:
        context = multiprocessing.get_context("spawn")
        reader, writer = context.Pipe(duplex=False)
        worker = Worker(listener=self.listener, rows=rows, metrics=metrics, started=writer)
        process = context.Process(target=_work, args=(self.run_worker, worker), daemon=True)
        resource_tracker.ensure_running()  # it unblocks signals when it starts
        # A new process inherits the mask, so that Ctrl-C does not interrupt its imports.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
        try:
            process.start()
        except OSError:
            reader.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            writer.close()
        loop = asyncio.get_running_loop()

        def heard() -> None:
            loop.remove_reader(reader.fileno())
            with suppress(EOFError):
                reader.recv_bytes()
                self.started.set()
            reader.close()

        loop.add_reader(reader.fileno(), heard)
        return process


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor is readable; the sentinel of a process is when the process has ended."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _work(run_worker: RunWorker, worker: Worker) -> None:
    for number in _TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _TERMINAL_SIGNALS)
    worker.metrics.use()
    run_worker(worker)
