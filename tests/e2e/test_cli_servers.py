"""The program against a real Valkey and a real Prometheus, as a person or a script runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from redis import Redis

from statcore.testing.servers import Server, find_program, free_port, running_prometheus

ONE, TWO, THREE = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 4))
END = 1_795_341_600
MEM = {"current": "1048576", "capacity": "2097152", "pct": "50.00", "unit_hint": "bytes", "stats.max": "1048576"}


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with these settings of statcore and no others, and with buffered output."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(("STATCORE_", "PYTHONUNBUFFERED"))}
    return others | {f"STATCORE_{name.upper()}": value for name, value in settings.items()}


def statcore(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "statcore_cli", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start the program, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "statcore_cli", *arguments],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def kernels(valkey: Server) -> str:
    """The URL of a Valkey with one kernel that is whole, one that is garbage, and nothing else."""
    with Redis(host="127.0.0.1", port=valkey.port) as client:
        client.set(ONE, msgpack.packb({"mem": MEM, "cpu_util": {**MEM, "current": "NaN"}}), ex=86400)
        client.set(TWO, b"\xc1garbage", ex=86400)
    return valkey.url


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus with a quarter of an hour of one kernel: half a core, and memory that grows by a byte a second."""
    folder = tmp_path_factory.mktemp("prometheus")
    labels = f'agent_id="a",kernel_id="{ONE}",session_id="{TWO}",user_id="u",project_id="p",value_type="current"'
    lines = ["# TYPE backendai_container_utilization gauge"]
    for metric, slope, base in (("cpu_util", 500, 0), ("mem", 1, 1 << 20)):
        lines += [
            f'backendai_container_utilization{{container_metric_name="{metric}",{labels}}}'
            f" {base + slope * (time - END)} {time}"
            for time in range(END - 900, END + 1, 5)
        ]
    text = folder / "samples.om"
    text.write_text("\n".join([*lines, "# EOF", ""]))
    try:
        promtool = find_program("promtool")
        find_program("prometheus")
    except Exception as error:  # noqa: BLE001 - as tests/conftest.py does for its own fixtures
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    # The samples lie ahead of the clock where this runs before their date, or long behind it: nothing may be dropped.
    with running_prometheus(folder, targets={}, arguments=["--storage.tsdb.retention.time=100y"]) as server:
        yield server


RANGE = ("--start", str(END - 300), "--end", str(END), "--step", "60s")


def test_kernels_as_json(kernels: str) -> None:
    """Every id is there, and the garbage has taken nothing with it."""
    done = statcore("kernels", ONE, TWO, THREE, "--format", "json", statistics_url=kernels)

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert {ONE: {"mem": MEM, "cpu_util": {**MEM, "current": "NaN"}}, TWO: None, THREE: None} == document["kernels"]
    assert {TWO: "malformed"} == {id_: problem["kind"] for id_, problem in document["problems"].items()}


def test_kernels_in_a_pipe_are_never_cut_off(kernels: str) -> None:
    """Whatever the width of the terminal is said to be, and without a trace of it."""
    with_columns = [sys.executable, "-m", "statcore_cli", "kernels", ONE, TWO, "--statistics-url", kernels]
    done = subprocess.run(
        with_columns,
        env=environment() | {"COLUMNS": "20", "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    header, *lines = done.stdout.splitlines()
    assert ["ID", "METRIC", "CURRENT", "CAPACITY", "PCT", "UNIT_HINT", "STATS.MAX", "PROBLEM"] == header.split()
    assert [ONE, "mem", "1048576", "2097152", "50.00", "bytes", "1048576"] == lines[0].split()
    assert "malformed: " in lines[2]
    assert "\x1b" not in done.stdout
    assert "" == done.stderr


def test_utilization_is_what_was_measured(history: Server) -> None:
    """Half a core is 500 ms a second, as the server's own rate says."""
    done = statcore("query", "container", "--metric-name", "cpu_util", *RANGE, "--format", "json", metrics_url=history.url)

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    (series,) = document["series"]
    assert {"value_type": "current"} == series["labels"]
    assert [END - 300 + 60 * number for number in range(6)] == series["timestamps"]
    assert pytest.approx([500.0] * 6) == series["values"]
    assert ([], False) == (document["warnings"], document["partial"])


def test_utilization_as_csv_in_utc(history: Server) -> None:
    """Each sample is a row."""
    arguments = ["--metric-name", "mem", "--kernel-id", ONE, "--session-id", TWO, *RANGE, "--format", "csv"]
    done = statcore("query", "container", *arguments, metrics_url=history.url)

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {
        "kernel_id": ONE,
        "session_id": TWO,
        "value_type": "current",
        "time": "2026-11-22T10:00:00Z",
        "value": str(1 << 20),
    } == rows[-1]
    assert 6 == len(rows)


def test_a_plot_is_drawn(history: Server) -> None:
    """In a pipe, too."""
    done = statcore("query", "container", "--metric-name", "mem", *RANGE, "--format", "plot", metrics_url=history.url)

    assert "value_type=current" == done.stdout.splitlines()[0]
    assert re.search("[\u2801-\u28ff]", done.stdout)


def test_the_text_that_is_printed_is_the_query(history: Server) -> None:
    """The server answers it with the same value."""
    text = statcore("promql", "container", "--metric-name", "cpu_util", "--kernel-id", ONE).stdout.strip()

    query = urllib.parse.urlencode({"query": text, "time": END})
    with urllib.request.urlopen(f"{history.url}/api/v1/query?{query}", timeout=10) as answer:  # noqa: S310
        (found,) = json.load(answer)["data"]["result"]
    assert pytest.approx(500.0) == float(found["value"][1])
    assert {"kernel_id": ONE, "value_type": "current"} == found["metric"]


def test_metrics_are_listed(history: Server) -> None:
    """Those that the backend has."""
    assert "cpu_util\nmem\n" == statcore("metrics", "container", metrics_url=history.url).stdout.removeprefix("METRIC\n")


def test_settings_from_a_file_work(kernels: str, history: Server, tmp_path: Path) -> None:
    """Both URLs, the rate interval and an option of each adapter."""
    file = tmp_path / "statcore.toml"
    file.write_text(
        f'statistics_url = "{kernels}"\nmetrics_url = "{history.url}"\nrate_interval = "1m"\n'
        "[statistics]\ntimeout_s = 20\n[metrics]\nnormalization_interval_s = 2.0\n"
    )

    done = statcore("doctor", "--format", "json", config=str(file))

    checks = {check["check"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert 0 == done.returncode, done.stdout
    assert dict.fromkeys(["settings", "plugins", "store", "backend"], "ok") == checks
    assert "[1m])) / 2.0" in statcore("promql", "container", "--metric-name", "net_rx", config=str(file)).stdout
    file.write_text(file.read_text().replace("timeout_s", "time_out_s"))
    done = statcore("kernels", ONE, config=str(file))
    assert 2 == done.returncode
    assert done.stderr.startswith(f"statcore: statistics_url in {file} and [statistics] in {file}: ")
    assert "time_out_s" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "setting", "scheme"),
    [(["kernels", ONE], "statistics_url", "valkey"), (["metrics", "container"], "metrics_url", "http")],
)
def test_a_server_that_is_away_is_one_line(arguments: list[str], setting: str, scheme: str) -> None:
    """The answer is an error: exit code 1, no traceback, no password."""
    done = statcore(*arguments, **{setting: f"{scheme}://user:hunter2@127.0.0.1:{free_port()}"})

    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"statcore: .*127\.0\.0\.1.*\n", done.stderr)
    assert "hunter2" not in done.stderr


def test_the_doctor_says_what_is_away(kernels: str) -> None:
    """The store is fine, the backend is not."""
    done = statcore("doctor", statistics_url=kernels, metrics_url=f"http://127.0.0.1:{free_port()}")

    assert 1 == done.returncode
    assert re.search(r"^store +ok ", done.stdout, re.MULTILINE)
    assert re.search(r"^backend +wrong .*see that a server runs there", done.stdout, re.MULTILINE)


@pytest.fixture
def hung() -> Iterator[Callable[[], str]]:
    """A server that takes connections and says nothing: call it to wait for the first; its address comes first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        taken: list[socket.socket] = []

        def wait() -> str:
            taken.append(listener.accept()[0])
            return taken[-1].recv(64).decode(errors="replace")

        wait.port = listener.getsockname()[1]  # type: ignore[attr-defined]
        yield wait
        for connection in taken:
            connection.close()


@pytest.mark.parametrize(
    ("arguments", "setting", "scheme"),
    [(["kernels", ONE], "statistics_url", "valkey"), (["metrics", "container"], "metrics_url", "http")],
)
def test_an_interrupt_ends_it_at_once(hung: Any, arguments: list[str], setting: str, scheme: str) -> None:
    """Ctrl-C while it waits for a server: 130, and no traceback."""
    with start(*arguments, **{setting: f"{scheme}://127.0.0.1:{hung.port}"}) as process:
        assert hung()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (130, "", "") == (process.returncode, out, err)


@pytest.mark.parametrize(
    ("arguments", "table", "setting", "scheme"),
    [
        (["kernels", ONE], "statistics", "statistics_url", "valkey"),
        (["metrics", "container"], "metrics", "metrics_url", "http"),
    ],
)
def test_a_server_that_hangs_is_waited_for_as_long_as_the_file_says(
    hung: Any, tmp_path: Path, arguments: list[str], table: str, setting: str, scheme: str
) -> None:
    """Then it is one line."""
    file = tmp_path / "statcore.toml"
    file.write_text(f'{setting} = "{scheme}://127.0.0.1:{hung.port}"\n[{table}]\ntimeout_s = 0.3')

    done = statcore(*arguments, config=str(file))

    assert (1, "") == (done.returncode, done.stdout)
    assert re.fullmatch(r"statcore: .*0\.3.*\n", done.stderr)


@pytest.mark.parametrize("output_format", ["text", "csv", "json"])
def test_a_reader_that_goes_away_is_no_error(kernels: str, output_format: str) -> None:
    """As in `statcore … | head`: no traceback, and the code that a shell gives for it."""
    with start("kernels", ONE, "--format", output_format, statistics_url=kernels) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(60)

    assert (141, "") == (process.returncode, err)


@pytest.mark.parametrize("columns", [60, 200])
def test_on_a_terminal_there_is_a_table_and_progress(kernels: str, columns: int) -> None:
    """A table, or whole lines where there is no room for one; progress is on standard error and goes away again."""
    outer, inner = pty.openpty()
    error_outer, error_inner = pty.openpty()
    variables = environment(statistics_url=kernels) | {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "statcore_cli", "kernels", ONE], env=variables, stdout=inner, stderr=error_inner
    )
    os.close(inner)
    os.close(error_inner)
    shown, progress = (re.sub(r"\x1b\[[0-9;?]*m", "", read_all(terminal)) for terminal in (outer, error_outer))

    assert 0 == process.wait(60)
    assert (columns == 200) == ("─" in shown)
    assert re.search(f"{ONE} +mem +1048576 +2097152 +50.00 +bytes", shown)
    assert "reading live statistics" in progress
    assert progress.endswith("\x1b[2K")


def read_all(terminal: int) -> str:
    """Read what a program wrote to its terminal until it ended."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # that is how a terminal whose other end is closed says so
            part = b""
        if not part:
            os.close(terminal)
            return b"".join(parts).decode()
        parts.append(part)
