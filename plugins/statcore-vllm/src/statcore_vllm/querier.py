"""The querier of model servers, over the series of vLLM."""

from __future__ import annotations

from typing import Final

import attrs
from attrs.validators import optional

from statcore import ExpressionStrategy, InputError, LabelMatcher, QueryStrategy, UtilizationMetricQuerier
from statcore.model import check_label_value, check_one_of
from statcore_vllm.metrics import METRICS, InferenceMetricName
from statcore_vllm.strategies import Quantile

MODEL_LABEL: Final = "model_name"
SERVER_LABEL: Final = "instance"


def _check_quantile(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f"{attribute.name} must be from 0 to 1, such as 0.95, not {value!r:.100}")


@attrs.frozen(kw_only=True)
class InferenceMetricQuerier(UtilizationMetricQuerier):
    """Model servers that run vLLM, by server and model.

    Args:
        metric_name: what to measure; `statcore_vllm.METRICS` has the unit and the meaning of each.
        model_name: the model as its server names it; by default every model.
        server: the label `instance` of the server in Prometheus, such as `10.0.0.5:8000`; by default every server.
        quantile: of times, from 0 to 1, where 0 is NaN unless a time is within the first bound of the histogram; other
            metrics ignore it.

    Raises:
        InputError: an unknown metric name, a text that is empty or cannot be sent, or a quantile that is not from 0 to 1.
    """

    metric_name: InferenceMetricName = attrs.field(validator=check_one_of(METRICS))
    model_name: str | None = attrs.field(default=None, validator=optional(check_label_value))
    server: str | None = attrs.field(default=None, validator=optional(check_label_value))
    quantile: float = attrs.field(default=0.95, validator=_check_quantile)

    def name(self) -> str:
        """Return the metric's series."""
        return METRICS[self.metric_name].series

    def labels(self) -> dict[str, str | LabelMatcher]:
        """Return the matchers of the metric, and the model and the server where they are set."""
        owners = {MODEL_LABEL: self.model_name, SERVER_LABEL: self.server}
        return {
            **METRICS[self.metric_name].labels,
            **{label: value for label, value in owners.items() if value is not None},
        }

    def group_by_labels(self) -> list[str]:
        """Return server and model: each model of each server is a series, also where model or server is set."""
        return [SERVER_LABEL, MODEL_LABEL]

    def query_strategy(self) -> QueryStrategy | ExpressionStrategy:
        """Return the metric's strategy: of a histogram, the quantile."""
        strategy = METRICS[self.metric_name].strategy
        return Quantile(self.quantile) if strategy is None else strategy
