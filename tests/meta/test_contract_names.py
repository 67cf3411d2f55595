"""What managers already use, beyond the names and parameters that `tests/e2e/outside_project` has frozen."""

from __future__ import annotations

import importlib
import inspect

import pytest
from graphql import parse, validate

from statcore.model import MatrixResult
from statcore.queriers import QueryStrategy
from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema
from statcore_prometheus import PrometheusClient, PrometheusQueryRangeResponse


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
