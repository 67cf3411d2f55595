"""Statistics and utilization over GraphQL: per-request loaders and their helpers, which any GraphQL framework can use.

The schema, on Strawberry, is in `statcore_graphql.schema`; nothing here imports a framework before it is used.
"""

from statcore_graphql.context import GraphQueryContext
from statcore_graphql.loaders import DataLoaderManager, Loader, RequestLoaders
from statcore_graphql.outcomes import Outcomes
from statcore_graphql.presets import PresetMetrics
from statcore_graphql.statistics import AgentStatistics, EndpointStatistics, KernelStatistics, ReplicaStatistics
from statcore_graphql.utilization import UtilizationMetrics

__all__ = [
    "AgentStatistics",
    "DataLoaderManager",
    "EndpointStatistics",
    "GraphQueryContext",
    "KernelStatistics",
    "Loader",
    "Outcomes",
    "PresetMetrics",
    "ReplicaStatistics",
    "RequestLoaders",
    "UtilizationMetrics",
]
