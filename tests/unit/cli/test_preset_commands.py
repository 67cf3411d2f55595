"""`statcore preset list | show | run`, with a backend that remembers what it was asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.unit.cli.asked_and_printed import rows
from tests.unit.cli.test_app import imported

from statcore_cli.times import format_time

Invoke = Callable[..., Result]

PLUGIN = """
from array import array
from statcore.model import MatrixResult, Sample, Series, VectorResult
from statcore.plugins import MetricBackendSpec, Preset, hookimpl
STATCORE_PLUGIN_API = 1
ASKED = []

class Backend:
    async def query_utilization(self, *asked, **options): raise AssertionError("no command calls this")
    query_utilization_now = label_values = series = ping = query_utilization
    async def query(self, promql, /, *, time=None):
        ASKED.append((promql, time))
        sample = Sample(labels={"agent_id": "i-1"}, timestamp=time.timestamp(), value=0.75)
        return VectorResult(samples=(sample,), warnings=("w",))
    async def query_range(self, promql, time_range, /):
        ASKED.append((promql, time_range))
        series = Series(labels={"agent_id": "i-1"}, timestamps=array("d", [1795341600.0]), values=array("d", [0.5]))
        return MatrixResult(series=(series,), warnings=("w",))
    async def aclose(self): ASKED.append("closed")

async def open_backend(url, options): return Backend()

@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="asked", summary="s", schemes=("asked",), open=open_backend)]

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
def asked(install: Callable[..., Path]) -> list[Any]:
    """What the backend at `asked:` was asked; its plugin has a preset, too."""
    install("acme-asked", version="2.0", asked=PLUGIN)
    import acme_asked_asked  # type: ignore[import-not-found]  # noqa: PLC0415 - installed just now

    return acme_asked_asked.ASKED  # type: ignore[no-any-return]


@pytest.fixture
def busy(tmp_path: Path, asked: list[Any]) -> str:
    """A file with one preset."""
    del asked
    file = tmp_path / "busy.toml"
    file.write_text(FILE)
    return str(file)


class TestList:
    """`statcore preset list`."""

    def test_it_says_where_presets_come_from(self, statcore: Invoke, busy: str) -> None:
        """A file, or a distribution and its version."""
        result = statcore("preset", "list", "--presets", busy, "--format", "json")

        assert {
            "presets": [
                {"name": "busy", "description": "Work done", "origin": busy},
                {"name": "uptime", "description": "What is up", "origin": "acme-asked 2.0"},
            ]
        } == json.loads(result.stdout)
        assert (0, "") == (result.exit_code, result.stderr)

    def test_csv_and_text(self, statcore: Invoke, busy: str) -> None:
        """The same columns."""
        as_csv, as_text = (statcore("preset", "list", "--format", name, "--presets", busy) for name in ("csv", "text"))

        assert [("busy", busy), ("uptime", "acme-asked 2.0")] == [
            (row["name"], row["origin"]) for row in rows(as_csv.stdout)
        ]
        assert ["NAME", "DESCRIPTION", "ORIGIN"] == as_text.stdout.splitlines()[0].split()
        assert as_text.stdout.splitlines()[1].endswith(busy)

    def test_files_may_be_given_in_any_way(self, statcore: Invoke, busy: str, tmp_path: Path) -> None:
        """Option after option, separated by commas, before the command, in the environment, and in the settings file."""
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
            assert ["busy", "idle", "uptime"] == [row["name"] for row in rows(result.stdout)], result.stderr

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "cannot read FILE: No such file or directory"),
            (b"\xff", "FILE is not TOML: "),
            (b"= x", "FILE is not TOML: "),
            (b"a = " + b"[" * 5000, "FILE is not TOML: "),
            (b"#" * 1_000_001, "FILE has more than 1000000 characters"),
        ],
    )
    def test_a_bad_file_is_one_line(
        self, statcore: Invoke, asked: list[Any], tmp_path: Path, content: bytes | None, message: str
    ) -> None:
        """And the exit code of wrong settings."""
        assert [] == asked
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
                "FILE: the preset uptime is one of plugin 'asked' of acme-asked 2.0, too; rename one of them",
            ),
        ],
    )
    def test_a_bad_preset_costs_nothing_but_itself(
        self, statcore: Invoke, asked: list[Any], tmp_path: Path, name: str, content: str, message: str
    ) -> None:
        """The others of its file are listed and asked; who asks for it is told."""
        file = tmp_path / "f.toml"
        file.write_text(content)
        settings = {"STATCORE_PRESETS": str(file), "STATCORE_METRICS_URL": "asked:"}

        listed = statcore("preset", "list", "--format", "csv", env=settings)
        run, bad = (statcore("preset", "run", known, env=settings) for known in ("busy", name))
        doctor = statcore("doctor", "--format", "csv", env=settings)

        told = message.replace("FILE", str(file))
        assert ["busy", "uptime"] == [row["name"] for row in rows(listed.stdout)]
        assert (1, f"statcore: {told}\n") == (listed.exit_code, listed.stderr)
        assert (0, True) == (run.exit_code, bool(asked))
        assert (2, "", f"statcore: {told}\n") == (bad.exit_code, bad.stdout, bad.stderr)
        assert [told] == [row["detail"] for row in rows(doctor.stdout) if row["check"] == "presets"]

    def test_without_the_parser_it_says_what_to_install(
        self, statcore: Invoke, busy: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the command to type."""
        monkeypatch.setitem(sys.modules, "promql_parser", None)
        result = statcore("preset", "list", "--presets", busy)
        expected = "this needs the extra 'presets' (no module named 'promql_parser'): pip install 'statcore[presets]'"
        assert (1, f"statcore: {expected}\n") == (result.exit_code, result.stderr)


class TestShow:
    """`statcore preset show NAME`."""

    def test_json_has_everything(self, statcore: Invoke, busy: str) -> None:
        """The window is null where the template has no place for one."""
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
        assert ("acme-asked 2.0", [], [], None, "up") == tuple(
            documents[1][key] for key in ("origin", "filter_labels", "group_labels", "window", "template")
        )

    def test_text_shows_the_template_as_it_is_written(self, statcore: Invoke, busy: str) -> None:
        """On its own lines, under all the rest."""
        result = statcore("preset", "show", "busy", "--presets", busy)

        above, _, below = result.stdout.partition("\n\n")
        assert f"{TEMPLATE}\n" == below
        assert "filter_labels  kernel_id, agent_id" in above.splitlines()
        assert "window         1h" in above.splitlines()

    def test_csv_is_one_row(self, statcore: Invoke, busy: str) -> None:
        """Lists are separated by commas."""
        (row,) = rows(statcore("preset", "show", "busy", "--presets", busy, "--format", "csv").stdout)
        assert ("busy", "kernel_id, agent_id", TEMPLATE) == (row["name"], row["filter_labels"], row["template"])

    def test_an_unknown_name_lists_the_known(self, statcore: Invoke, busy: str) -> None:
        """Of files and of plugins."""
        result = statcore("preset", "show", "idle", "--presets", busy)
        assert (2, "statcore: there is no preset idle; known are: busy, uptime\n") == (result.exit_code, result.stderr)


class TestRun:
    """`statcore preset run NAME`."""

    def test_options_reach_the_query(self, statcore: Invoke, asked: list[Any], busy: str) -> None:
        """The same label twice means any of the values; a value may hold what separates it."""
        filters = ["--label", "kernel_id=b", "--label", "kernel_id=a=c", "--label", "agent_id=i"]
        more = ["--group-by", "agent_id", "--window", "10m", "--metrics-url", "asked:", "--format", "json"]

        result = statcore("preset", "run", "busy", *filters, *more, *RANGE, "--presets", busy)

        assert 0 == result.exit_code, result.stderr
        (promql, time_range), closed = asked
        assert 'sum by (agent_id)(\n  rate(x_total{kernel_id=~"a=c|b",agent_id="i"}[10m])\n)' == promql
        assert (13, 300.0, "closed") == (time_range.points, time_range.step.total_seconds(), closed)
        series = {"labels": {"agent_id": "i-1"}, "timestamps": [1795341600.0], "values": [0.5]}
        assert {"series": [series], "warnings": ["w"], "infos": [], "partial": False} == json.loads(result.stdout)

    def test_nothing_need_be_said(self, statcore: Invoke, asked: list[Any]) -> None:
        """The last quarter of an hour, in steps of ten seconds, and the newest value as the last point."""
        result = statcore("preset", "run", "uptime", env={"STATCORE_METRICS_URL": "asked:"})

        (promql, time_range), (promql_now, now), _ = asked
        assert ("up", "up", 90) == (promql, promql_now, time_range.points)
        assert timedelta(0) < now - time_range.end < timedelta(seconds=10)
        assert [["i-1", "2026-11-22T10:00:00Z", "0.5"], ["i-1", format_time(now.timestamp()), "0.75"]] == [
            line.split() for line in result.stdout.splitlines()[-2:]
        ]
        assert "statcore: warning: w\n" == result.stderr

    def test_an_instant_is_asked_as_one(self, statcore: Invoke, asked: list[Any]) -> None:
        """With the output of a range of one point."""
        result = statcore("preset", "run", "uptime", "--at", "1795341600", "--format", "json", "--metrics-url", "asked:")

        assert 0 == result.exit_code, result.stderr
        (promql, time), _ = asked
        assert ("up", 1795341600.0) == (promql, time.timestamp())
        series = {"labels": {"agent_id": "i-1"}, "timestamps": [1795341600.0], "values": [0.75]}
        assert {"series": [series], "warnings": ["w"], "infos": [], "partial": False} == json.loads(result.stdout)

    def test_the_newest_value_is_of_the_same_range(self, statcore: Invoke, asked: list[Any], tmp_path: Path) -> None:
        """The bounds of the range are the same constants for all points."""
        file = tmp_path / "whole.toml"
        file.write_text('[presets.whole]\ndescription = "d"\ntemplate = "topk(1, up @ end() - up @ start())"\n')
        result = statcore("preset", "run", "whole", "--presets", str(file), env={"STATCORE_METRICS_URL": "asked:"})

        assert 0 == result.exit_code, result.stderr
        (promql, time_range), (promql_now, now), _ = asked
        start_s, now_s = time_range.start.timestamp(), now.timestamp()
        assert f"topk(1, up @ {now_s:.3f} - up @ {start_s:.3f})" == promql == promql_now

    def test_a_plot_is_drawn(self, statcore: Invoke, asked: list[Any]) -> None:
        """As of a querier."""
        result = statcore("preset", "run", "uptime", *RANGE, "--format", "plot", "--metrics-url", "asked:")
        assert "agent_id=i-1" == result.stdout.splitlines()[0]
        assert 2 == len(asked)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["idle"], "there is no preset idle; known are: busy, uptime"),
            (
                ["busy", "--label", "user_id=x"],
                "the preset busy cannot be filtered by 'user_id'; only by kernel_id, agent_id",
            ),
            (["busy", "--label", "kernel_id"], "--label: expected LABEL=VALUE, not 'kernel_id'"),
            (["busy", "--group-by", "kernel_id"], "the preset busy cannot be grouped by 'kernel_id'; only by agent_id"),
            (["busy", "--window", "5m] or up[5m"], "window: not a duration: '5m] or up[5m'"),
            (["uptime", "--window", "5m"], "the preset uptime has no window"),
            (["busy", "--step", "1ms"], "a step of 1ms is shorter than 1s"),
            (
                ["busy", "--last", "7d", "--step", "1s"],
                "presets answer at most 11000; take a step of 55s",
            ),
            (["busy", "--last", "2y"], "is longer than 366d"),
            (["busy", "--start", "noon"], "--start: not a time: 'noon'"),
            (["busy", "--at", "noon"], "--at: not a time: 'noon'"),
            (["busy", "--at", "now", "--last", "1h"], "--at and --last exclude each other"),
            (["busy", "--at", "now", "--format", "plot"], "--at gives one instant, which cannot be plotted"),
            (["uptime", "--metrics-url", "fake:"], "uptime is a preset, for which the metric backend must evaluate PromQL"),
            (["uptime", "--metrics-url", "memory:"], "a memory: store or backend exists in one process only"),
        ],
    )
    def test_what_is_not_allowed_is_one_line(
        self, statcore: Invoke, asked: list[Any], busy: str, arguments: list[str], message: str
    ) -> None:
        """Nothing is asked of the backend."""
        result = statcore("preset", "run", *arguments, "--presets", busy, env={"STATCORE_METRICS_URL": "asked:"})

        assert (1 if "evaluate PromQL" in message else 2, "") == (result.exit_code, result.stdout)
        assert message in result.stderr
        assert 1 == result.stderr.count("\n")
        assert [] == [one for one in asked if one != "closed"]


@pytest.mark.parametrize("arguments", [["--help"], ["preset", "--help"], ["preset", "run", "--help"], ["preset", "list"]])
def test_the_parser_is_imported_by_those_alone_who_have_a_preset(arguments: list[str]) -> None:
    """Neither it nor any driver."""
    assert set() == imported(*arguments) & {"promql_parser", "aiohttp", "redis", "strawberry", "rich", "plotille"}


@pytest.mark.parametrize("name", ["list", "show", "run"])
def test_help_teaches_with_examples(statcore: Invoke, name: str) -> None:
    """A use of the command that can be typed."""
    assert f"    statcore preset {name}" in statcore("preset", name, "--help").stdout


def test_the_file_in_the_help_is_one(statcore: Invoke, asked: list[Any], tmp_path: Path) -> None:
    """It can be copied as it is."""
    assert [] == asked
    lines = statcore("preset", "--help").stdout.partition("has one table per preset:\n")[2].partition("Examples:")[0]
    file = tmp_path / "busy.toml"
    file.write_text("\n".join(line.removeprefix("      ") for line in lines.splitlines()))

    shown = statcore("preset", "show", "busy-kernels", "--presets", str(file))

    assert (0, "") == (shown.exit_code, shown.stderr)


def test_doctor_looks_at_files_of_presets(statcore: Invoke, busy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some are configured: how many presets there are, or what is wrong."""

    def check(file: str) -> tuple[str, str, str]:
        checks = json.loads(statcore("doctor", "--presets", file, "--format", "json").stdout)["checks"]
        return next((one["status"], one["detail"], one["remedy"]) for one in checks if one["check"] == "presets")

    assert ("ok", f"2, with those of {busy}", "") == check(busy)
    missing = f"--presets: cannot read {busy}.not: No such file or directory"
    assert ("wrong", missing, "correct it there") == check(f"{busy}.not")
    monkeypatch.setitem(sys.modules, "promql_parser", None)
    assert ("wrong", "pip install 'statcore[presets]'") == check(busy)[::2]
