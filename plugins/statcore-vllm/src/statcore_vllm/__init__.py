"""Model servers for statcore: a querier over the series of vLLM."""

from statcore_vllm.metrics import METRICS, InferenceMetric, InferenceMetricName
from statcore_vllm.querier import InferenceMetricQuerier

__all__ = ["METRICS", "InferenceMetric", "InferenceMetricName", "InferenceMetricQuerier"]
