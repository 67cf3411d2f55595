"""The names that managers already use: each is where the contract says, and takes what it says."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
from graphql import parse, validate

from statcore.model import MatrixResult
from statcore.queriers import QueryStrategy
from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema
from statcore_prometheus import PrometheusClient, PrometheusQueryRangeResponse

CONTRACT: list[tuple[str, str, list[str]]] = [
    (
        "statcore.statistics",
        "StatisticsStatefulSource",
        [
            "read_kernel_statistics_batch(session_ids_or_kernel_ids)",
            "read_inference_metrics_batch(session_ids)",
            "read_endpoint_statistics_batch(endpoint_ids)",
            "read_replica_statistics_batch(endpoint_replica_pairs)",
        ],
    ),
    (
        "statcore.statistics",
        "StatisticsRepository",
        [
            "get_kernel_statistics_batch(session_ids)",
            "get_inference_metrics_batch(session_ids)",
            "get_endpoint_statistics_batch(endpoint_ids)",
            "get_replica_statistics_batch(endpoint_replica_ids)",
        ],
    ),
    ("statcore.statistics", "ClientStatistics", ["valkey_stat", "valkey_live"]),
    ("statcore.statistics", "StatisticsRepositories", ["create(store, valkey_stat, valkey_live, kernels)", "repository"]),
    (
        "statcore_graphql",
        "KernelStatistics",
        ["batch_load_by_kernel(ctx, session_ids)", "batch_load_inference_metrics_by_kernel(ctx, session_ids)"],
    ),
    ("statcore_graphql", "EndpointStatistics", ["batch_load_by_endpoint(ctx, endpoint_ids)"]),
    ("statcore_graphql", "GraphQueryContext", ["statistics_repository", "loaders"]),
    ("statcore_graphql", "DataLoaderManager", ["get_loader(ctx, name)"]),
    ("statcore.consumers", "DeploymentRepository", ["source", "decide_replicas(deployments, now)"]),
    ("statcore.consumers", "ScheduleRepository", ["source", "autoscale(rules, now)"]),
    ("statcore.queriers", "PrometheusMetricQuerier", ["name()", "labels()"]),
    ("statcore.queriers", "AggregatingMetricQuerier", ["name()", "labels()", "group_by_labels()"]),
    ("statcore.queriers", "UtilizationMetricQuerier", ["name()", "labels()", "group_by_labels()", "query_strategy()"]),
    ("statcore.queriers", "QueryStrategy", ["GAUGE", "RATE", "RATE_NORMALIZED"]),
    ("statcore.model", "QueryTimeRange", []),
    ("statcore.queriers", "ContainerMetricQuerier", []),
    (
        "statcore_prometheus",
        "PrometheusClient",
        ["query_utilization(querier, time_range, rate_interval)", "query_available_container_metrics()"],
    ),
    ("statcore_prometheus", "PrometheusQueryRangeResponse", ["status", "data"]),
    ("statcore.model", "QueryData", ["result_type", "result"]),
    ("statcore.model", "MetricResponse", ["metric", "values"]),
    (
        "statcore.services",
        "ContainerUtilizationMetricService",
        ["fetch_metric(action)", "query_metric(action)", "query_metadata(action)"],
    ),
    ("statcore.services", "ContainerMetricAction", []),
    ("statcore.services", "ContainerMetricActionResult", []),
    ("statcore.services", "ContainerMetricOptionalLabel", []),
    ("statcore.services", "ContainerMetricResult", []),
    ("statcore.services", "ContainerMetricResponseInfo", []),
    ("statcore.services", "MetricResultValue", []),
    (
        "statcore.ports",
        "StatisticsPort",
        [
            "fetch_kernel_statistics(ids)",
            "fetch_inference_metrics(session_ids)",
            "fetch_endpoint_statistics(endpoint_ids)",
            "fetch_replica_statistics(pairs)",
            "fetch_agent_statistics(agent_ids)",
            "ping()",
            "aclose()",
        ],
    ),
    (
        "statcore.ports",
        "MetricQuerierPort",
        [
            "query_utilization(querier, time_range, rate_interval)",
            "query_utilization_now(querier, time, rate_interval)",
            "label_values(label, match, time_range)",
            "series(match, time_range)",
        ],
    ),
]


def _takes(function: Any) -> list[str]:
    return [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    ]


@pytest.mark.parametrize(("module", "name", "members"), CONTRACT, ids=[name for _, name, _ in CONTRACT])
def test_a_name_of_the_contract_is_where_it_says(module: str, name: str, members: list[str]) -> None:
    """Its methods take arguments of the names that callers give them by."""
    found = getattr(importlib.import_module(module), name)
    for member in members:
        method, parenthesis, arguments = member.rstrip(")").partition("(")
        assert hasattr(found, method), member
        if parenthesis:
            assert [word for word in arguments.split(", ") if word] == _takes(getattr(found, method)), member


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("statcore.model", "QueryTimeRange", "start end step"),
        ("statcore.statistics", "ClientStatistics", "valkey_stat valkey_live timeout_s"),
        (
            "statcore.queriers",
            "ContainerMetricQuerier",
            "metric_name value_type kernel_id agent_id session_id user_id project_id",
        ),
    ],
)
def test_values_of_the_contract_take_its_keywords(module: str, name: str, arguments: str) -> None:
    """The parameters are keyword-only, and there are no others."""
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert dict.fromkeys(arguments.split(), inspect.Parameter.KEYWORD_ONLY) == {
        parameter.name: parameter.kind for parameter in parameters.values()
    }


def test_texts_of_the_contract_are_known() -> None:
    """Strategies by their text, the loader by its name, and the proposal's query as a valid one."""
    assert ["gauge", "rate", "rate_normalized"] == list(QueryStrategy)
    DataLoaderManager().check(["KernelStatistics.inference_metrics_by_kernel"])
    query = "{ compute_session_list { items { inference_metrics } } }"
    assert [] == validate(build_schema(DataLoaderManager())._schema, parse(query))


def test_the_client_takes_rates_over_five_minutes_by_default() -> None:
    """The window is keyword-only; the answer's type is the alias that the contract names."""
    window = inspect.signature(PrometheusClient.query_utilization).parameters["rate_interval"]
    assert (window.KEYWORD_ONLY, "5m") == (window.kind, window.default)
    assert PrometheusQueryRangeResponse is MatrixResult
