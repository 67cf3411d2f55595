"""Model: frozen values that all other packages use. It has no I/O and no clock, and knows no store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.model.batch import Column, StatisticsBatch, StatisticsColumns
    from statcore.model.inventory import EndpointRecord, KernelRecord, Page, ReplicaRecord, SessionRecord
    from statcore.model.numbers import decimal_text, finite_number, format_sample_value, percent_text
    from statcore.model.results import MatrixResult, MetricResponse, QueryData, Sample, Series, VectorResult
    from statcore.model.statistics import (
        UNBOUNDED_METRICS,
        MetricValue,
        Problem,
        ProblemKind,
        has_bound,
        unit_hint,
    )
    from statcore.model.text import AgentId, EndpointId, KernelId, ReplicaId, SessionId, id_text
    from statcore.model.time import QueryTimeRange, format_duration, parse_duration, parse_time
    from statcore.model.validation import (
        NOT_A_SETTING,
        check_count,
        check_label_value,
        check_line,
        check_mapping,
        check_one_of,
        check_seconds,
        check_truth,
        check_whole_number,
        from_settings,
        optional_uuid,
        read_only,
    )
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "batch": "Column StatisticsBatch StatisticsColumns",
            "inventory": "EndpointRecord KernelRecord Page ReplicaRecord SessionRecord",
            "numbers": "decimal_text finite_number format_sample_value percent_text",
            "results": "MatrixResult MetricResponse QueryData Sample Series VectorResult",
            "statistics": "UNBOUNDED_METRICS MetricValue Problem ProblemKind has_bound unit_hint",
            "text": "AgentId EndpointId KernelId ReplicaId SessionId id_text",
            "time": "QueryTimeRange format_duration parse_duration parse_time",
            "validation": (
                "NOT_A_SETTING check_count check_label_value check_line check_mapping check_one_of check_seconds "
                "check_truth check_whole_number from_settings optional_uuid read_only"
            ),
        },
    )

__all__ = [
    "NOT_A_SETTING",
    "UNBOUNDED_METRICS",
    "AgentId",
    "Column",
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
    "StatisticsColumns",
    "VectorResult",
    "check_count",
    "check_label_value",
    "check_line",
    "check_mapping",
    "check_one_of",
    "check_seconds",
    "check_truth",
    "check_whole_number",
    "decimal_text",
    "finite_number",
    "format_duration",
    "format_sample_value",
    "from_settings",
    "has_bound",
    "id_text",
    "optional_uuid",
    "parse_duration",
    "parse_time",
    "percent_text",
    "read_only",
    "unit_hint",
]
