"""`statcore preset list | show | run`, with a backend that records its queries."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import Invoke, checks, csv_rows

from statcore_cli.times import format_time

PLUGIN = """
from array import array
from statcore.model import MatrixResult, Sample, Series, VectorResult
from statcore.plugins import MetricBackendSpec, Preset, hookimpl
STATCORE_PLUGIN_API = 1
QUERIES = []

class Backend:
    async def query_utilization(self, *arguments, **options): raise AssertionError("no command calls this")
    query_utilization_now = label_values = series = ping = query_utilization
    async def query(self, promql, /, *, time=None):
        QUERIES.append((promql, time))
        sample = Sample(labels={"agent_id": "i-1"}, timestamp=time.timestamp(), value=0.75)
        return VectorResult(samples=(sample,), warnings=("w",))
    async def query_range(self, promql, time_range, /):
        QUERIES.append((promql, time_range))
        series = Series(labels={"agent_id": "i-1"}, timestamps=array("d", [1795341600.0]), values=array("d", [0.5]))
        return MatrixResult(series=(series,), warnings=("w",))
    async def aclose(self): QUERIES.append("closed")

async def open_backend(url, options): return Backend()

@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="recorded", summary="s", schemes=("recorded",), open=open_backend)]

@hookimpl
def statcore_presets():
    return [Preset(name="uptime", description="What is up", template="up")]
"""
TEMPLATE = "sum by (${{ group_by }})(\n  rate(x_total{${{ labels }}}[${{ window }}])\n)"
FILE = f"""
[presets.busy]
description = "Work done"
template = '''{TEMPLATE}'''
filter_labels = ["kernel_id", "agent_id"]
group_labels = ["agent_id"]
window = "1h"
"""
RANGE = ("--start", "1795341600", "--end", "1795345200", "--step", "5m")


@pytest.fixture
def queries(install: Callable[..., Path]) -> list[Any]:
    """The queries that the backend `recorded:` got; its plugin has a preset, too."""
    install("acme-recorded", version="2.0", recorded=PLUGIN)
    import acme_recorded_recorded  # type: ignore[import-not-found]  # noqa: PLC0415 - installed just now

    return acme_recorded_recorded.QUERIES  # type: ignore[no-any-return]


@pytest.fixture
def busy(tmp_path: Path, queries: list[Any]) -> str:
    """A file with one preset."""
    del queries
    file = tmp_path / "busy.toml"
    file.write_text(FILE)
    return str(file)


class TestList:
    """`statcore preset list`."""

    def test_it_says_where_presets_come_from(self, statcore: Invoke, busy: str) -> None:
        """The origin is a file, or a distribution with its version."""
        result = statcore("preset", "list", "--presets", busy, "--format", "json")

        assert {
            "presets": [
                {"name": "busy", "description": "Work done", "origin": busy},
                {"name": "uptime", "description": "What is up", "origin": "acme-recorded 2.0"},
            ]
        } == json.loads(result.stdout)
        assert (0, "") == (result.exit_code, result.stderr)

    def test_csv_and_text(self, statcore: Invoke, busy: str) -> None:
        """Both have the same columns."""
        as_csv, as_text = (statcore("preset", "list", "--format", name, "--presets", busy) for name in ("csv", "text"))

        assert [("busy", busy), ("uptime", "acme-recorded 2.0")] == [
            (row["name"], row["origin"]) for row in csv_rows(as_csv.stdout)
        ]
        assert ["NAME", "DESCRIPTION", "ORIGIN"] == as_text.stdout.splitlines()[0].split()
        assert as_text.stdout.splitlines()[1].endswith(busy)

    def test_files_may_be_given_in_any_way(self, statcore: Invoke, busy: str, tmp_path: Path) -> None:
        """Options may recur or have commas; the environment and the settings file may name files, too."""
        other = tmp_path / "other.toml"
        other.write_text(FILE.replace("busy", "idle"))
        settings = tmp_path / "statcore.toml"
        settings.write_text("presets = ['busy.toml', 'other.toml']")
        both = f"{busy},{other}"

        for arguments, environment in (
            (["preset", "list", "--presets", busy, "--presets", str(other)], {}),
            (["preset", "list", "--presets", both], {}),
            (["preset", "--presets", both, "list"], {}),
            (["--presets", both, "preset", "list"], {}),
            (["--presets", "/nowhere", "preset", "list", "--presets", both], {}),
            (["preset", "list"], {"STATCORE_PRESETS": both}),
            (["preset", "list", "--config", str(settings)], {}),
        ):
            result = statcore(*arguments, "--format", "csv", env=environment)
            assert ["busy", "idle", "uptime"] == [row["name"] for row in csv_rows(result.stdout)], result.stderr

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "cannot read FILE: No such file or directory"),
            (b"\xff", "FILE is not TOML: "),
            (b"= x", "FILE is not TOML: "),
            (b"#" * 1_000_001, "FILE has more than 1000000 characters"),
        ],
    )
    def test_a_bad_file_is_one_line(
        self, statcore: Invoke, queries: list[Any], tmp_path: Path, content: bytes | None, message: str
    ) -> None:
        """The exit code is 2."""
        assert [] == queries
        file = tmp_path / "f.toml"
        if content is not None:
            file.write_bytes(content)

        result = statcore("preset", "list", "--presets", str(file))

        assert (2, "") == (result.exit_code, result.stdout)
        assert message.replace("FILE", str(file)) in result.stderr
        assert 1 == result.stderr.count("\n")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a", f"{FILE}[presets.a]", "FILE: preset a: description, template is missing"),
            (
                "uptime",
                FILE + FILE.replace("busy", "uptime"),
                "FILE: the preset uptime is also in plugin 'recorded' of acme-recorded 2.0; rename one of the two",
            ),
        ],
    )
    def test_a_bad_preset_leaves_the_others(
        self, statcore: Invoke, queries: list[Any], tmp_path: Path, name: str, content: str, message: str
    ) -> None:
        """The others of its file are listed and run; running the bad one reports its error."""
        file = tmp_path / "f.toml"
        file.write_text(content)
        settings = {"STATCORE_PRESETS": str(file), "STATCORE_METRICS_URL": "recorded:"}

        listed = statcore("preset", "list", "--format", "csv", env=settings)
        run, bad = (statcore("preset", "run", known, env=settings) for known in ("busy", name))
        doctor = statcore("doctor", "--format", "csv", env=settings)

        expected = message.replace("FILE", str(file))
        assert ["busy", "uptime"] == [row["name"] for row in csv_rows(listed.stdout)]
        assert (1, f"statcore: {expected}\n") == (listed.exit_code, listed.stderr)
        assert (0, True) == (run.exit_code, bool(queries))
        assert (2, "", f"statcore: {expected}\n") == (bad.exit_code, bad.stdout, bad.stderr)
        assert [expected] == [row["detail"] for row in csv_rows(doctor.stdout) if row["check"] == "presets"]

    def test_a_missing_parser_names_the_command_that_installs_it(
        self, statcore: Invoke, busy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The exit code is 1."""
        monkeypatch.setitem(sys.modules, "promql_parser", None)
        result = statcore("preset", "list", "--presets", busy)
        expected = "this needs the extra 'presets' (no module named 'promql_parser'): pip install 'statcore[presets]'"
        assert (1, f"statcore: {expected}\n") == (result.exit_code, result.stderr)


class TestShow:
    """`statcore preset show NAME`."""

    def test_json_has_everything(self, statcore: Invoke, busy: str) -> None:
        """The window is null when the template has no placeholder for it."""
        documents = [
            json.loads(statcore("preset", "show", name, "--presets", busy, "--format", "json").stdout)
            for name in ("busy", "uptime")
        ]

        assert {
            "name": "busy",
            "description": "Work done",
            "origin": busy,
            "filter_labels": ["kernel_id", "agent_id"],
            "group_labels": ["agent_id"],
            "window": "1h",
            "template": TEMPLATE,
        } == documents[0]
        assert ("acme-recorded 2.0", [], [], None, "up") == tuple(
            documents[1][key] for key in ("origin", "filter_labels", "group_labels", "window", "template")
        )

    def test_text_shows_the_template_as_it_is_written(self, statcore: Invoke, busy: str) -> None:
        """The template is below the other fields, on its own lines."""
        result = statcore("preset", "show", "busy", "--presets", busy)

        above, _, below = result.stdout.partition("\n\n")
        assert f"{TEMPLATE}\n" == below
        assert "filter_labels  kernel_id, agent_id" in above.splitlines()
        assert "window         1h" in above.splitlines()

    def test_csv_is_one_row(self, statcore: Invoke, busy: str) -> None:
        """Lists are separated by commas."""
        (row,) = csv_rows(statcore("preset", "show", "busy", "--presets", busy, "--format", "csv").stdout)
        assert ("busy", "kernel_id, agent_id", TEMPLATE) == (row["name"], row["filter_labels"], row["template"])


class TestRun:
    """`statcore preset run NAME`."""

    def test_options_reach_the_query(self, statcore: Invoke, queries: list[Any], busy: str) -> None:
        """A repeated label allows any of its values; a value may contain an equals sign."""
        filters = ["--label", "kernel_id=b", "--label", "kernel_id=a=c", "--label", "agent_id=i"]
        more = ["--group-by", "agent_id", "--window", "10m", "--metrics-url", "recorded:", "--format", "json"]

        result = statcore("preset", "run", "busy", *filters, *more, *RANGE, "--presets", busy)

        assert 0 == result.exit_code, result.stderr
        (promql, time_range), closed = queries
        assert 'sum by (agent_id)(\n  rate(x_total{kernel_id=~"a=c|b",agent_id="i"}[10m])\n)' == promql
        assert (13, 300.0, "closed") == (time_range.points, time_range.step.total_seconds(), closed)
        series = {"labels": {"agent_id": "i-1"}, "timestamps": [1795341600.0], "values": [0.5]}
        assert {"series": [series], "warnings": ["w"], "infos": [], "partial": False} == json.loads(result.stdout)

    def test_the_default_range_is_the_last_15_minutes(self, statcore: Invoke, queries: list[Any]) -> None:
        """It has steps of ten seconds, and the newest value as the last point."""
        result = statcore("preset", "run", "uptime", env={"STATCORE_METRICS_URL": "recorded:"})

        (promql, time_range), (promql_now, now), _ = queries
        assert ("up", "up", 90) == (promql, promql_now, time_range.points)
        assert timedelta(0) < now - time_range.end < timedelta(seconds=10)
        assert [["i-1", "2026-11-22T10:00:00Z", "0.5"], ["i-1", format_time(now.timestamp()), "0.75"]] == [
            line.split() for line in result.stdout.splitlines()[-2:]
        ]
        assert "statcore: warning: w\n" == result.stderr

    def test_an_instant_is_an_instant_query(self, statcore: Invoke, queries: list[Any]) -> None:
        """It is printed like a range of one point."""
        result = statcore("preset", "run", "uptime", "--at", "1795341600", "--format", "json", "--metrics-url", "recorded:")

        assert 0 == result.exit_code, result.stderr
        (promql, time), _ = queries
        assert ("up", 1795341600.0) == (promql, time.timestamp())
        series = {"labels": {"agent_id": "i-1"}, "timestamps": [1795341600.0], "values": [0.75]}
        assert {"series": [series], "warnings": ["w"], "infos": [], "partial": False} == json.loads(result.stdout)

    def test_the_last_point_has_the_bounds_of_the_range(self, statcore: Invoke, queries: list[Any], tmp_path: Path) -> None:
        """start() and end() are the same constants in both queries."""
        file = tmp_path / "whole.toml"
        file.write_text('[presets.whole]\ndescription = "d"\ntemplate = "topk(1, up @ end() - up @ start())"\n')
        result = statcore("preset", "run", "whole", "--presets", str(file), env={"STATCORE_METRICS_URL": "recorded:"})

        assert 0 == result.exit_code, result.stderr
        (promql, time_range), (promql_now, now), _ = queries
        start_s, now_s = time_range.start.timestamp(), now.timestamp()
        assert f"topk(1, up @ {now_s:.3f} - up @ {start_s:.3f})" == promql == promql_now

    def test_a_plot_is_drawn(self, statcore: Invoke, queries: list[Any]) -> None:
        """The chart is the same as for a querier."""
        result = statcore("preset", "run", "uptime", *RANGE, "--format", "plot", "--metrics-url", "recorded:")
        assert "agent_id=i-1" == result.stdout.splitlines()[0]
        assert 2 == len(queries)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["idle"], "there is no preset idle; known are: busy, uptime"),
            (["busy", "--label", "user_id=x"], "the preset busy cannot be filtered by 'user_id'"),
            (["busy", "--label", "kernel_id"], "--label: expected LABEL=VALUE, not 'kernel_id'"),
            (["busy", "--last", "7d", "--step", "1s"], "presets answer at most 11000; take a step of 55s"),
            (["busy", "--start", "noon"], "--start: not a time: 'noon'"),
            (["busy", "--at", "noon"], "--at: not a time: 'noon'"),
            (["busy", "--at", "now", "--last", "1h"], "--at and --last exclude each other"),
            (["busy", "--at", "now", "--format", "plot"], "--at gives one instant, which cannot be plotted"),
            (["uptime", "--metrics-url", "fake:"], "uptime is a preset, for which the metric backend must evaluate PromQL"),
            (["uptime", "--metrics-url", "memory:"], "a memory: store or backend exists in one process only"),
        ],
    )
    def test_arguments_that_are_not_allowed_are_one_line(
        self, statcore: Invoke, queries: list[Any], busy: str, arguments: list[str], message: str
    ) -> None:
        """No query is sent."""
        result = statcore("preset", "run", *arguments, "--presets", busy, env={"STATCORE_METRICS_URL": "recorded:"})

        assert (1 if "evaluate PromQL" in message else 2, "") == (result.exit_code, result.stdout)
        assert message in result.stderr
        assert 1 == result.stderr.count("\n")
        assert [] == [query for query in queries if query != "closed"]


def test_the_file_in_the_help_is_valid(statcore: Invoke, queries: list[Any], tmp_path: Path) -> None:
    """It can be copied as it is."""
    assert [] == queries
    lines = statcore("preset", "--help").stdout.partition("has one table per preset:\n")[2].partition("Examples:")[0]
    file = tmp_path / "busy.toml"
    file.write_text("\n".join(line.removeprefix("      ") for line in lines.splitlines()))

    shown = statcore("preset", "show", "busy-kernels", "--presets", str(file))

    assert (0, "") == (shown.exit_code, shown.stderr)


def test_doctor_checks_files_of_presets(statcore: Invoke, busy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reports how many presets there are, or what is wrong."""

    def check(file: str) -> tuple[str, str, str]:
        return checks(statcore("doctor", "--presets", file, "--format", "json"))["presets"]

    assert ("ok", f"2 in plugins and {busy}", "") == check(busy)
    missing = f"--presets: cannot read {busy}.not: No such file or directory"
    assert ("wrong", missing, "correct it there") == check(f"{busy}.not")
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    assert ("wrong", "pip install 'statcore[presets]'") == check(busy)[::2]
