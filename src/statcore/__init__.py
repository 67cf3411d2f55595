"""statcore: live statistics and utilization of a compute cluster, for the manager that embeds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.errors import (
        AccessDeniedError,
        ClosedError,
        InputError,
        LimitError,
        MalformedEntryError,
        MissingExtraError,
        PartialAnswerError,
        PluginError,
        ProtocolError,
        QueryRejectedError,
        StatcoreError,
        TimedOutError,
        UnavailableError,
        UnsupportedError,
        UntrustedServerError,
    )
    from statcore.model import (
        MatrixResult,
        MetricValue,
        Problem,
        ProblemKind,
        QueryTimeRange,
        Sample,
        Series,
        StatisticsBatch,
        VectorResult,
    )
    from statcore.ports import InventoryPort, MetricQuerierPort, PromQLPort, StatisticsPort, StatisticsSinkPort
    from statcore.queriers import (
        AggregatingMetricQuerier,
        ContainerMetricQuerier,
        ExpressionStrategy,
        LabelMatcher,
        PrometheusMetricQuerier,
        QueryStrategy,
        UtilizationMetricQuerier,
    )
    from statcore.statistics import StatisticsRepositories, StatisticsRepository, StatisticsStatefulSource
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "errors": (
                "AccessDeniedError ClosedError InputError LimitError MalformedEntryError MissingExtraError "
                "PartialAnswerError PluginError ProtocolError QueryRejectedError StatcoreError TimedOutError "
                "UnavailableError UnsupportedError UntrustedServerError"
            ),
            "model": (
                "MatrixResult MetricValue Problem ProblemKind QueryTimeRange Sample Series StatisticsBatch VectorResult"
            ),
            "ports": "InventoryPort MetricQuerierPort PromQLPort StatisticsPort StatisticsSinkPort",
            "queriers": (
                "AggregatingMetricQuerier ContainerMetricQuerier ExpressionStrategy LabelMatcher "
                "PrometheusMetricQuerier QueryStrategy UtilizationMetricQuerier"
            ),
            "statistics": "StatisticsRepositories StatisticsRepository StatisticsStatefulSource",
        },
    )

__all__ = [
    "AccessDeniedError",
    "AggregatingMetricQuerier",
    "ClosedError",
    "ContainerMetricQuerier",
    "ExpressionStrategy",
    "InputError",
    "InventoryPort",
    "LabelMatcher",
    "LimitError",
    "MalformedEntryError",
    "MatrixResult",
    "MetricQuerierPort",
    "MetricValue",
    "MissingExtraError",
    "PartialAnswerError",
    "PluginError",
    "Problem",
    "ProblemKind",
    "PromQLPort",
    "PrometheusMetricQuerier",
    "ProtocolError",
    "QueryRejectedError",
    "QueryStrategy",
    "QueryTimeRange",
    "Sample",
    "Series",
    "StatcoreError",
    "StatisticsBatch",
    "StatisticsPort",
    "StatisticsRepositories",
    "StatisticsRepository",
    "StatisticsSinkPort",
    "StatisticsStatefulSource",
    "TimedOutError",
    "UnavailableError",
    "UnsupportedError",
    "UntrustedServerError",
    "UtilizationMetricQuerier",
    "VectorResult",
]
