"""Rounds of collection: sample the kernels and the node, write to the store, keep the samples for the exporter."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, ParamSpec
from uuid import UUID

import attrs
import psutil

from statcore.errors import InputError, PluginError, StatcoreError, UnavailableError
from statcore.model import MetricValue, id_text
from statcore.model.inventory import KernelRecord
from statcore.model.text import check_text, describe
from statcore.model.validation import require_seconds
from statcore.ports import InventorySinkPort, ScrapeSample, StatisticsSinkPort
from statcore_collector.failures import FRESH_INTERVALS, FailureKind, Health, Unreadable
from statcore_collector.kernel import KernelRound, KernelSampler, KernelTarget
from statcore_collector.metric import sum_kernels
from statcore_collector.node import NodeRound, NodeSampler
from statcore_collector.process_tree import find_process, read_process_table
from statcore_collector.series import device_samples
from statcore_collector.tcp_traffic import read_sockets

_logger: Final = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")


@attrs.frozen(kw_only=True)
class _Round:
    time_s: float
    node: NodeRound
    kernels: Mapping[str, KernelRound]


def next_due(start_s: float, interval_s: float, now_s: float) -> float:
    """Return the first time after `now_s` on the grid that begins at `start_s`; missed rounds are not made up for."""
    return start_s + (math.floor((now_s - start_s) / interval_s) + 1) * interval_s


class Collector:
    """Samples kernels and their node, and writes their statistics through a sink.

    Call all methods on one event loop, except `samples`, `newest_age_s` and `problem`, which any thread may use. Sampling
    runs in a thread. The caller closes the sink.

    A kernel that is removed, or has no running process any more, disappears from `samples` and the inventory at once, and
    from the store with the next round. A session is stored as the sum over its kernels on this agent: when two agents run
    kernels of one session, their collectors overwrite each other's sum.

    An item that cannot be read (a process, a core, a metric of a kernel) is left out and logged once; everything else is
    collected. `health` counts rounds and failures; `problem` says why the collector is not healthy.
    """

    def __init__(
        self,
        sink: StatisticsSinkPort,
        *,
        agent_id: str,
        interval_s: float = 5.0,
        inventory: InventorySinkPort | None = None,
    ) -> None:
        """Start without kernels; nothing is collected before `run` or `collect` is awaited.

        Args:
            sink: where statistics are written.
            agent_id: the id of the agent on this node.
            interval_s: the seconds between two rounds of `run`; readers use it to recognize old statistics.
            inventory: where kernels are registered when they are added, and forgotten when they are removed.

        Raises:
            InputError: the interval is not a number of seconds above zero, or the agent id is empty or not text.
        """
        require_seconds(interval_s, name="interval_s")
        if not check_text(agent_id, what="agent_id"):
            raise InputError("agent_id is empty")
        self.agent_id = agent_id
        self.interval_s = interval_s
        self._sink = sink
        self._inventory = inventory
        self._kernels: dict[str, KernelSampler] = {}
        self._node = NodeSampler()
        self._latest: _Round | None = None
        self._written: set[str] = set()
        self._sampling = threading.Lock()
        self.health: Health = Health()

    def add(self, target: KernelTarget) -> None:
        """Collect a kernel from the next round on.

        Raises:
            InputError: the kernel or its process is collected already, the process does not exist or cannot be read, or the
                kernel belongs to another agent.
        """
        if target.kernel_id in self._kernels:
            raise InputError(f"kernel {target.kernel_id} is collected already")
        if target.agent_id not in {None, self.agent_id}:
            raise InputError(f"kernel {target.kernel_id} belongs to agent {target.agent_id!r}, not to {self.agent_id!r}")
        unreadable = Unreadable()
        try:
            found = unreadable.read("process", find_process, target.pid)
        except psutil.NoSuchProcess:
            raise InputError(f"kernel {target.kernel_id}: no process has the pid {target.pid}") from None
        if found is None:
            reason = unreadable.reasons["process"]
            raise InputError(f"kernel {target.kernel_id}: process {target.pid} cannot be read: {reason}")
        root, _ = found
        for other in self._kernels.values():
            if other.root == root:
                raise InputError(f"pid {target.pid} is collected already, as kernel {other.target.kernel_id}")
        if self._inventory is not None:
            self._inventory.register_kernel(
                KernelRecord(
                    kernel_id=target.kernel_id,
                    session_id=target.session_id,
                    agent_id=self.agent_id,
                    user_id=target.user_id,
                    project_id=target.project_id,
                    started_at=datetime.fromtimestamp(root.create_time(), UTC),
                )
            )
        self._kernels[target.kernel_id] = KernelSampler(target, root=root, agent_id=self.agent_id)

    def remove(self, kernel_id: UUID | str) -> None:
        """Stop collecting a kernel; a kernel that is not collected is ignored.

        Raises:
            InputError: the id is not a UUID.
        """
        kernel = self._kernels.pop(id_text(kernel_id), None)
        if kernel is None:
            return
        target = kernel.target
        if (latest := self._latest) is not None:
            remaining = {key: found for key, found in latest.kernels.items() if key != target.kernel_id}
            self._latest = attrs.evolve(latest, kernels=remaining)
        if self._inventory is not None:
            self._inventory.forget_kernel(target.kernel_id)

    @property
    def kernel_ids(self) -> tuple[str, ...]:
        """The ids of the kernels that are collected."""
        return tuple(self._kernels)

    def samples(self) -> Iterator[ScrapeSample]:
        """Yield the newest samples for Prometheus: name, labels, value; any thread may call this.

        Yields nothing when the last round is older than four intervals: its counters would look like idle kernels.
        """
        latest = self._latest
        if latest is None or time.monotonic() - latest.time_s > FRESH_INTERVALS * self.interval_s:
            return
        for kernel in latest.kernels.values():
            yield from kernel.samples
        yield from device_samples(self.agent_id, latest.node.raw_values)

    @property
    def newest_age_s(self) -> float | None:
        """The seconds since the newest samples were taken, or None before the first round."""
        latest = self._latest
        return None if latest is None else time.monotonic() - latest.time_s

    def problem(self) -> str | None:
        """Return why this collector is not healthy, or None when its last round succeeded at most four intervals ago."""
        return self.health.problem(max_age_s=FRESH_INTERVALS * self.interval_s)

    async def collect(self) -> None:
        """Do one round: sample, write kernels, sessions, the agent and its number of kernels, remove what has ended.

        Raises:
            UnavailableError: the processes of this machine cannot be read.
            StatcoreError: a write failed. The other writes are done, and the exporter has the new samples.
        """
        started_s = time.monotonic()
        failures: dict[FailureKind, Mapping[str, str]] = {}
        try:
            await self._collect(failures)
        except StatcoreError:
            self.health.end_round(duration_s=time.monotonic() - started_s, failures=failures)
            raise
        self.health.end_round(duration_s=time.monotonic() - started_s, failures=failures)

    async def _collect(self, failures: dict[FailureKind, Mapping[str, str]]) -> None:
        kernels = tuple(self._kernels.values())
        unreadable = Unreadable()
        try:
            node, found = await asyncio.to_thread(self._sample, kernels, unreadable)
        except UnavailableError as error:
            failures["machine"] = {"this machine": str(error)}
            raise
        failures |= {"machine": {}, "item": unreadable.reasons}
        present: dict[str, KernelRound] = {}
        for kernel, result in zip(kernels, found, strict=True):
            kernel_id = kernel.target.kernel_id
            if self._kernels.get(kernel_id) is not kernel:
                continue  # removed while it was being sampled
            if result is None:
                _logger.info("kernel %s has ended", kernel_id)
                self.remove(kernel_id)
            else:
                present[kernel_id] = result
        self._latest = _Round(time_s=time.monotonic(), node=node, kernels=present)
        try:
            await self._write(node, {kernel_id: result.values for kernel_id, result in present.items()})
        except StatcoreError as error:
            failures["store"] = {"the store": str(error)}
            raise
        failures["store"] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Do a round every `interval_s` seconds until `stop` is set, then `withdraw`.

        A failed round is logged and counted, and the next one is tried. A cancelled `run` does not withdraw.
        """
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while not stop.is_set():
            with suppress(StatcoreError):  # `collect` has logged and counted it
                await self.collect()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_due(start_s, self.interval_s, loop.time())):
                    await stop.wait()
        try:
            await self.withdraw()
        except StatcoreError as error:
            _logger.warning("cannot remove what agent %s wrote; it will expire by itself: %s", self.agent_id, error)

    async def withdraw(self) -> None:
        """Remove all kernels, and everything that this collector wrote to the store, the agent included.

        Call it at the end of a collector; otherwise what has ended looks alive until it expires.

        Raises:
            StatcoreError: the store cannot be written to. The kernels are removed from this collector nevertheless.
        """
        for kernel_id in self.kernel_ids:
            self.remove(kernel_id)
        self._latest = None
        await self._remove(frozenset(self._written))

    def _sample(
        self, kernels: Sequence[KernelSampler], unreadable: Unreadable
    ) -> tuple[NodeRound, list[KernelRound | None]]:
        with self._sampling:  # the thread of a cancelled round may still be sampling
            try:
                # Sockets are read before processes, so that the process that has a socket open is found as well.
                sockets = unreadable.read("net_rx and net_tx of kernels", read_sockets)
                table = read_process_table(unreadable)
                node = self._node.sample(unreadable)
                memory = node.raw_values.get("mem", {}).get("root")
                capacity = None if memory is None else memory.capacity
                return node, [
                    kernel.sample(table, sockets, node_memory=capacity, unreadable=unreadable) for kernel in kernels
                ]
            except Exception as error:
                message = f"cannot read the processes of this machine: {describe(error)}"
                raise UnavailableError(message, service="psutil") from error

    async def _write(self, node: NodeRound, kernels: Mapping[str, Mapping[str, MetricValue]]) -> None:
        sessions: defaultdict[str, list[Mapping[str, MetricValue]]] = defaultdict(list)
        for kernel_id, values in kernels.items():
            if session_id := self._kernels[kernel_id].target.session_id:
                sessions[session_id].append(values)
        sums = {session_id: sum_kernels(members) for session_id, members in sessions.items()}
        entries = {id_: values for id_, values in {**sums, **kernels}.items() if values}
        gone = self._written - {self.agent_id, *sums, *kernels}
        self._written |= {self.agent_id, *entries}
        results = await asyncio.gather(
            self._call_sink(self._sink.store_kernel_statistics, entries),
            self._call_sink(
                self._sink.store_agent_statistics,
                self.agent_id,
                node=node.node,
                devices=node.devices,
                interval_s=self.interval_s,
            ),
            self._call_sink(self._sink.store_container_count, self.agent_id, len(kernels)),
            self._remove(gone),
            return_exceptions=True,
        )
        for result in results:
            if result is not None:
                raise result

    async def _remove(self, ids: AbstractSet[str]) -> None:
        """Remove entries from the store; what cannot be removed is tried again in the next round."""
        if ids:
            await self._call_sink(self._sink.remove, sorted(ids))
            self._written -= ids

    async def _call_sink(
        self, write: Callable[Arguments, Awaitable[None]], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> None:
        """Call the sink; any error other than `StatcoreError` breaks its contract and becomes a `PluginError`."""
        try:
            await write(*args, **kwargs)
        except StatcoreError:
            raise
        except Exception as error:
            sink = type(self._sink).__name__
            raise PluginError(f"{sink} raised {describe(error)}", plugin=sink) from error
