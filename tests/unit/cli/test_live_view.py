"""The live view on terminals of different widths."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Sequence

import attrs
import pytest
from rich.console import Console

from statcore.model.results import MatrixResult, Series
from statcore_cli.entries import Entries
from statcore_cli.live_view import LiveState, sparkline

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
LIVE = {"cpu_util": {"current": "501.2", "pct": "100.12"}, "mem": {"current": "999500000"}}


def state_of(course: Sequence[float], *, failures: Sequence[str] = ()) -> LiveState:
    """Return the state of one kernel."""
    series = Series(labels={"kernel_id": KERNEL}, timestamps=array("d", range(len(course))), values=array("d", course))
    return LiveState(
        titles={KERNEL: "busy 50%"},
        title_name="load",
        live=Entries({KERNEL: LIVE}, {}),
        utilization={"cpu_util": MatrixResult(series=(series,))},
        failures=failures,
    )


def shown_text(course: Sequence[float], *, width: int) -> str:
    """Return the text that a terminal shows for one kernel."""
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(state_of(course).screen(console, heading="here"))
    return stream.getvalue()


def test_a_very_narrow_terminal_leaves_out_columns() -> None:
    """The numbers that remain are whole."""
    text = shown_text([4.0, 8.0], width=45)

    assert ["100.12 %", "999.5 MB"] == [number for number in ("100.12 %", "999.5 MB", "received/s") if number in text]
    assert "…" not in text
    assert 45 >= max(map(len, text.splitlines()))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_narrow_terminal_shows_the_newest_values(width: int) -> None:
    """The oldest bars are cut off, and no number is."""
    text = shown_text([0.0] * 100 + [4.0, 8.0], width=width)

    assert "▁▁▅█" in text
    assert "100.12 %" in text
    assert "999.5 MB" in text
    assert "…" not in text
    assert width >= max(map(len, text.splitlines()))


def test_a_sparkline_is_drawn_between_zero_and_the_highest_value() -> None:
    """A value that is not finite is a gap, and a zero is the lowest bar."""
    assert "▁ ▅█" == sparkline([0.0, math.nan, 4.0, 8.0])
    assert "▁▁▁" == sparkline([0.0, 0.0, 0.0])
    assert "" == sparkline([])


def test_no_text_of_a_store_or_backend_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A share of CPU may be any text, and a session may have any name; they are shown escaped."""
    hostile = "\x1b[2J\x9b0m"
    state = attrs.evolve(
        state_of([1.0], failures=[f"cpu_util: {hostile}"]),
        titles={KERNEL: hostile},
        live=Entries({KERNEL: {"cpu_util": {"current": "1", "pct": hostile}}}, {}),
    )
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    console.print(state.screen(console, heading="here"))
    state.print("text")
    printed = capsys.readouterr()
    assert [3, 2, 1] == [text.count(r"\x1b[2J\x9b0m") for text in (stream.getvalue(), printed.out, printed.err)]
    assert not {"\x1b", "\x9b"} & set(stream.getvalue() + printed.out + printed.err)


def test_failures_are_below_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe they are on standard error, and in JSON a list."""
    state = state_of([1.0], failures=["cpu_util: refused"])
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    console.print(state.screen(console, heading="here"))
    state.print("text")
    printed = capsys.readouterr()

    assert "cpu_util: refused" in stream.getvalue().splitlines()[-1]
    assert ("statcore: cpu_util: refused\n", True) == (printed.err, "busy 50%" in printed.out)
    assert {"loads": {KERNEL: "busy 50%"}, "failures": ["cpu_util: refused"]}.items() <= state.document().items()
