"""PromQL text from values: pure functions, no I/O, no clock; no value can leave its place in the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from statcore.imports import on_demand

if TYPE_CHECKING:
    from statcore.promql.live_stat import LiveStatQueries, id_batches, live_stat_queries
    from statcore.promql.quoting import url_path_name
    from statcore.promql.range_splitting import (
        MAX_POINTS,
        MAX_RANGE_POINTS,
        MAX_RANGE_REQUESTS,
        check_points,
        fix_range,
        split_range,
    )
    from statcore.promql.syntax import (
        Aggregation,
        BinaryOperation,
        Call,
        ConstantLabel,
        Expression,
        HistogramQuantile,
        Matching,
        Number,
        Part,
        RangeSelector,
        Selector,
        Subquery,
        render,
        selectors_in,
    )
    from statcore.promql.utilization import NORMALIZATION_INTERVAL_S, RATE_INTERVAL, utilization_query, utilization_text
else:
    __getattr__, __dir__ = on_demand(
        __name__,
        {
            "live_stat": "LiveStatQueries id_batches live_stat_queries",
            "quoting": "url_path_name",
            "range_splitting": "MAX_POINTS MAX_RANGE_POINTS MAX_RANGE_REQUESTS check_points fix_range split_range",
            "syntax": (
                "Aggregation BinaryOperation Call ConstantLabel Expression HistogramQuantile Matching Number Part "
                "RangeSelector Selector Subquery render selectors_in"
            ),
            "utilization": "NORMALIZATION_INTERVAL_S RATE_INTERVAL utilization_query utilization_text",
        },
    )

__all__ = [
    "MAX_POINTS",
    "MAX_RANGE_POINTS",
    "MAX_RANGE_REQUESTS",
    "NORMALIZATION_INTERVAL_S",
    "RATE_INTERVAL",
    "Aggregation",
    "BinaryOperation",
    "Call",
    "ConstantLabel",
    "Expression",
    "HistogramQuantile",
    "LiveStatQueries",
    "Matching",
    "Number",
    "Part",
    "RangeSelector",
    "Selector",
    "Subquery",
    "check_points",
    "fix_range",
    "id_batches",
    "live_stat_queries",
    "render",
    "selectors_in",
    "split_range",
    "url_path_name",
    "utilization_query",
    "utilization_text",
]
