"""What the querier of model servers asks, and what statcore makes of the class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore import InputError
from statcore.plugins import QuerierSpec
from statcore.plugins.fields import FieldType
from statcore.plugins.querier_kinds import build_querier
from statcore.promql import render, utilization_query
from statcore.queriers import coalesce
from statcore.testing.conformance import QuerierConformance
from statcore_vllm import METRICS, InferenceMetricName, InferenceMetricQuerier
from statcore_vllm.plugin import statcore_queriers

BY = "by (instance,model_name)"
BY_LE = "by (instance,le,model_name)"
OF = 'model_name="m",instance="a:8000"'
EXPECTED = {
    "requests_running": f"sum {BY}(vllm:num_requests_running{{{OF}}})",
    "requests_waiting": f"sum {BY}(vllm:num_requests_waiting{{{OF}}})",
    "requests_succeeded": f'sum {BY}(rate(vllm:request_success_total{{finished_reason!~"abort|error",{OF}}}[5m]))',
    "kv_cache_usage": f"avg {BY}(vllm:kv_cache_usage_perc{{{OF}}})",
    "prompt_tokens": f"sum {BY}(rate(vllm:prompt_tokens_total{{{OF}}}[5m]))",
    "generation_tokens": f"sum {BY}(rate(vllm:generation_tokens_total{{{OF}}}[5m]))",
    "time_to_first_token": "histogram_quantile(0.95, "
    f"sum {BY_LE}(rate(vllm:time_to_first_token_seconds_bucket{{{OF}}}[5m])))",
    "inter_token_latency": "histogram_quantile(0.95, "
    f"sum {BY_LE}(rate(vllm:inter_token_latency_seconds_bucket{{{OF}}}[5m])))",
    "request_latency": f"histogram_quantile(0.95, sum {BY_LE}(rate(vllm:e2e_request_latency_seconds_bucket{{{OF}}}[5m])))",
}
README = Path(__file__).parent.parent / "README.md"
TIMES = ("time_to_first_token", "inter_token_latency", "request_latency")


def text_of(querier: InferenceMetricQuerier, **settings: Any) -> str:
    """Return the PromQL of a querier."""
    return render(utilization_query(querier, **settings))


@pytest.mark.parametrize("metric", METRICS)
def test_the_promql_of_every_metric(metric: InferenceMetricName) -> None:
    """A query without a model and a server lacks only their matchers."""
    assert EXPECTED[metric] == text_of(InferenceMetricQuerier(metric_name=metric, model_name="m", server="a:8000"))
    without = EXPECTED[metric].replace(f",{OF}", "").replace(f"{{{OF}}}", "")
    assert without == text_of(InferenceMetricQuerier(metric_name=metric))


@pytest.mark.parametrize("metric", METRICS)
@given(quantile=st.floats(0, 1) | st.sampled_from([0, 1]))
def test_times_have_a_quantile(metric: InferenceMetricName, quantile: float) -> None:
    """Any from 0 to 1; what is no time leaves it aside."""
    text = text_of(InferenceMetricQuerier(metric_name=metric, quantile=quantile), rate_interval="90s")
    plain = text_of(InferenceMetricQuerier(metric_name=metric), rate_interval="90s")
    if metric in TIMES:
        assert quantile == float(text.removeprefix("histogram_quantile(").partition(",")[0])
        assert plain.partition(",")[2] == text.partition(",")[2]
        assert "[90s]" in text
    else:
        assert plain == text


def test_the_table_has_the_names_of_the_type() -> None:
    """Names in the type, in the table and in this test are the same, in the same order."""
    assert list(get_args(InferenceMetricName)) == list(METRICS) == list(EXPECTED)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metric_name": "ttft"}, "metric_name must be one of requests_running, .* not 'ttft'"),
        ({"metric_name": []}, "metric_name must be one of"),
        ({"model_name": ""}, "model_name is empty"),
        ({"server": ""}, "server is empty"),
        ({"server": "\ud800"}, "lone surrogate"),
        ({"server": 8000}, "must be text, not int"),
        *(
            ({"quantile": quantile}, "quantile must be from 0 to 1")
            for quantile in (-0.1, 1.1, 95, float("nan"), "0.5", True, None)
        ),
    ],
)
def test_bad_input_is_refused_when_it_is_given(values: dict[str, Any], message: str) -> None:
    """The constructor raises, for the quantile also where the metric ignores it."""
    with pytest.raises(InputError, match=message):
        InferenceMetricQuerier(**{"metric_name": "requests_running", **values})


def test_fields_are_read_from_the_class() -> None:
    """The metrics are choices, the quantile is a number with a default, and everything is documented."""
    spec = QuerierSpec.of(InferenceMetricQuerier)
    fields = {field.name: field for field in spec.fields}
    assert ("inference", "Model servers that run vLLM, by server and model") == (spec.name, spec.summary)
    assert list(METRICS) == list(fields["metric_name"].choices)
    assert (FieldType.NUMBER, False, "0.95") == (
        fields["quantile"].type,
        fields["quantile"].required,
        fields["quantile"].note,
    )
    assert [FieldType.TEXT] * 2 == [fields["model_name"].type, fields["server"].type]
    assert all(field.help for field in fields.values())
    built = build_querier(spec, {"metric_name": "request_latency", "quantile": 1, "model_name": "m"})
    assert InferenceMetricQuerier(metric_name="request_latency", model_name="m", quantile=1) == built


@pytest.mark.parametrize("metric", METRICS)
def test_many_servers_are_one_request(metric: InferenceMetricName) -> None:
    """Servers share a request with every strategy; another quantile of times is another request."""
    queriers = [
        InferenceMetricQuerier(metric_name=metric, server=f"10.0.0.{number}:8000", quantile=quantile)
        for quantile in (0.5, 0.99)
        for number in range(50)
    ]
    requests = coalesce(queriers)
    assert (2 if metric in TIMES else 1) == len(requests)
    assert list(range(100)) == sorted(position for request in requests for position in request.positions)


def test_the_readme_has_the_table() -> None:
    """Metric by metric: its unit, its series and what it is."""
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in README.read_text().splitlines()
        if line.startswith("| `")
    ]
    expected = [(f"`{name}`", row.unit, f"`{row.series}`", row.meaning) for name, row in METRICS.items()]
    assert expected == rows


class TestInferenceMetricQuerier(QuerierConformance):
    """The suite that statcore ships."""

    def queriers(self) -> list[InferenceMetricQuerier]:
        """Return each metric, of all servers, of two, and of a model."""
        owners: list[dict[str, Any]] = [{}, {"server": "a:8000"}, {"server": "b:8000"}, {"model_name": "m"}]
        kinds = [InferenceMetricQuerier(metric_name=metric, **owner) for metric in METRICS for owner in owners]
        return [*kinds, InferenceMetricQuerier(metric_name="request_latency", quantile=0.5)]


def test_the_plugin_knows_the_unit_of_each_metric() -> None:
    """Dashboards show it."""
    (spec,) = statcore_queriers()
    assert (InferenceMetricQuerier, {name: metric.unit for name, metric in METRICS.items()}) == (spec.querier, spec.units)
