"""Statistics and utilization over GraphQL: loaders for one request, which any GraphQL framework can use.

The schema for Strawberry is in `statcore_graphql.schema`. Importing this package imports no framework.
"""

from statcore_graphql.batch_loader import BatchLoader
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.loaders import DataLoaderManager, Loader
from statcore_graphql.outcomes import Outcomes
from statcore_graphql.presets import PresetMetrics
from statcore_graphql.request_loaders import RequestLoaders
from statcore_graphql.statistics import AgentStatistics, EndpointStatistics, KernelStatistics, ReplicaStatistics
from statcore_graphql.utilization import UtilizationMetrics

__all__ = [
    "AgentStatistics",
    "BatchLoader",
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
