"""Results and columns as Arrow: pyarrow, pandas and polars read the same as the values hold."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.errors import MissingExtraError
from statcore.model import Column, MatrixResult, Series, StatisticsColumns
from statcore.model.arrow import ArrowTable

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("nanoarrow")

NUMBERS = st.floats(allow_nan=False)
TIMES = st.integers(0, 4_102_444_800_000).map(lambda time_ms: time_ms / 1000)
LABELS = st.dictionaries(
    st.sampled_from(["kernel_id", "__name__", "timestamp", "value", "label_value"]), st.text(), max_size=4
)


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Draw a series with up to five samples."""
    samples = draw(st.lists(st.tuples(TIMES, NUMBERS), max_size=5))
    times, values = [time for time, _ in samples], [value for _, value in samples]
    return Series(labels=draw(LABELS), timestamps=array("d", times), values=array("d", values))


def rows(result: MatrixResult) -> Iterator[tuple[set[str], int, float]]:
    """Yield the label values, the time in milliseconds, and the value of each sample."""
    for item in result.series:
        for time, value in zip(item.timestamps, item.values, strict=True):
            yield {*item.labels.values()}, round(time * 1000), value


@given(st.lists(series(), max_size=5).map(tuple))
def test_a_result_has_a_row_for_each_sample(found: tuple[Series, ...]) -> None:
    """Each label is a column of its own, whatever its name; null where the series does not have it."""
    result = MatrixResult(series=found)

    table = pyarrow.table(result)

    table.validate(full=True)
    labels = {label for item in found for label in item.labels}
    assert len(labels) + 2 == len(set(table.column_names))
    times, values = table["timestamp"].cast(pyarrow.int64()).to_pylist(), table["value"].to_pylist()
    texts = table.drop_columns(["timestamp", "value"]).to_pylist() or [{}] * len(times)
    read = [
        ({text for text in row.values() if text is not None}, time, value)
        for row, time, value in zip(texts, times, values, strict=True)
    ]
    assert list(rows(result)) == read


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))  # names of Arrow end at a NUL


@given(st.dictionaries(NAMES, st.lists(st.none() | st.text(), min_size=9, max_size=9), max_size=3))
def test_columns_of_a_batch_are_text(texts: dict[str, list[str | None]]) -> None:
    """Null stands for a field without a value."""
    columns = StatisticsColumns({name: Column(tuple(column)) for name, column in texts.items()}, problems={}, ages_s={})

    table = pyarrow.table(columns)

    table.validate(full=True)
    assert texts == table.to_pydict()


RESULT = MatrixResult(
    series=(
        Series(labels={"kernel_id": "k1"}, timestamps=array("d", [1.0, 2.5]), values=array("d", [0.5, math.inf])),
        Series(labels={"agent_id": "i-1"}, timestamps=array("d", [1.0]), values=array("d", [math.nan])),
    )
)


def test_the_types_are_those_of_the_samples() -> None:
    """Times have a zone, so that no reader takes them for local times."""
    schema = pyarrow.table(RESULT).schema

    types = {name: schema.field(name).type for name in schema.names}
    text = pyarrow.large_string()
    assert {
        "kernel_id": text,
        "agent_id": text,
        "timestamp": pyarrow.timestamp("ms", tz="UTC"),
        "value": pyarrow.float64(),
    } == types


def test_a_requested_schema_is_no_error() -> None:
    """A consumer may always name one, and casts by itself."""
    schema = pyarrow.table(RESULT).schema

    assert 3 == pyarrow.RecordBatchReader.from_stream(RESULT, schema=schema).read_all().num_rows


def test_pandas_reads_a_result() -> None:
    """Its frame has the same columns, with times of pandas."""
    pandas: Any = pytest.importorskip("pandas")

    frame = RESULT.to_pandas()

    assert isinstance(frame, pandas.DataFrame)
    assert ["kernel_id", "agent_id", "timestamp", "value"] == list(frame.columns)
    assert [1.0, 2.5, 1.0] == [time.timestamp() for time in frame["timestamp"]]
    assert [0.5, math.inf] == frame["value"].tolist()[:2]
    assert math.isnan(frame["value"].tolist()[2])


def test_polars_reads_a_result() -> None:
    """Its frame has the same columns."""
    polars: Any = pytest.importorskip("polars")

    frame = RESULT.to_polars()

    assert isinstance(frame, polars.DataFrame)
    assert ["k1", "k1", None] == frame["kernel_id"].to_list()
    assert [1.0, 2.5, 1.0] == [time.timestamp() for time in frame["timestamp"].to_list()]


@pytest.mark.parametrize(
    ("method", "module", "requirement"),
    [
        ("__arrow_c_stream__", "nanoarrow", "statcore[arrow]"),
        ("to_pandas", "pandas", "pandas"),
        ("to_pandas", "pyarrow", "pyarrow"),
        ("to_pandas", "nanoarrow", "statcore[arrow]"),
        ("to_polars", "polars", "polars"),
        ("to_polars", "nanoarrow", "statcore[arrow]"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, method: str, module: str, requirement: str) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    table: ArrowTable = RESULT

    with pytest.raises(MissingExtraError) as caught:
        getattr(table, method)()

    assert requirement == caught.value.requirement
