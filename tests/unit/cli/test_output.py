"""How answers are printed: tables, CSV, JSON, and charts."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore.model import MatrixResult, QueryTimeRange, Series
from statcore.model.statistics import MAX_LEVELS
from statcore_cli.output import draw_chart, write_csv, write_json, write_matrix, write_table
from statcore_cli.standard_output import printable


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinities become text, also in an entry that is nested as deeply as an entry may be."""
    entry: Any = [math.nan, math.inf, -math.inf, 1.5]
    for _ in range(MAX_LEVELS - 1):
        entry = [entry]

    write_json({"kernels": {"id": {"metric": entry}}})

    expected: Any = ["NaN", "+Inf", "-Inf", 1.5]
    for _ in range(MAX_LEVELS - 1):
        expected = [expected]
    assert {"kernels": {"id": {"metric": expected}}} == json.loads(capsys.readouterr().out)


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """Any terminal encoding can show it."""
    write_json({"label": "é\n😀"})

    assert '{"label": "\\u00e9\\n\\ud83d\\ude00"}\n' == capsys.readouterr().out


@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_csv_reads_back(rows: list[tuple[str, str]]) -> None:
    """Quotes, commas and line breaks in values are quoted; the header is the first row."""
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO(newline="")
        patch.setattr("sys.stdout", stream)
        write_csv(["a", "b"], rows)

    assert [["a", "b"], *map(list, rows)] == list(csv.reader(io.StringIO(stream.getvalue(), newline="")))


LONG = 300 * "x"


@pytest.mark.parametrize(
    ("expected", "rows"),
    [
        (f"NAME    VALUE\na       {LONG}\nlonger\n", [["a", "", LONG], ["longer", "", ""]]),
        ("NAME  EMPTY  VALUE\n", []),
    ],
)
def test_a_table_in_a_pipe_is_aligned_and_whole(
    capsys: pytest.CaptureFixture[str], expected: str, rows: list[list[str]]
) -> None:
    """Columns are as wide as their longest cell, and left out without content; a table without rows is its header."""
    write_table(["name", "empty", "value"], rows)

    assert expected == capsys.readouterr().out


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], io.StringIO]:
    """Make standard output a terminal with the given number of columns."""

    def become(columns: int) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return become


def test_a_narrow_terminal_folds_sentences_and_never_words(terminal: Callable[[int], io.StringIO]) -> None:
    """Ids and numbers stay whole, and the table fits the width."""
    stream = terminal(60)
    id_ = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"

    write_table(["id", "note"], [[id_, "a sentence that is longer than there is room for on one line"]])

    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert id_ in shown
    assert "a sentence" in shown
    assert 60 == max(map(len, shown.splitlines()))


def test_a_terminal_too_narrow_for_words_gets_whole_lines(terminal: Callable[[int], io.StringIO]) -> None:
    """A table would break the words."""
    stream = terminal(20)

    write_table(["id", "note"], [["0123456789" * 2, "word"]])

    assert "01234567890123456789\n  note word\n" == stream.getvalue()


@given(st.text())
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    """Control characters and line breaks become escapes; printable text is unchanged."""
    shown = printable(text)

    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


RANGE = QueryTimeRange(start=1795341600, end=1795342500, step=10)


def chart(
    values: list[float], *, times: list[float] | None = None, width: int = 80, time_range: QueryTimeRange = RANGE
) -> str:
    """Draw values that are ten seconds apart."""
    times = [1795341600.0 + 10 * number for number in range(len(values))] if times is None else times
    return draw_chart(Series(labels={}, timestamps=array("d", times), values=array("d", values)), time_range, width=width)


def dots(text: str) -> int:
    """Count the dots of a chart's braille characters."""
    return sum((ord(character) - 0x2800).bit_count() for character in text if "\u2800" <= character <= "\u28ff")


def test_the_labels_of_a_chart_of_bytes_have_units() -> None:
    """Long numbers of bytes cannot be read at a glance; another unit stands above plain numbers."""
    values = array("d", [0.0, 3e9])
    series = Series(labels={}, timestamps=array("d", [1795341600.0, 1795341610.0]), values=values)
    time_range = QueryTimeRange(start=1795341600, end=1795341610, step="10s")

    in_bytes, in_ms = (draw_chart(series, time_range, width=60, unit=unit) for unit in ("bytes/s", "ms"))

    assert ("3.0 GB |" in in_bytes, "(bytes/s)" in in_bytes) == (True, True)
    assert ("(ms)" in in_ms, "GB" in in_ms) == (True, False)


@pytest.mark.parametrize("unit", ["", "bytes"])
@pytest.mark.parametrize("values", [[1.7e308, 0.0, 1.7e308], [1e308, -1e308], [5e-324, 0.0]])
def test_a_chart_that_cannot_be_drawn_says_so(values: list[float], unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its axis would end beyond the largest number, or have no length; the other series are drawn."""
    found = [
        Series(labels={"of": name}, timestamps=array("d", range(len(values))), values=array("d", values))
        for name, values in (("odd", values), ("even", [1.0, 2.0]))
    ]

    write_matrix("plot", MatrixResult(series=tuple(found)), QueryTimeRange(start=0, end=10, step=1), unit=unit)

    expected = f"of=odd\nnothing is drawn: no axis holds {min(values):g} to {max(values):g}\nof=even\n"
    assert expected == capsys.readouterr().out[: len(expected)]


@pytest.mark.parametrize(("size", "label"), [(1e300, "1e+300 B |"), (9e10, "90.0 GB |")])
def test_a_senseless_number_of_bytes_is_a_short_label(size: float, label: str) -> None:
    """A line is not longer than the terminal, also below zero."""
    values = array("d", [-size, size])
    series = Series(labels={}, timestamps=array("d", [1795341600.0, 1795341610.0]), values=values)

    text = draw_chart(series, RANGE, width=80, unit="bytes")

    assert (True, True) == (f" -{label}" in text, max(map(len, text.splitlines())) <= 80)


@pytest.mark.parametrize("width", [50, 80, 200])
def test_a_chart_fits_its_width(width: int) -> None:
    """No line is longer than the width, and times are in UTC."""
    text = chart([math.sin(number / 5) * 1e12 for number in range(90)], width=width)

    assert max(map(len, text.splitlines())) <= width
    assert "(UTC)" in text
    assert "10:00:00" in text


def test_a_line_breaks_where_samples_are_missing() -> None:
    """Consecutive samples are joined."""
    steady = chart([1.0] * 60)
    times = [1795341600.0 + 10 * number for number in range(60) if not 20 <= number < 40]
    broken = chart([1.0] * 40, times=times)

    assert 0 < dots(broken) < 0.8 * dots(steady)


def test_two_samples_are_a_line() -> None:
    """Dots are drawn between them."""
    assert 2 < dots(chart([1.0, 1.0], time_range=QueryTimeRange(start=1795341600, end=1795341610, step=10)))


def lowest_label(drawn: str) -> float:
    """Return the lowest number on the vertical axis."""
    return min(float(found[1]) for found in re.finditer(r"^ *(-?[0-9.]+) \|", drawn, re.MULTILINE))


def test_the_axis_begins_at_zero_unless_a_value_is_negative() -> None:
    """A margin below zero would suggest negative values."""
    assert 0 == lowest_label(chart([0.5, 300.0]))
    assert -5 >= lowest_label(chart([-5.0, 300.0]))


@pytest.mark.parametrize(
    ("is_drawn", "values"),
    [
        *[(False, values) for values in ([], [math.nan], [math.inf, -math.inf])],
        *[(True, values) for values in ([5.0], [0.0, 0.0], [1.0, math.nan, 1.0])],
    ],
)
@pytest.mark.parametrize("time_range", [RANGE, QueryTimeRange(start=1795341600, end=1795341600, step=10)])
def test_finite_values_are_drawn(is_drawn: bool, values: list[float], time_range: QueryTimeRange) -> None:  # noqa: FBT001
    """A single sample is a dot, other values are left out, and a range of one point is extended by one step."""
    assert is_drawn == (dots(chart(values, time_range=time_range)) > 0)
