"""The program's output to a pipe, a terminal, and a reader that closes the pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest
from tests.e2e.program import ID_1, ID_2, environment, read_all, start, statcore


def test_kernels_in_a_pipe_are_never_cut_off(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of the terminal does not matter, and there is no control sequence."""
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm-256color")
    done = statcore("kernels", ID_1, ID_2, statistics_url=kernels)

    assert 0 == done.returncode
    header, *lines = done.stdout.splitlines()
    assert ["ID", "METRIC", "CURRENT", "CAPACITY", "PCT", "UNIT_HINT", "STATS.MAX", "AGE_S", "PROBLEM"] == header.split()
    assert [ID_1, "mem", "1048576", "2097152", "50.00", "bytes", "1048576"] == lines[0].split()[:-1]
    assert 0 <= float(lines[0].split()[-1])
    assert "malformed: " in lines[2]
    assert "\x1b" not in done.stdout
    assert "" == done.stderr


@pytest.mark.parametrize("output_format", ["text", "csv", "json"])
def test_a_reader_that_closes_the_pipe_is_no_error(kernels: str, output_format: str) -> None:
    """The reader of `statcore … | head` leaves: there is no traceback, and the exit code is that of a shell."""
    with start("kernels", ID_1, "--format", output_format, statistics_url=kernels) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(60)

    assert (141, "") == (process.returncode, err)


@pytest.mark.parametrize("columns", [60, 200])
def test_a_terminal_gets_a_table_and_progress(kernels: str, columns: int) -> None:
    """A terminal that is too narrow for the table gets lines of words; progress is on standard error, and is erased."""
    outer, inner = pty.openpty()
    error_outer, error_inner = pty.openpty()
    variables = environment(statistics_url=kernels) | {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "statcore_cli", "kernels", ID_1], env=variables, stdout=inner, stderr=error_inner
    )
    os.close(inner)
    os.close(error_inner)
    shown, progress = (re.sub(r"\x1b\[[0-9;?]*m", "", read_all(terminal)) for terminal in (outer, error_outer))

    assert 0 == process.wait(60)
    assert (columns == 200) == ("─" in shown)
    row = {
        60: rf"{ID_1}\s+metric mem, current 1048576, capacity 2097152, pct 50.00,\s+unit_hint bytes",
        200: f"{ID_1} +mem +1048576 +2097152 +50.00 +bytes",
    }
    assert re.search(row[columns], shown)
    assert "reading live statistics" in progress
    assert progress.endswith("\x1b[2K")
