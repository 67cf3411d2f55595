"""Kernels: the target to collect, its sampler, and what one round of collection finds of a kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import attrs
import psutil
from attrs.converters import optional

from statcore.errors import InputError
from statcore.model import MetricValue, id_text
from statcore.model.text import check_text
from statcore.ports import ScrapeSample
from statcore.queriers.container import UNKNOWN_OWNER
from statcore_collector.failures import Unreadable
from statcore_collector.metric import CORE_MS_PER_S, ObjectTracker, RawValue
from statcore_collector.process_tree import ProcessSample, ProcessTable, ProcessTree, TreeSample
from statcore_collector.series import container_samples, process_samples
from statcore_collector.tcp_traffic import SocketTable, TreeTraffic, open_inodes


def _pid(value: int) -> int:
    if not isinstance(cast("object", value), int) or value <= 0:
        raise InputError(f"pid must be a whole number above zero, not {value!r:.100}")
    return value


def _agent(value: str | None) -> str | None:
    return None if value is None else check_text(value, what="agent_id")


@attrs.frozen(kw_only=True)
class KernelTarget:
    """A kernel to collect: the process `pid` with all its descendants, and its owners.

    Args:
        pid: the root process.
        kernel_id, session_id, user_id, project_id: UUIDs, or their text; kept as canonical text.
        agent_id: the agent that runs the kernel; None means the collector's agent.

    Raises:
        InputError: an id is not a UUID, the agent id is not text, or the pid is not a whole number above zero.
    """

    pid: int = attrs.field(converter=_pid)
    kernel_id: str = attrs.field(converter=id_text)
    session_id: str | None = attrs.field(default=None, converter=optional(id_text))
    user_id: str | None = attrs.field(default=None, converter=optional(id_text))
    project_id: str | None = attrs.field(default=None, converter=optional(id_text))
    agent_id: str | None = attrs.field(default=None, converter=_agent)


@attrs.frozen(kw_only=True)
class KernelRound:
    """What one round found of a kernel; both fields are empty when nothing of it can be read.

    Args:
        values: the values for the store, by metric.
        samples: the samples for Prometheus.
    """

    values: Mapping[str, MetricValue]
    samples: tuple[ScrapeSample, ...]


class KernelSampler:
    """Samples one kernel, round after round.

    Args:
        target: the kernel.
        root: the process at the top of its tree.
        agent_id: the collector's agent.
    """

    def __init__(self, target: KernelTarget, *, root: psutil.Process, agent_id: str) -> None:
        """Start before the first round."""
        self.target = target
        self.root = root
        self._owners = {
            "agent_id": agent_id,
            "kernel_id": target.kernel_id,
            "session_id": target.session_id or UNKNOWN_OWNER,
            "user_id": target.user_id or UNKNOWN_OWNER,
            "project_id": target.project_id or UNKNOWN_OWNER,
        }
        self._tree = ProcessTree(root)
        self._traffic = TreeTraffic()
        self._tracker = ObjectTracker()

    def sample(
        self, table: ProcessTable, sockets: SocketTable | None, *, node_memory: float | None, unreadable: Unreadable
    ) -> KernelRound | None:
        """Sample the kernel.

        Args:
            table: the processes of this machine.
            sockets: the sockets of this network namespace, or None when they cannot be read.
            node_memory: the memory of the node in bytes, which is the capacity of `mem`, or None if it is not known.
            unreadable: receives the items of this kernel that cannot be read.

        Returns:
            What was found, or None when the last process of the kernel has ended.
        """
        of_kernel = Unreadable()
        tree = self._tree.sample(table, of_kernel)
        if tree is None:
            return None
        received, sent = self._count_traffic(tree, sockets, of_kernel)
        unreadable.add(f"kernel {self.target.kernel_id}", of_kernel)
        raw_values = {
            "cpu_util": _raw_value(tree.cpu_ms, CORE_MS_PER_S),
            "cpu_used": _raw_value(tree.cpu_ms),
            "mem": _raw_value(tree.memory, node_memory),
            "io_read": _raw_value(tree.io_read),
            "io_write": _raw_value(tree.io_write),
            "net_rx": _raw_value(received),
            "net_tx": _raw_value(sent),
        }
        known = {metric: raw for metric, raw in raw_values.items() if raw is not None}
        return KernelRound(
            values=self._tracker.observe(tree.time_s, known),
            samples=(*container_samples(self._owners, known), *self._process_samples(tree)),
        )

    def _count_traffic(
        self, tree: TreeSample, sockets: SocketTable | None, unreadable: Unreadable
    ) -> tuple[int | None, int | None]:
        if sockets is None or not tree.processes:
            return None, None
        inodes = unreadable.read("net_rx and net_tx", open_inodes, tree.processes, namespace=sockets.namespace)
        return (None, None) if inodes is None else self._traffic.update(sockets, inodes)

    def _process_samples(self, tree: TreeSample) -> Iterable[ScrapeSample]:
        for process, sample in tree.processes.items():
            yield from process_samples(self._owners, process.pid, _process_values(sample))


def _process_values(sample: ProcessSample) -> dict[str, RawValue]:
    read, written = sample.io or (None, None)
    raw_values = {
        "cpu_util": _raw_value(sample.cpu_ms),
        "mem": _raw_value(sample.memory),
        "io_read": _raw_value(read),
        "io_write": _raw_value(written),
    }
    return {metric: raw for metric, raw in raw_values.items() if raw is not None}


def _raw_value(value: float | None, capacity: float | None = None) -> RawValue | None:
    return None if value is None else RawValue(value, capacity)
