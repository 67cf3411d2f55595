"""Frozen values that every other part speaks in: no I/O, no clock, no knowledge of any store."""

from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.duration import format_duration, parse_duration
from statcore.model.ids import AgentId, EndpointId, KernelId, ReplicaId, SessionId, id_text
from statcore.model.matrix import MatrixResult, Series
from statcore.model.response import MetricResponse, QueryData, format_sample_value
from statcore.model.statistics import MetricValue, finite_number
from statcore.model.time_range import QueryTimeRange, parse_time
from statcore.model.vector import Sample, VectorResult

__all__ = [
    "AgentId",
    "EndpointId",
    "KernelId",
    "MatrixResult",
    "MetricResponse",
    "MetricValue",
    "Problem",
    "ProblemKind",
    "QueryData",
    "QueryTimeRange",
    "ReplicaId",
    "Sample",
    "Series",
    "SessionId",
    "StatisticsBatch",
    "VectorResult",
    "finite_number",
    "format_duration",
    "format_sample_value",
    "id_text",
    "parse_duration",
    "parse_time",
]
