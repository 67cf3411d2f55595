"""Results of metric backends: series, samples, their shape as a Prometheus response, and the joining of parts."""

from __future__ import annotations

import json
import math
from array import array

import pytest

from statcore.errors import InputError, ProtocolError
from statcore.model import MatrixResult, Sample, Series, VectorResult
from statcore.model.results import append_instant, check_part, join_parts

SERIES = Series(labels={"kernel_id": "k"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.1, math.inf]))


def test_series_of_uneven_length_are_refused() -> None:
    """The error has both lengths and the labels."""
    with pytest.raises(InputError, match=r"2 timestamps but 1 values for \{'a': 'b'\}"):
        Series(labels={"a": "b"}, timestamps=array("d", [1, 2]), values=array("d", [1]))


def test_an_answer_has_the_shape_of_a_response() -> None:
    """It has `status`, `data.result_type`, `data.result[].metric` and `.values`."""
    result = MatrixResult(series=(SERIES,))
    assert ("success", "matrix") == (result.status, result.data.result_type)
    (response,) = result.data.result
    assert ({"kernel_id": "k"}, [(1.0, "0.1"), (2.5, "+Inf")]) == (dict(response.metric), response.values)
    assert () == tuple(MatrixResult(series=()).data.result)


def test_an_answer_can_be_encoded_as_json() -> None:
    """It is one object of plain lists per series."""
    series = Series(labels={"a": "b"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.5, 3.0]))
    expected = '[{"labels": {"a": "b"}, "timestamps": [1.0, 2.5], "values": [0.5, 3.0]}]'
    assert expected == json.dumps(MatrixResult(series=(series,)).to_json())


def series(name: str, *samples: tuple[float, float]) -> Series:
    """Return a series of (time, value) samples."""
    times, values = [time for time, _ in samples], [value for _, value in samples]
    return Series(labels={"n": name}, timestamps=array("d", times), values=array("d", values))


def test_parts_of_a_series_are_joined() -> None:
    """Series are matched by labels, may be absent from a part, and are in the order in which they first occur."""
    joined = join_parts(
        [
            MatrixResult(series=(series("a", (1, 1), (2, 2)),)),
            MatrixResult(series=(series("b", (3, 30)),)),
            MatrixResult(series=(series("a", (5, 5)), series("b", (5, 50)), series("c", (5, 500)))),
        ]
    )
    expected = (series("a", (1, 1), (2, 2), (5, 5)), series("b", (3, 30), (5, 50)), series("c", (5, 500)))
    assert expected == joined.series


def test_overlapping_parts_have_no_duplicate_points() -> None:
    """Some servers move the ends of a part onto a grid of their own."""
    joined = join_parts(
        [
            MatrixResult(series=(series("a", (1, 1), (2, 2), (3, 3)),)),
            MatrixResult(series=(series("a", (2, 2), (3, 3), (4, 4)),)),
            MatrixResult(series=(series("a", (4, 4)),)),
        ]
    )
    assert (series("a", (1, 1), (2, 2), (3, 3), (4, 4)),) == joined.series


def test_joining_does_not_change_the_parts() -> None:
    """They are values."""
    parts = [MatrixResult(series=(series("a", (1, 1)),)), MatrixResult(series=(series("a", (2, 2)),))]
    assert 2 == len(join_parts(parts).series[0])
    assert [1, 1] == [len(part.series[0]) for part in parts]


def test_notes_of_all_parts_are_kept() -> None:
    """Each text is there once; one partial part makes the answer partial."""
    joined = join_parts(
        [
            MatrixResult(series=(), warnings=("w", "v"), infos=("i",)),
            MatrixResult(series=(), warnings=("u", "w"), partial=True),
        ]
    )
    assert (("w", "v", "u"), ("i",), True) == (joined.warnings, joined.infos, joined.partial)
    assert not join_parts([MatrixResult(series=()), MatrixResult(series=())]).partial


def test_an_instant_is_the_last_point() -> None:
    """It is appended to its series, a new series included; its notes are kept."""
    result = MatrixResult(series=(series("a", (1, 1), (2, 2)), series("b", (2, 20))), warnings=("w",))
    samples = (Sample(labels={"n": "a"}, timestamp=2.5, value=3), Sample(labels={"n": "c"}, timestamp=2.5, value=300))
    joined = append_instant(result, VectorResult(samples=samples, infos=("i",), partial=True))
    assert (series("a", (1, 1), (2, 2), (2.5, 3)), series("b", (2, 20)), series("c", (2.5, 300))) == joined.series
    assert (("w",), ("i",), True) == (joined.warnings, joined.infos, joined.partial)


def test_a_part_with_a_series_twice_is_refused() -> None:
    """The order of its labels does not matter."""
    labels = {"n": "a", "m": "b"}
    first, second = (
        Series(labels=dict(pairs), timestamps=array("d", [3]), values=array("d", [3]))
        for pairs in (labels.items(), reversed(labels.items()))
    )
    with pytest.raises(ProtocolError, match=r"the answer has the series .*'n': 'a'.* twice"):
        check_part(MatrixResult(series=(first, second)))


@pytest.mark.parametrize("times", [(3, 2), (3, 3), (3, 5, 4, 6), (3, float("nan"))])
def test_a_part_with_samples_out_of_order_is_refused(times: tuple[float, ...]) -> None:
    """They are neither sorted nor dropped."""
    good = series("b", (1, 1), (2, 2))
    with pytest.raises(ProtocolError, match=r"the samples of .*'n': 'a'.* are not in order of time"):
        check_part(MatrixResult(series=(good, series("a", *((time, 1.0) for time in times)))))
    part = MatrixResult(series=(good, series("a", (1, 1), (2, 2))))
    assert part is check_part(part)
