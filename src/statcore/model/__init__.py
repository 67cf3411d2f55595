"""Frozen values that every other part speaks in: no I/O, no clock, no knowledge of any store."""

from statcore.model.batch import Problem, ProblemKind, StatisticsBatch
from statcore.model.duration import format_duration, parse_duration
from statcore.model.ids import AgentId, EndpointId, KernelId, ReplicaId, SessionId, id_text
from statcore.model.inventory import EndpointRecord, KernelRecord, Page, ReplicaRecord, SessionRecord
from statcore.model.matrix import MatrixResult, Series
from statcore.model.number_text import decimal_text, percent_text
from statcore.model.response import MetricResponse, QueryData, format_sample_value
from statcore.model.statistics import MetricValue, finite_number
from statcore.model.time_range import QueryTimeRange, parse_time
from statcore.model.units import UNBOUNDED_METRICS, has_bound, unit_hint
from statcore.model.vector import Sample, VectorResult

__all__ = [
    "UNBOUNDED_METRICS",
    "AgentId",
    "EndpointId",
    "EndpointRecord",
    "KernelId",
    "KernelRecord",
    "MatrixResult",
    "MetricResponse",
    "MetricValue",
    "Page",
    "Problem",
    "ProblemKind",
    "QueryData",
    "QueryTimeRange",
    "ReplicaId",
    "ReplicaRecord",
    "Sample",
    "Series",
    "SessionId",
    "SessionRecord",
    "StatisticsBatch",
    "VectorResult",
    "decimal_text",
    "finite_number",
    "format_duration",
    "format_sample_value",
    "has_bound",
    "id_text",
    "parse_duration",
    "parse_time",
    "percent_text",
    "unit_hint",
]
