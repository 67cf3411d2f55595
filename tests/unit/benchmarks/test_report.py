"""What the benchmarks report for given samples; no test depends on how long anything takes."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from growth import plot
from hypothesis import given
from hypothesis import strategies as st
from report import CPU_RATIO, Goal, Report, Row, Table, dropped, figures, has_section, number, replace_section, write_json
from rich.console import Console
from run import MEASUREMENTS
from timing import MIN_CLEAN, MachineTimes, Measured, Sample, cpu_s, in_rotation, machine_times, percentile

_MET = Row(contender="statcore", figures={CPU_RATIO: 0.25}, goals={CPU_RATIO: Goal(0.3)})
_MISSED = Row(contender="slow", figures={CPU_RATIO: 0.5, "stall ms": 12.0}, goals={CPU_RATIO: Goal(0.3)})
_TABLE = Table(title="reads", rows=[_MET, _MISSED], notes=["Ratios to: redis-py"])


def _samples(seconds: list[float], *, disturbed: bool) -> list[Sample]:
    return [Sample(wall_s=2 * cpu, cpu_s=cpu, disturbed=disturbed) for cpu in seconds]


def test_disturbed_samples_are_dropped() -> None:
    """Only the undisturbed samples count, and the report says how many were dropped."""
    measured = Measured.of([*_samples([1, 2, 3, 4, 5], disturbed=False), *_samples([100, 200], disturbed=True)])
    assert (3, 6, 2) == (measured.cpu_s, measured.wall_s, measured.dropped)
    assert "Samples: 7, of which 2 were disturbed by steal or another process: 2 dropped" == dropped([measured])


def test_disturbed_samples_are_kept_where_too_few_are_undisturbed() -> None:
    """All samples count, and the report says so."""
    undisturbed = _samples([1.0] * (MIN_CLEAN - 1), disturbed=False)
    measured = Measured.of([*undisturbed, *_samples([3.0] * MIN_CLEAN, disturbed=True)])
    assert (3, 0, MIN_CLEAN) == (measured.cpu_s, measured.dropped, measured.disturbed)
    assert dropped([measured]).endswith(f"0 dropped, {MIN_CLEAN} kept because too few were undisturbed")


def test_ratios_are_to_the_baseline() -> None:
    """CPU and wall time are divided by those of the baseline."""
    ours, baseline = (Measured.of(_samples([cpu], disturbed=False)) for cpu in (0.001, 0.004))
    assert {"CPU ms": 1, "CPU ratio": 0.25, "wall ms": 2, "wall ratio": 0.25} == figures(ours, baseline)


def test_goals_may_be_upper_or_lower_bounds() -> None:
    """A bound itself is good enough."""
    assert [True, True, False] == [Goal(0.8).is_met_by(value) for value in (0.5, 0.8, 0.9)]
    assert [False, True, True] == [Goal(0.8, at_least=True).is_met_by(value) for value in (0.5, 0.8, 0.9)]


def test_missed_goal_is_marked_in_the_printed_table() -> None:
    """In a pipe the table is plain text: the goal stands beside the value, and only the missed goal has a mark."""
    output = io.StringIO()
    Report(console=Console(file=output, width=100)).add(_TABLE)
    lines = output.getvalue().splitlines()
    assert "\x1b" not in output.getvalue()
    assert ["statcore 0.25 (<= 0.3)"] == [" ".join(line.split()) for line in lines if "statcore" in line]
    assert ["slow 0.50 (<= 0.3) ! 12.0"] == [" ".join(line.split()) for line in lines if "!" in line]


def test_progress_is_not_printed_into_a_pipe() -> None:
    """Only a terminal shows what is measured now."""
    pipe, terminal = io.StringIO(), io.StringIO()
    Report(console=Console(file=pipe)).progress("reads")
    Report(console=Console(file=terminal, force_terminal=True)).progress("reads")
    assert "" == pipe.getvalue()
    assert "reads" in terminal.getvalue()


def test_json_has_every_figure_and_whether_its_goal_is_met(tmp_path: Path) -> None:
    """Programs read the same as the tables show."""
    report = Report(console=Console(file=io.StringIO()))
    report.add(_TABLE)
    write_json(report, tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    (table,) = document["tables"]
    assert [True, False] == [row["goals"][CPU_RATIO]["met"] for row in table["rows"]]
    assert [{CPU_RATIO: 0.25}, {CPU_RATIO: 0.5, "stall ms": 12.0}] == [row["figures"] for row in table["rows"]]
    assert {"Python", "redis", "msgspec"} <= document["versions"].keys()


def test_markdown_table_has_a_cell_for_each_column_of_each_row() -> None:
    """A row without a figure has an empty cell."""
    assert [
        "**reads**",
        "",
        "| contender | CPU ratio | stall ms |",
        "|---|---:|---:|",
        "| statcore | 0.25 (<= 0.3) |  |",
        "| slow | 0.50 (<= 0.3) ! | 12.0 |",
        "",
        "Ratios to: redis-py.",
    ] == _TABLE.markdown().splitlines()


def test_measured_section_of_a_document_is_replaced() -> None:
    """Other sections and the text around them stay."""
    before = "# Speed\n<!-- bench live -->\nold\n<!-- end live -->\n<!-- bench callers -->\nold\n<!-- end callers -->\n"
    after = replace_section(before, "live", r"new \1")
    assert before.replace("old", r"new \1", 1) == after


def test_document_has_a_section_for_each_measurement() -> None:
    """`make bench` refuses to write into a document without them."""
    document = (Path(__file__).parents[3] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [] == [name for name in MEASUREMENTS if not has_section(document, name)]
    assert not has_section(document, "no-such-measurement")


def test_plot_marks_each_value_and_explains_the_marks() -> None:
    """Each contender has its own mark, once for each size and once in the legend."""
    text = plot({"first": {1: 1, 10: 4, 100: 50}, "last": {1: 2, 10: 30, 100: 1000}}, title="T", x_label="n", y_label="ms")
    assert [4, 4] == [text.count(mark) for mark in "ox"]
    assert all(line == line.rstrip() for line in text.splitlines())


@given(st.lists(st.text(), min_size=1, max_size=6, unique=True))
def test_every_contender_runs_in_every_place(names: list[str]) -> None:
    """The order rotates."""
    orders = [in_rotation(names, repeat) for repeat in range(len(names))]
    assert [set(names)] * len(names) == [set(place) for place in zip(*orders, strict=True)]
    assert all(set(names) == set(order) for order in orders)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_share_of_values_lies_below_the_percentile(values: list[float], share: float) -> None:
    """At most this share of the values is smaller."""
    values.sort()
    assert sum(value < percentile(values, share) for value in values) <= share * len(values)


def test_times_of_the_machine_leave_out_idleness() -> None:
    """Waiting for input and output is idle; steal is counted on its own."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    fields = [1, 2, 4, 1000, 1000, 8, 16, 32, 0, 0]
    stat = f"cpu  {' '.join(str(field * ticks_per_s) for field in fields)}\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    assert MachineTimes(busy_s=31, stolen_s=32) == machine_times(stat)


def test_cpu_time_of_a_process_is_that_of_its_clock() -> None:
    """For the own process it is the clock of `time.process_time`."""
    before = time.process_time()
    own = cpu_s(os.getpid())
    assert before <= own <= time.process_time()


@pytest.mark.parametrize(
    ("expected", "value"), [("0.25", 0.25), ("12.3", 12.34), ("1,234", 1234.5), ("0.0098", 0.00982), ("0.00", 0.0)]
)
def test_figures_have_about_three_digits(expected: str, value: float) -> None:
    """Large figures have no decimals, and small ones are not rounded away."""
    assert expected == number(value)
