"""The table of the metrics of a model server: series, unit, and strategy of each metric.

The names are from vLLM 0.10.2 and later. Two metrics had other names before; README.md shows how to rename them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import attrs

from statcore import ExpressionStrategy, LabelMatcher, QueryStrategy
from statcore_vllm.strategies import average

InferenceMetricName: TypeAlias = Literal[
    "requests_running",
    "requests_waiting",
    "requests_succeeded",
    "kv_cache_usage",
    "prompt_tokens",
    "generation_tokens",
    "time_to_first_token",
    "inter_token_latency",
    "request_latency",
]


@attrs.frozen(kw_only=True)
class InferenceMetric:
    """A metric of a model server.

    Args:
        unit: the unit of its value; `1` is a share of one.
        meaning: a description in a few words.
        series: the name that vLLM gives it; of a histogram, its buckets.
        labels: the matchers of the series that count.
        strategy: how the samples become the value; None means a quantile of a histogram, which the querier sets.
    """

    unit: str
    meaning: str
    series: str
    labels: Mapping[str, LabelMatcher] = attrs.field(factory=dict[str, LabelMatcher], hash=False)
    strategy: QueryStrategy | ExpressionStrategy | None


METRICS: Final[Mapping[InferenceMetricName, InferenceMetric]] = MappingProxyType(
    {
        "requests_running": InferenceMetric(
            unit="requests",
            meaning="requests that are being computed",
            series="vllm:num_requests_running",
            strategy=QueryStrategy.GAUGE,
        ),
        "requests_waiting": InferenceMetric(
            unit="requests",
            meaning="requests that wait for their turn",
            series="vllm:num_requests_waiting",
            strategy=QueryStrategy.GAUGE,
        ),
        "requests_succeeded": InferenceMetric(
            unit="requests/s",
            meaning="requests answered in full, up to a stop or to their length limit",
            series="vllm:request_success_total",
            # vLLM's "success" counts all requests that ended.
            labels={"finished_reason": LabelMatcher.not_regex("abort|error")},
            strategy=QueryStrategy.RATE,
        ),
        "kv_cache_usage": InferenceMetric(
            unit="1",
            meaning="share of the KV cache in use, the mean of a server's engines",
            series="vllm:kv_cache_usage_perc",
            strategy=average,
        ),
        "prompt_tokens": InferenceMetric(
            unit="tokens/s",
            meaning="tokens of prompts computed",
            series="vllm:prompt_tokens_total",
            strategy=QueryStrategy.RATE,
        ),
        "generation_tokens": InferenceMetric(
            unit="tokens/s",
            meaning="tokens generated",
            series="vllm:generation_tokens_total",
            strategy=QueryStrategy.RATE,
        ),
        "time_to_first_token": InferenceMetric(
            unit="s",
            meaning="quantile of the time from a request to its first token",
            series="vllm:time_to_first_token_seconds_bucket",
            strategy=None,
        ),
        "inter_token_latency": InferenceMetric(
            unit="s",
            meaning="quantile of the time from one output of tokens to the next",
            series="vllm:inter_token_latency_seconds_bucket",
            strategy=None,
        ),
        "request_latency": InferenceMetric(
            unit="s",
            meaning="quantile of the time from a request to its last token",
            series="vllm:e2e_request_latency_seconds_bucket",
            strategy=None,
        ),
    }
)
"""The metrics of a model server, by the name that users type."""
