"""One kernel over time: its raw readings, what is stored of them, and what is exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import psutil

from statcore.model import MetricValue
from statcore.ports import ScrapeSample
from statcore_collector.kernel import KernelTarget
from statcore_collector.metric import CORE_MS_PER_S, ObjectTracker, Reading
from statcore_collector.process_tree import ProcessSample, ProcessTable, ProcessTree, TreeSample
from statcore_collector.readable import Unreadable
from statcore_collector.series import container_samples, process_samples
from statcore_collector.sock_diag import SocketTable
from statcore_collector.tree_traffic import TreeTraffic, open_inodes


@attrs.frozen(kw_only=True)
class KernelRound:
    """What one round found of a kernel: for the store, and for Prometheus; nothing when none of it can be read."""

    values: Mapping[str, MetricValue]
    samples: tuple[ScrapeSample, ...]


class KernelSampler:
    """Samples one kernel, round after round."""

    def __init__(self, target: KernelTarget, *, root: psutil.Process, agent_id: str) -> None:
        """Follow the process tree below `root`."""
        self.target = target
        self._agent_id = agent_id
        self.root = root
        self._tree = ProcessTree(root)
        self._traffic = TreeTraffic()
        self._tracker = ObjectTracker()

    def sample(
        self, table: ProcessTable, sockets: SocketTable | None, *, node_memory: float | None, unreadable: Unreadable
    ) -> KernelRound | None:
        """Sample the kernel.

        Args:
            table: the processes of this machine.
            sockets: the sockets of this network namespace, or None where they cannot be read.
            node_memory: the capacity of `mem` in bytes.
            unreadable: is told what cannot be read of this kernel.

        Returns:
            None when the last of its processes has ended.
        """
        of_kernel = Unreadable()
        tree = self._tree.sample(table, of_kernel)
        if tree is None:
            return None
        received, sent = self._count_traffic(tree, sockets, of_kernel)
        unreadable.add(f"kernel {self.target.kernel_id}", of_kernel)
        readings = {
            "cpu_util": _reading(tree.cpu_ms, CORE_MS_PER_S),
            "cpu_used": _reading(tree.cpu_ms),
            "mem": _reading(tree.memory, node_memory),
            "io_read": _reading(tree.io_read),
            "io_write": _reading(tree.io_write),
            "net_rx": _reading(received),
            "net_tx": _reading(sent),
        }
        known = {metric: reading for metric, reading in readings.items() if reading is not None}
        return KernelRound(
            values=self._tracker.observe(tree.time_s, known),
            samples=(*container_samples(self.target, self._agent_id, known), *self._process_samples(tree)),
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
            yield from process_samples(self.target, self._agent_id, process.pid, _process_readings(sample))


def _process_readings(sample: ProcessSample) -> dict[str, Reading]:
    read, written = sample.io or (None, None)
    readings = {
        "cpu_util": _reading(sample.cpu_ms),
        "mem": _reading(sample.memory),
        "io_read": _reading(read),
        "io_write": _reading(written),
    }
    return {metric: reading for metric, reading in readings.items() if reading is not None}


def _reading(value: float | None, capacity: float | None = None) -> Reading | None:
    return None if value is None else Reading(value, capacity)
