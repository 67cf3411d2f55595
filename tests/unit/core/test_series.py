"""Answers of metric backends: series, samples, and the shape of a Prometheus response."""

from __future__ import annotations

import json
import math
from array import array
from decimal import localcontext

import pytest

from statcore.errors import InputError
from statcore.model import MatrixResult, Sample, Series, VectorResult, format_sample_value

SERIES = Series(labels={"kernel_id": "k"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.1, math.inf]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (100.0, "100"),
        (0.1 + 0.2, "0.30000000000000004"),
        (0.00001, "0.00001"),
        (1e-6, "0.000001"),
        (-9.5e-7, "-9.5e-07"),
        (5e-324, "5e-324"),
        (123456789012345680.0, "123456789012345680"),
        (999999999999999900000.0, "999999999999999900000"),
        (-1e21, "-1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_value_is_written_as_prometheus_writes_it(value: float, text: str) -> None:
    """The shortest digits, an exponent only for the least and the greatest, its own words for what is not finite."""
    assert text == format_sample_value(value)


def test_writing_does_not_depend_on_the_callers_decimal_context() -> None:
    """A host that calculates with few digits gets all of them here."""
    with localcontext(prec=3):
        assert "0.30000000000000004" == format_sample_value(0.1 + 0.2)


def test_series_of_uneven_length_are_refused() -> None:
    """The message says how uneven, and of which labels."""
    with pytest.raises(InputError, match=r"2 timestamps but 1 values for \{'a': 'b'\}"):
        Series(labels={"a": "b"}, timestamps=array("d", [1, 2]), values=array("d", [1]))


def test_an_answer_has_the_shape_of_a_response() -> None:
    """`status`, `data.result_type`, `data.result[].metric` and `.values`, as earlier clients had it."""
    result = MatrixResult(series=(SERIES,))
    assert ("success", "matrix") == (result.status, result.data.result_type)
    (response,) = result.data.result
    assert ({"kernel_id": "k"}, [(1.0, "0.1"), (2.5, "+Inf")]) == (dict(response.metric), response.values)
    assert () == tuple(MatrixResult(series=()).data.result)


def test_an_answer_can_be_encoded_as_json() -> None:
    """One object per series, of plain lists."""
    series = Series(labels={"a": "b"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.5, 3.0]))
    expected = '[{"labels": {"a": "b"}, "timestamps": [1.0, 2.5], "values": [0.5, 3.0]}]'
    assert expected == json.dumps(MatrixResult(series=(series,)).to_json())


def test_a_series_is_as_long_as_its_samples() -> None:
    """And its arrays are flat, eight bytes a number."""
    assert (2, 8, 8) == (len(SERIES), SERIES.timestamps.itemsize, SERIES.values.itemsize)


def test_answers_are_whole_and_silent_unless_they_say_otherwise() -> None:
    """Notes are part of the answer's value."""
    sample = Sample(labels={}, timestamp=1.0, value=2.0)
    for quiet, noisy in (
        (MatrixResult(series=(SERIES,)), MatrixResult(series=(SERIES,), warnings=("w",), infos=("i",), partial=True)),
        (VectorResult(samples=(sample,)), VectorResult(samples=(sample,), warnings=("w",), infos=("i",), partial=True)),
    ):
        assert ((), (), False) == (quiet.warnings, quiet.infos, quiet.partial)
        assert (("w",), ("i",), True) == (noisy.warnings, noisy.infos, noisy.partial)
        assert quiet != noisy
