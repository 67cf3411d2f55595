"""Samples process trees as kernels, and their node; writes statistics through a sink, exports samples to Prometheus."""

from statcore_collector.collector import Collector
from statcore_collector.exporter import Exporter, start_exporter
from statcore_collector.kernel import KernelTarget

__all__ = ["Collector", "Exporter", "KernelTarget", "start_exporter"]
