"""The answer to a query over a time range: series of samples in compact arrays."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import attrs

from statcore.errors import InputError
from statcore.model.answer import AnswerNotes
from statcore.model.response import MetricResponse, QueryData


@attrs.frozen(kw_only=True)
class Series:
    """One series: its labels, and samples in order of time.

    `timestamps` are unix seconds, `values` floats (NaN and infinities as the backend sent them); both are
    `array('d')` of equal length: 8 bytes a number, and accepted by numpy without a copy.
    """

    labels: Mapping[str, str]
    timestamps: array[float]
    values: array[float]

    def __attrs_post_init__(self) -> None:
        """Check what no single field can."""
        if len(self.timestamps) != len(self.values):
            raise InputError(f"{len(self.timestamps)} timestamps but {len(self.values)} values for {dict(self.labels)}")

    def __len__(self) -> int:
        """Return how many samples the series has."""
        return len(self.timestamps)


@attrs.frozen(kw_only=True)
class MatrixResult(AnswerNotes):
    """The series of a range query, in the backend's order, with the backend's warnings and infos.

    `status` and `data` are the same answer in the shape of a Prometheus response, for callers that read that.
    """

    series: tuple[Series, ...]

    @property
    def status(self) -> str:
        """Always `success`: a failed query raises."""
        return "success"

    @property
    def data(self) -> QueryData:
        """The answer as `data.result_type` and `data.result[].metric / .values`."""
        return QueryData(
            result_type="matrix",
            result=tuple(MetricResponse(series.labels, series.timestamps, series.values) for series in self.series),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per series with `labels`, `timestamps` and `values`, ready for a JSON encoder."""
        return [
            {"labels": dict(s.labels), "timestamps": s.timestamps.tolist(), "values": s.values.tolist()}
            for s in self.series
        ]
