"""The live view on terminals of different widths."""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import attrs
import pytest
from rich.cells import cell_len
from rich.console import Console

from statcore.model.results import MatrixResult, Series
from statcore.model.statistics import UNBOUNDED, Problem, ProblemKind, shown_value
from statcore.model.time import QueryTimeRange
from statcore.statistics import StatisticsRepository, StatisticsStatefulSource
from statcore.statistics.utilization import UtilizationSource
from statcore_cli.entries import Entries
from statcore_cli.live_view import LiveState, sparkline
from statcore_memory import MemoryStatistics

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
OTHER_KERNEL = "7a2c4d0f-0a52-4a57-9d3e-0c8f8f0e9b12"
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


def screen_text(state: LiveState, *, width: int) -> str:
    """Return the text that a terminal shows for a state."""
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    console.print(state.screen(console, heading="here"))
    return stream.getvalue()


def test_a_very_narrow_terminal_leaves_out_columns() -> None:
    """The numbers that remain are whole."""
    text = screen_text(state_of([4.0, 8.0]), width=45)

    assert ["100.1 %", "999.5 MB"] == [number for number in ("100.1 %", "999.5 MB", "received/s") if number in text]
    assert "…" not in text
    assert 45 >= max(map(len, text.splitlines()))


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_narrow_terminal_shows_the_newest_values(width: int) -> None:
    """The oldest bars are cut off, and no number is."""
    text = screen_text(state_of([0.0] * 100 + [4.0, 8.0]), width=width)

    assert "▁▁▅█" in text
    assert "100.1 %" in text
    assert "999.5 MB" in text
    assert "…" not in text
    assert width >= max(map(len, text.splitlines()))


def test_a_sparkline_is_drawn_between_zero_and_the_highest_value() -> None:
    """A value that is not finite is a gap, and a zero is the lowest bar."""
    assert "▁ ▅█" == sparkline([0.0, math.nan, 4.0, 8.0])
    assert "▁▁▁" == sparkline([0.0, 0.0, 0.0])
    assert "▁ ▁" == sparkline([0.0, math.nan, 0.0])
    assert "   " == sparkline([math.nan, math.inf, -math.inf])
    assert "" == sparkline([])


def test_no_text_of_a_store_or_backend_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A share of CPU and a problem may have any text, and a session any name; they are shown escaped."""
    hostile = "\x1b[2J\x9b"
    problem = Problem(ProblemKind.UNAVAILABLE, message=hostile)
    state = attrs.evolve(
        state_of([1.0], failures=[f"cpu_util: {hostile}"]),
        titles={KERNEL: hostile},
        live=Entries({KERNEL: {"cpu_util": {"current": "1", "pct": hostile}}}, {KERNEL: problem}),
    )
    screen = screen_text(state, width=200)
    state.print("text")
    printed = capsys.readouterr()

    assert [4, 1, 3] == [text.count(r"\x1b[2J\x9b") for text in (screen, printed.out, printed.err)]
    assert not {"\x1b", "\x9b"} & set(screen + printed.out + printed.err)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("cpu_util", {"current": "1"}),
        ("cpu_util", {"current": "1", "capacity": UNBOUNDED, "pct": "0.00"}),
        ("cpu_util", {"current": "1", "pct": None}),
        ("mem", {"capacity": "5"}),
        ("mem", {"current": None}),
        ("mem", {}),
        ("mem", None),
    ],
)
def test_a_field_that_is_missing_or_means_nothing_is_a_dash(
    metric: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no problem, on the screen or in a pipe."""
    entries = Entries({KERNEL: {metric: shown_value(metric, value)}}, {})
    state = attrs.evolve(state_of([8.0]), live=entries)

    state.print("text")
    printed = capsys.readouterr()

    assert ["-", "-", "-", "-", "█"] == printed.out.splitlines()[1].split()[-5:]
    assert ["-", "-", "-", "-", "█"] == screen_text(state, width=100).splitlines()[4].split()[-5:]
    assert "" == printed.err


@pytest.mark.parametrize("value", ["1e300", "9" * 300, "much " * 100, ["1"], {"of": "cores"}])
def test_an_odd_share_or_amount_costs_other_kernels_no_column(value: object) -> None:
    """A number is shown short, and anything else is a dash and a problem."""
    metrics = {"cpu_util": {"current": "1", "pct": value}, "mem": {"current": value}}
    state = attrs.evolve(
        state_of([1.0]),
        titles={KERNEL: "busy 50%", OTHER_KERNEL: "idle"},
        live=Entries({KERNEL: LIVE, OTHER_KERNEL: metrics}, {}),
    )

    text = screen_text(state, width=80)

    assert_all_columns(text)
    assert (not isinstance(value, str) or "much" in value) == ("malformed: cpu_util.pct is " in text)


@pytest.mark.parametrize("title", ["\x1b" * 12, "s" * 300, "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 12])
def test_a_title_costs_other_kernels_no_column(title: str) -> None:
    """It is cut to twelve columns as it is shown, escapes included."""
    state = attrs.evolve(
        state_of([1.0]),
        titles={KERNEL: "busy 50%", OTHER_KERNEL: title},
        live=Entries({KERNEL: LIVE, OTHER_KERNEL: None}, {}),
    )

    assert_all_columns(screen_text(state, width=80))


def assert_all_columns(text: str) -> None:
    """Check that a screen of 80 columns shows every column of the kernel, with whole numbers."""
    rows = text.splitlines()
    (header,) = [row for row in rows if "kernel" in row and "memory" in row]
    (shown,) = [row for row in rows if KERNEL[:8] in row and "999.5 MB" in row]
    assert ["load", "kernel", "cpu", "memory", "received/s", "written", "cpu", "over", "time"] == header.split()
    assert ["busy", "50%", KERNEL[:8], "100.1", "%", "999.5", "MB", "-", "-", "█"] == shown.split()
    assert 80 >= max(map(cell_len, rows))


def test_problems_of_live_statistics_have_a_line_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """They are above the rows, as an outage of a list is; in a pipe they are on standard error; JSON has each."""
    ids = [f"{number:08d}-0a52-4a57-9d3e-0c8f8f0e9b11" for number in range(12)]
    stale = {id_: Problem(ProblemKind.STALE, message=f"written {age} s ago") for age, id_ in enumerate(ids[1:], 60)}
    problems = {ids[0]: Problem(ProblemKind.OVERSIZED, message="larger than 1 MiB"), **stale}
    state = attrs.evolve(
        state_of([1.0]),
        titles=dict.fromkeys(ids, "busy"),
        live=Entries({ids[0]: None, **dict.fromkeys(ids[1:], LIVE)}, problems),
    )

    state.print("text")
    lines = [
        f"oversized: larger than 1 MiB ({ids[0]})",
        f"stale: written 60 s ago (the first of 11: {', '.join(ids[1:])})",
    ]

    assert "".join(f"statcore: {line}\n" for line in lines) == capsys.readouterr().err
    shown = screen_text(state, width=80).splitlines()
    assert ["here", lines[0], f"{lines[1][:79]}…"] == shown[:3]
    assert {id_: problem.kind for id_, problem in problems.items()} == {
        id_: problem["kind"] for id_, problem in state.document()["problems"].items()
    }


def test_rows_with_a_problem_stand_out() -> None:
    """Only they are red, so that a stale number does not look current."""
    state = attrs.evolve(
        state_of([1.0]),
        titles={KERNEL: "busy", OTHER_KERNEL: "idle"},
        live=Entries({KERNEL: LIVE, OTHER_KERNEL: LIVE}, {KERNEL: Problem(ProblemKind.STALE, message="old")}),
    )
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")

    segments = list(console.render(state.screen(console, heading="here")))

    red = {segment.text.strip() for segment in segments if segment.style and segment.style.color}
    assert ({KERNEL[:8]}, True) == (red & {KERNEL[:8], OTHER_KERNEL[:8]}, "999.5 MB" in red)


def test_failures_are_above_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe they are on standard error, and in JSON a list."""
    state = state_of([1.0], failures=["cpu_util: refused"])
    state.print("text")
    printed = capsys.readouterr()

    assert ["here", "cpu_util: refused"] == screen_text(state, width=100).splitlines()[:2]
    assert ("statcore: cpu_util: refused\n", True) == (printed.err, "busy 50%" in printed.out)
    assert {"loads": {KERNEL: "busy 50%"}, "failures": ["cpu_util: refused"]}.items() <= state.document().items()


class Answering:
    """A backend that gives each query the same answer."""

    def __init__(self, answer: MatrixResult) -> None:
        """Take the answer."""
        self.answer = answer

    async def query_utilization(self, *_: object, **__: object) -> MatrixResult:
        """Return the answer."""
        return self.answer


async def test_what_a_backend_says_about_its_answers_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Missing data is a failure as an error is; an info is none, and stands below them without color."""
    answer = MatrixResult(series=(), warnings=("store s1 is missing",), infos=("no counter\x1b",), partial=True)
    now = datetime.now(UTC)
    state = await LiveState.read(
        StatisticsRepository(StatisticsStatefulSource(MemoryStatistics())),
        UtilizationSource(cast("Any", Answering(answer)), max_values=1),
        {KERNEL: "busy 50%", OTHER_KERNEL: "idle"},
        title_name="load",
        metrics=["cpu_util"],
        time_range=QueryTimeRange(start=now, end=now, step="1s"),
        rate_interval="5m",
    )
    state.print("text")

    failures = [
        "cpu_util: the answer is partial: the backend could not read all of its data",
        "cpu_util: warning: store s1 is missing",
    ]
    info = r"cpu_util: info: no counter\x1b"
    assert "".join(f"statcore: {line}\n" for line in [*failures, info]) == capsys.readouterr().err
    assert ["here", *failures, info] == screen_text(state, width=100).splitlines()[:4]
    assert (failures, ["cpu_util: info: no counter\x1b"]) == (state.document()["failures"], state.document()["infos"])


def test_a_low_terminal_says_how_many_kernels_it_shows() -> None:
    """Lines about problems take the place of rows, and further kernels may not have been read."""
    ids = [f"{number:08d}-0a52-4a57-9d3e-0c8f8f0e9b11" for number in range(12)]
    state = attrs.evolve(
        state_of([1.0]), titles=dict.fromkeys(ids, "busy"), live=Entries(dict.fromkeys(ids, LIVE), {}), omitted=3
    )

    def lines_of(state: LiveState, *, height: int) -> list[str]:
        stream = io.StringIO()
        console = Console(file=stream, width=100, height=height)
        console.print(state.screen(console, heading="here"))
        return [line.rstrip() for line in stream.getvalue().splitlines()]

    low = lines_of(attrs.evolve(state, failures=["a failure", "b failure"]), height=16)
    shown = sum(id_[:8] in line for line in low for id_ in ids)

    assert (15, ["here", f"{shown} of 15 kernels are shown", "a failure", "b failure"]) == (len(low), low[:4])
    assert 7 == shown
    assert "12 of 15 kernels are shown" == lines_of(state, height=40)[1]
    assert "shown" not in "".join(lines_of(attrs.evolve(state, omitted=0), height=40))
