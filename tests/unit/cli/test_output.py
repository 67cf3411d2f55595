"""Tables, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statcore_cli.output import jsonable, write_csv, write_json, write_table
from statcore_cli.standard_output import printable

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.decimals(), st.datetimes(), st.binary(), st.uuids()
)
ANYTHING = st.recursive(
    ODD, lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.integers() | st.uuids() | st.text(), inner)
)


@given(ANYTHING)
def test_whatever_a_store_holds_becomes_valid_json(value: Any) -> None:
    """A strict reader accepts it, and gets the same again from what it read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(json.dumps(jsonable(value), allow_nan=False), parse_constant=refuse)

    assert read == jsonable(read)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (1.5, 1.5),
        (True, True),
        (Decimal("1E+30"), "1E+30"),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22T00:00:00+00:00"),
        ({UUID(int=1): (1, None)}, {"00000000-0000-0000-0000-000000000001": [1, None]}),
    ],
)
def test_what_json_lacks_is_text(value: Any, expected: Any) -> None:
    """Numbers stay numbers."""
    assert expected == jsonable(value)


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    """So it survives any terminal's encoding."""
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


def test_a_table_in_a_pipe_is_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are as wide as they need to be, and those with nothing in them are left out."""
    long = 300 * "x"

    write_table(["name", "empty", "value"], [["a", "", long], ["longer", "", ""]])

    assert f"NAME    VALUE\na       {long}\nlonger\n" == capsys.readouterr().out


def test_a_table_without_rows_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that cut off the first line get nothing, not an error."""
    write_table(["name", "value"], [])

    assert "NAME  VALUE\n" == capsys.readouterr().out


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], io.StringIO]:
    """Make standard output a terminal that is so many columns wide."""

    def become(columns: int) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return become


def test_a_narrow_terminal_folds_sentences_and_never_words(terminal: Callable[[int], io.StringIO]) -> None:
    """Ids and numbers can be read and copied, and the table still fits."""
    stream = terminal(60)
    id_ = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"

    write_table(["id", "note"], [[id_, "a sentence that is longer than there is room for on one line"]])

    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert id_ in shown
    assert "a sentence" in shown
    assert 60 == max(map(len, shown.splitlines()))


def test_a_terminal_too_narrow_for_the_words_gets_whole_lines(terminal: Callable[[int], io.StringIO]) -> None:
    """The terminal breaks them; in columns they would be torn to pieces."""
    stream = terminal(20)

    write_table(["id", "note"], [["0123456789" * 2, "word"]])

    assert "ID                    NOTE\n01234567890123456789  word\n" == stream.getvalue()


@given(st.text())
def test_nothing_shown_steers_a_terminal(text: str) -> None:
    """Control characters and line breaks become escapes; what prints stays as it is."""
    shown = printable(text)

    assert shown.isprintable()
    assert (shown == text) == text.isprintable()
