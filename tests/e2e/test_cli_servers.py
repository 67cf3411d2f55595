"""The program with a real Valkey and a real Prometheus, and the settings for them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.program import END_S, ID_1, ID_2, ID_3, MEM, statcore
from tests.support.planted_server import planted_server

from statcore.testing.metrics.dataset import PlantedSeries
from statcore.testing.servers import Server, raw_query


def planted() -> Iterator[PlantedSeries]:
    """Yield 15 minutes of one kernel: half a core, and memory that grows by a byte per second."""
    owners = {"agent_id": "a", "kernel_id": ID_1, "session_id": ID_2, "user_id": "u", "project_id": "p"}
    for metric, slope, base in (("cpu_util", 500, 0), ("mem", 1, 1 << 20)):
        samples = [(time, float(base + slope * (time - END_S))) for time in range(END_S - 900, END_S + 1, 5)]
        labels = {"container_metric_name": metric, "value_type": "current", **owners}
        yield PlantedSeries("backendai_container_utilization", labels, samples)


# The samples may be ahead of the clock or long behind it; the retention must not drop any.
history = planted_server(planted, "--storage.tsdb.retention.time=100y")
RANGE = ("--start", str(END_S - 300), "--end", str(END_S), "--step", "60s")


def test_kernels_as_json(kernels: str) -> None:
    """Every id is in the answer, and a malformed entry leaves the others."""
    done = statcore("kernels", ID_1, ID_2, ID_3, "--format", "json", statistics_url=kernels)

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    shown = {**MEM, "current": "NaN", "stats.max": None}  # the maximum of the CPU counter means nothing
    assert {ID_1: {"mem": MEM, "cpu_util": shown}, ID_2: None, ID_3: None} == document["kernels"]
    assert {ID_2: "malformed"} == {id_: problem["kind"] for id_, problem in document["problems"].items()}


def test_utilization_is_what_was_measured(history: Server) -> None:
    """Half a core is 500 ms per second, like the rate that the server itself returns."""
    done = statcore("query", "container", "--metric-name", "cpu_util", *RANGE, "--format", "json", metrics_url=history.url)

    document = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    (series,) = document["series"]
    assert {"value_type": "current"} == series["labels"]
    assert [END_S - 300 + 60 * number for number in range(6)] == series["timestamps"]
    assert pytest.approx([500.0] * 6) == series["values"]
    assert ([], False) == (document["warnings"], document["partial"])


def test_a_range_of_too_many_points_is_refused(history: Server) -> None:
    """The line names the setting and a step that fits; with that step it is answered."""
    year = ("query", "container", "--metric-name", "cpu_util", "--last", "1y", "--format", "json")
    refused = statcore(*year, "--step", "1s", metrics_url=history.url)
    assert (2, "") == (refused.returncode, refused.stdout)
    assert "points are too many: max_range_points is 110000" in refused.stderr
    assert "take a step of 5m or more" in refused.stderr
    assert 1 == refused.stderr.count("\n")
    assert 0 == statcore(*year, "--step", "5m", metrics_url=history.url).returncode


def test_utilization_as_csv_in_utc(history: Server) -> None:
    """Each sample is a row."""
    arguments = ["--metric-name", "mem", "--kernel-id", ID_1, "--session-id", ID_2, *RANGE, "--format", "csv"]
    done = statcore("query", "container", *arguments, metrics_url=history.url)

    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {
        "kernel_id": ID_1,
        "session_id": ID_2,
        "value_type": "current",
        "time": "2026-11-22T10:00:00Z",
        "value": str(1 << 20),
    } == rows[-1]
    assert 6 == len(rows)


def test_a_plot_is_drawn(history: Server) -> None:
    """Standard output is a pipe."""
    done = statcore("query", "container", "--metric-name", "mem", *RANGE, "--format", "plot", metrics_url=history.url)

    assert "value_type=current" == done.stdout.splitlines()[0]
    assert re.search("[\u2801-\u28ff]", done.stdout)


def test_the_text_that_is_printed_is_the_query(history: Server) -> None:
    """The server answers it with the same value."""
    text = statcore("promql", "container", "--metric-name", "cpu_util", "--kernel-id", ID_1).stdout.strip()

    (found,) = raw_query(history, text, END_S)
    assert pytest.approx(500.0) == float(found["value"][1])
    assert {"kernel_id": ID_1, "value_type": "current"} == found["metric"]


def test_metrics_are_listed(history: Server) -> None:
    """They are those that the backend has."""
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
    assert {"settings", "plugins", "store", "backend"} < {*checks}
    assert {"ok"} == {*checks.values()}
    assert "[1m])) / 2.0" in statcore("promql", "container", "--metric-name", "net_rx", config=str(file)).stdout
    file.write_text(file.read_text().replace("timeout_s", "time_out_s"))
    done = statcore("kernels", ID_1, config=str(file))
    assert 2 == done.returncode
    assert done.stderr.startswith(f"statcore: statistics_url in {file} and [statistics] in {file}: ")
    assert "time_out_s" in done.stderr
