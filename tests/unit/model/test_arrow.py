"""Results and columns as Arrow: pyarrow, pandas and polars read the same as the values hold."""

from __future__ import annotations

import gc
import math
import sys
import tracemalloc
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


def test_text_that_cannot_be_encoded_does_not_hide_other_rows() -> None:
    """An entry in JSON may hold half of a surrogate pair; it is an escape, and the rows after it stay in their places."""
    columns = StatisticsColumns({"a.current": Column(("\ud800", None, "2"))}, problems={}, ages_s={})
    assert {"a.current": ["\\ud800", None, "2"]} == pyarrow.table(columns).to_pydict()


NO_SAMPLES: dict[str, Any] = {"labels": {"kernel_id": "k1"}, "timestamps": array("d"), "values": array("d")}
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


def test_nan_is_a_value_and_not_null() -> None:
    """Only labels are ever missing."""
    table = pyarrow.table(RESULT)

    assert {"kernel_id": 1, "agent_id": 2, "timestamp": 0, "value": 0} == {
        name: table[name].null_count for name in table.column_names
    }
    assert math.isnan(table["value"][2].as_py())


@pytest.mark.parametrize("result", [MatrixResult(series=()), MatrixResult(series=(Series(**NO_SAMPLES),))])
def test_an_empty_result_has_columns(result: MatrixResult) -> None:
    """A frame of it can be joined to others: the columns have their types."""
    table = pyarrow.table(result)
    table.validate(full=True)
    labels = [label for series in result.series for label in series.labels]
    assert (0, [*labels, "timestamp", "value"]) == (table.num_rows, table.column_names)
    assert [pyarrow.timestamp("ms", tz="UTC"), pyarrow.float64()] == table.schema.types[-2:]
    for library, method in (("pandas", result.to_pandas), ("polars", result.to_polars)):
        pytest.importorskip(library)
        assert (0, len(labels) + 2) == method().shape


def test_columns_without_rows_have_types() -> None:
    """A batch of no ids still has its fields."""
    table = pyarrow.table(StatisticsColumns({"mem.current": Column(())}, problems={}, ages_s={}))

    assert (0, [pyarrow.large_string()]) == (table.num_rows, table.schema.types)


def test_a_large_result_is_whole() -> None:
    """Texts are repeated and nulls are packed in the right rows, beyond the 64 KiB and 8 rows of small cases."""
    series = tuple(
        Series(
            labels={"kernel_id": f"kernel-{number}"} if number % 3 else {},
            timestamps=array("d", range(number, number + 997)),
            values=array("d", [float(number)]) * 997,
        )
        for number in range(100)
    )

    table = pyarrow.table(MatrixResult(series=series))

    table.validate(full=True)
    expected = [f"kernel-{number}" if number % 3 else None for number in range(100) for _ in range(997)]
    assert expected == table["kernel_id"].to_pylist()
    assert [float(number) for number in range(100) for _ in range(997)] == table["value"].to_pylist()


@pytest.mark.parametrize("reader", ["nobody", "pyarrow", "polars"])
def test_memory_is_released(reader: str) -> None:
    """A hundred exports, read or not, leave nothing behind: the buffers belong to Python, which counts them."""
    read = {"nobody": lambda _: None, "pyarrow": pyarrow.table, "polars": pytest.importorskip("polars").DataFrame}[reader]
    values = array("d", range(1000))
    result = MatrixResult(series=(Series(labels={"kernel_id": "k" * 36}, timestamps=values, values=values),))
    for _ in range(10):
        read(result)
    tracemalloc.start()
    try:
        for _ in range(100):
            read(result)
            result.__arrow_c_stream__()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < pyarrow.table(result).nbytes


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
    assert "UTC" == str(frame["timestamp"].dt.tz)
    assert [0.5, math.inf] == frame["value"].tolist()[:2]
    assert math.isnan(frame["value"].tolist()[2])


def test_polars_reads_a_result() -> None:
    """Its frame has the same columns."""
    polars: Any = pytest.importorskip("polars")

    frame = RESULT.to_polars()

    assert isinstance(frame, polars.DataFrame)
    assert ["k1", "k1", None] == frame["kernel_id"].to_list()
    assert [1.0, 2.5, 1.0] == [time.timestamp() for time in frame["timestamp"].to_list()]
    assert polars.Datetime("ms", "UTC") == frame.schema["timestamp"]
    assert (0, 1) == (frame["value"].null_count(), frame["value"].is_nan().sum())


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
