"""Statistics of processes: samples of kernels and of their node, written through a sink and exported to Prometheus."""

from statcore_collector.collector import Collector
from statcore_collector.exporter import Exporter, start_exporter
from statcore_collector.kernel import KernelTarget

__all__ = ["Collector", "Exporter", "KernelTarget", "start_exporter"]
