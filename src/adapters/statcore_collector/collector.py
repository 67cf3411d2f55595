"""Rounds of collection: sample the kernels and the node, write them to the store, keep them for the exporter."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

import attrs
import psutil

from statcore.errors import InputError, StatcoreError, UnavailableError
from statcore.model import MetricValue, id_text
from statcore.model.inventory import KernelRecord
from statcore.model.text import check_text
from statcore.ports import InventorySinkPort, ScrapeSample, StatisticsSinkPort
from statcore_collector.kernel import KernelTarget
from statcore_collector.kernel_sampler import KernelRound, KernelSampler
from statcore_collector.metric import sum_kernels
from statcore_collector.node import NodeRound, NodeSampler
from statcore_collector.process_tree import read_process_table
from statcore_collector.series import device_samples
from statcore_collector.sock_diag import SocketTable, read_sockets

_logger = logging.getLogger(__name__)

_FRESH_INTERVALS: Final = 4
"""Agent statistics expire in the store after as many intervals, and what is exported grows stale then as well."""


@attrs.frozen(kw_only=True)
class _Round:
    time_s: float
    node: NodeRound
    kernels: Mapping[str, KernelRound]


def next_due(start_s: float, interval_s: float, now_s: float) -> float:
    """Return the next time after `now_s` on the grid that begins at `start_s`: rounds missed are left out, not made up."""
    return start_s + (math.floor((now_s - start_s) / interval_s) + 1) * interval_s


class Collector:
    """Samples kernels and their node, and writes what it finds through a sink.

    Every method but `samples` is called on one event loop; sampling itself runs in a thread. The sink stays the caller's
    to close.

    A kernel that is removed, or whose last process has ended, is gone from `samples` and the inventory at once and from
    the store with the next round. A session is stored as the sum over its kernels here: collectors of two agents that run
    kernels of one session overwrite each other's sum.
    """

    def __init__(
        self,
        sink: StatisticsSinkPort,
        *,
        agent_id: str,
        interval_s: float = 5.0,
        inventory: InventorySinkPort | None = None,
    ) -> None:
        """Collect for an agent every `interval_s` seconds, once `run` is awaited; `inventory` is told of its kernels.

        Raises:
            InputError: the interval is not above zero, or the agent id is empty or not text.
        """
        if not (math.isfinite(interval_s) and interval_s > 0):
            raise InputError(f"interval_s must be above zero, not {interval_s}")
        if not check_text(agent_id, what="agent_id"):
            raise InputError("agent_id is empty")
        self.agent_id = agent_id
        self.interval_s = interval_s
        self._sink = sink
        self._inventory = inventory
        self._kernels: dict[str, KernelSampler] = {}
        self._node = NodeSampler()
        self._latest: _Round | None = None
        self._gone: set[str] = set()
        self._sampling = threading.Lock()
        self._sockets_told = False

    def add(self, target: KernelTarget) -> None:
        """Collect a kernel from the next round on.

        Raises:
            InputError: it or its process is being collected already, the process does not exist, or it is another agent's.
        """
        if target.kernel_id in self._kernels:
            raise InputError(f"kernel {target.kernel_id} is being collected already")
        if target.agent_id not in {None, self.agent_id}:
            raise InputError(f"kernel {target.kernel_id} is of agent {target.agent_id!r}, not of {self.agent_id!r}")
        try:
            root = psutil.Process(target.pid)
        except psutil.NoSuchProcess:
            raise InputError(f"kernel {target.kernel_id}: no process has the pid {target.pid}") from None
        for other in self._kernels.values():
            if other.root == root:
                raise InputError(f"pid {target.pid} is being collected already, as kernel {other.target.kernel_id}")
        if self._inventory is not None:
            self._inventory.register_kernel(
                KernelRecord(
                    kernel_id=target.kernel_id,
                    session_id=target.session_id,
                    agent_id=self.agent_id,
                    user_id=target.user_id,
                    project_id=target.project_id,
                )
            )
        self._kernels[target.kernel_id] = KernelSampler(target, root=root, agent_id=self.agent_id)

    def remove(self, kernel_id: UUID | str) -> None:
        """Collect a kernel no more; one that is not being collected is ignored."""
        kernel = self._kernels.pop(id_text(kernel_id), None)
        if kernel is None:
            return
        target = kernel.target
        self._gone |= {target.kernel_id} | ({target.session_id} if target.session_id else set())
        if (latest := self._latest) is not None:
            left = {key: found for key, found in latest.kernels.items() if key != target.kernel_id}
            self._latest = attrs.evolve(latest, kernels=left)
        if self._inventory is not None:
            self._inventory.forget_kernel(target.kernel_id)

    @property
    def kernel_ids(self) -> tuple[str, ...]:
        """The kernels that are being collected."""
        return tuple(self._kernels)

    def samples(self) -> Iterator[ScrapeSample]:
        """Return what Prometheus is to see now: name, labels, value; callable from any thread.

        Nothing once the last round is older than four intervals: counters that stand still would read as idle.
        """
        latest = self._latest
        if latest is None or time.monotonic() - latest.time_s > _FRESH_INTERVALS * self.interval_s:
            return
        for kernel in latest.kernels.values():
            yield from kernel.samples
        yield from device_samples(self.agent_id, latest.node.readings.devices)

    async def collect(self) -> None:
        """Do one round: sample, then write kernels, sessions, the agent and its number of kernels, and forget what is gone.

        Raises:
            UnavailableError: the processes of this machine cannot be read.
            StatcoreError: the first of the writes that failed; the others were done, and the exporter is up to date.
        """
        kernels = tuple(self._kernels.values())
        node, found = await asyncio.to_thread(self._sample, kernels)
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
        await self._write(node, {kernel_id: result.values for kernel_id, result in present.items()})

    async def run(self, stop: asyncio.Event) -> None:
        """Do rounds on a steady grid until `stop` is set; a round that fails is logged, and the next one goes on."""
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while not stop.is_set():
            try:
                await self.collect()
            except StatcoreError as error:
                _logger.warning("this round of agent %s failed: %s", self.agent_id, error)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_due(start_s, self.interval_s, loop.time())):
                    await stop.wait()
        try:
            await self._forget_gone()
        except StatcoreError as error:
            _logger.warning("kernels that were removed stay in the store until they expire: %s", error)

    def _sample(self, kernels: Sequence[KernelSampler]) -> tuple[NodeRound, list[KernelRound | None]]:
        with self._sampling:  # a cancelled round may still be at it
            try:
                table = read_process_table()
                sockets = self._read_sockets()
                node = self._node.sample()
                memory = node.readings.node.get("mem")
                capacity = None if memory is None else memory.capacity
                return node, [kernel.sample(table, sockets, node_memory=capacity) for kernel in kernels]
            except (psutil.Error, OSError) as error:
                raise UnavailableError(f"cannot read the processes of this machine: {error}", service="psutil") from error

    def _read_sockets(self) -> SocketTable | None:
        try:
            return read_sockets()
        except OSError as error:
            if not self._sockets_told:
                _logger.warning("no traffic of kernels, because sockets cannot be read: %s", error)
                self._sockets_told = True
            return None

    async def _write(self, node: NodeRound, kernels: Mapping[str, Mapping[str, MetricValue]]) -> None:
        sessions: defaultdict[str, list[Mapping[str, MetricValue]]] = defaultdict(list)
        for kernel_id, values in kernels.items():
            if session_id := self._kernels[kernel_id].target.session_id:
                sessions[session_id].append(values)
        sums = {session_id: sum_kernels(members) for session_id, members in sessions.items()}
        results = await asyncio.gather(
            self._sink.store_kernel_statistics({**sums, **kernels}),
            self._sink.store_agent_statistics(
                self.agent_id, node=node.node, devices=node.devices, interval_s=self.interval_s
            ),
            self._sink.store_container_count(self.agent_id, len(kernels)),
            self._forget_gone(),
            return_exceptions=True,
        )
        for result in results:
            if result is not None:
                raise result

    async def _forget_gone(self) -> None:
        targets = [kernel.target for kernel in self._kernels.values()]
        gone = self._gone - {target.kernel_id for target in targets} - {target.session_id for target in targets}
        self._gone = set()
        if not gone:
            return
        try:
            await self._sink.remove(sorted(gone))
        except BaseException:
            self._gone |= gone
            raise
