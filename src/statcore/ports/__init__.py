"""The Protocols that adapters implement: one module for a kind of adapter; the docstring is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.ports.diagnosis import DiagnosisPort, ServerFacts, ServerFactsPort, ServerState, Topology, TopologyPort
    from statcore.ports.inventory import InventoryPort, KernelInventoryPort, OwnerInventoryPort
    from statcore.ports.metrics import MetricQuerierPort, TenantPort, UtilizationTextPort
    from statcore.ports.promql import PromQLPort, PromQLTextPort
    from statcore.ports.sink import InventorySinkPort, ScrapeSample, ScrapeSinkPort, StatisticsSinkPort
    from statcore.ports.statistics import ColumnarStatisticsPort, DatedStatisticsPort, KernelStatisticsPort, StatisticsPort
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "diagnosis": "DiagnosisPort ServerFacts ServerFactsPort ServerState Topology TopologyPort",
            "inventory": "InventoryPort KernelInventoryPort OwnerInventoryPort",
            "metrics": "MetricQuerierPort TenantPort UtilizationTextPort",
            "promql": "PromQLPort PromQLTextPort",
            "sink": "InventorySinkPort ScrapeSample ScrapeSinkPort StatisticsSinkPort",
            "statistics": "ColumnarStatisticsPort DatedStatisticsPort KernelStatisticsPort StatisticsPort",
        },
    )

__all__ = [
    "ColumnarStatisticsPort",
    "DatedStatisticsPort",
    "DiagnosisPort",
    "InventoryPort",
    "InventorySinkPort",
    "KernelInventoryPort",
    "KernelStatisticsPort",
    "MetricQuerierPort",
    "OwnerInventoryPort",
    "PromQLPort",
    "PromQLTextPort",
    "ScrapeSample",
    "ScrapeSinkPort",
    "ServerFacts",
    "ServerFactsPort",
    "ServerState",
    "StatisticsPort",
    "StatisticsSinkPort",
    "TenantPort",
    "Topology",
    "TopologyPort",
    "UtilizationTextPort",
]
