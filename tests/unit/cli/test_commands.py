"""What each command asks for and prints, with a plugin's store and backend."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Invoke = Callable[..., Result]

ONE, TWO, THREE, FOUR = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 5))
MEM = {"current": "1024", "capacity": None, "pct": "0.00", "unit_hint": "bytes", "stats.max": "2048"}


def rows(text: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(io.StringIO(text)))


class TestKernels:
    """`statcore kernels`."""

    def test_json_has_every_id_and_what_is_wrong_with_which(self, statcore: Invoke, fake: Any) -> None:
        """Bad metrics take nothing with them; no data is null; what the store says is passed on."""
        fake.ANSWER.update(
            entries={ONE: {"mem": MEM, "bad": 1, "bad too": 2}, TWO: {"mem": MEM}, THREE: {"all": 1}},
            problems={TWO: "stale", THREE: "stale"},
        )

        result = statcore("kernels", ONE.upper(), TWO, ONE, THREE, FOUR, "--format", "json")

        document = json.loads(result.stdout)
        assert (0, "") == (result.exit_code, result.stderr)
        assert {ONE: {"mem": MEM}, TWO: {"mem": MEM}, THREE: None, FOUR: None} == document["kernels"]
        assert {
            ONE: {"kind": "malformed", "message": "bad holds garbage; bad too holds garbage", "key": "k"},
            TWO: {"kind": "stale", "message": "as it is", "key": TWO},
            THREE: {"kind": "malformed", "message": "as it is; nothing can be read", "key": THREE},
        } == document["problems"]
        assert [("fake:", {}), [ONE, TWO, THREE, FOUR], "closed"] == fake.CALLS

    def test_csv_has_a_row_for_each_metric_and_each_problem(self, statcore: Invoke, fake: Any) -> None:
        """The columns are always the same."""
        fake.ANSWER.update(entries={ONE: {"mem": MEM, "odd": "no map", "bad": 1}})

        result = statcore("kernels", ONE, TWO, "--format", "csv")

        found = rows(result.stdout)
        assert ["mem", "odd", "", ""] == [row["metric"] for row in found]
        assert {name: value or "" for name, value in MEM.items()}.items() <= found[0].items()
        assert "no map" == found[1]["current"]
        assert ["", "", "malformed: bad holds garbage", "no statistics"] == [row["problem"] for row in found]
        assert [ONE, ONE, ONE, TWO] == [row["id"] for row in found]

    def test_text_leaves_out_what_nobody_has(self, statcore: Invoke, fake: Any) -> None:
        """Only columns with something in them are shown."""
        fake.ANSWER.update(entries={ONE: {"mem": MEM}})

        header, row = statcore("kernels", ONE).stdout.splitlines()

        assert ["ID", "METRIC", "CURRENT", "PCT", "UNIT_HINT", "STATS.MAX"] == header.split()
        assert [ONE, "mem", "1024", "0.00", "bytes", "2048"] == row.split()

    def test_something_that_is_no_id_is_wrong_usage(self, statcore: Invoke, fake: Any) -> None:
        """Nothing is asked."""
        result = statcore("kernels", ONE, "x")

        assert (2, "") == (result.exit_code, result.stdout)
        assert result.stderr.startswith("statcore: not an id: 'x'")
        assert [] == fake.CALLS


class TestQuery:
    """`statcore query NAME`."""

    SERIES = (
        ({"value_type": "current", "zone": "a"}, [1795341600.0, 1795341610.5], [0.5, math.nan]),
        ({"value_type": "capacity"}, [1795341600.0], [math.inf]),
    )

    def test_options_reach_querier_range_and_backend(self, statcore: Invoke, fake: Any) -> None:
        """Every field of the querier is an option, and one that is named like ours carries the kind in front."""
        options = ["--metric-name", "net", "--node-id", ONE, "--level", "high", "--strict", "true", "--node-step", "7"]
        range_options = ["--start", "1795341600", "--end", "1795345200", "--step", "5m", "--rate-interval", "2m"]

        result = statcore("query", "node", *options, *range_options)

        assert 0 == result.exit_code, result.stderr
        _, (querier, time_range, rate_interval), _ = fake.CALLS
        assert (ONE, "HIGH", True, 7, "current") == (
            str(querier.node_id),
            querier.level.name,
            querier.strict,
            querier.step,
            querier.value_type,
        )
        assert (13, 300.0, "2m") == (time_range.points, time_range.step.total_seconds(), rate_interval)

    def test_json_is_strict_and_complete(self, statcore: Invoke, fake: Any) -> None:
        """Numbers that JSON lacks are text; what the backend remarked is there."""
        fake.ANSWER.update(series=self.SERIES, notes={"warnings": ("w",), "infos": ("i",), "partial": True})

        result = statcore("query", "rack", "--format", "json")

        assert {
            "series": [
                {
                    "labels": {"value_type": "current", "zone": "a"},
                    "timestamps": [1795341600.0, 1795341610.5],
                    "values": [0.5, "NaN"],
                },
                {"labels": {"value_type": "capacity"}, "timestamps": [1795341600.0], "values": ["+Inf"]},
            ],
            "warnings": ["w"],
            "infos": ["i"],
            "partial": True,
        } == json.loads(result.stdout)
        assert "" == result.stderr

    def test_csv_and_text_have_a_row_for_each_sample(self, statcore: Invoke, fake: Any) -> None:
        """Times are RFC 3339 in UTC; remarks go to standard error."""
        fake.ANSWER.update(series=self.SERIES, notes={"warnings": ("w\x1b[2J",), "infos": ("i",), "partial": True})

        as_csv, as_text = (statcore("query", "rack", "--format", name) for name in ("csv", "text"))

        assert [
            {"value_type": "current", "zone": "a", "time": "2026-11-22T10:00:00Z", "value": "0.5"},
            {"value_type": "current", "zone": "a", "time": "2026-11-22T10:00:10.500Z", "value": "NaN"},
            {"value_type": "capacity", "zone": "", "time": "2026-11-22T10:00:00Z", "value": "+Inf"},
        ] == rows(as_csv.stdout)
        assert ["capacity", "2026-11-22T10:00:00Z", "+Inf"] == as_text.stdout.splitlines()[-1].split()
        for result in (as_csv, as_text):
            assert [
                "statcore: the answer is partial: the backend could not read all of its data",
                "statcore: warning: w\\x1b[2J",
                "statcore: info: i",
            ] == result.stderr.splitlines()

    def test_a_plot_has_a_chart_for_each_series(self, statcore: Invoke, fake: Any) -> None:
        """Each under its labels, or `all` where there are none."""
        fake.ANSWER.update(series=[*self.SERIES, ({}, [], [])])

        result = statcore("query", "rack", "--format", "plot", "--start", "1795341600", "--end", "1795341700")

        titles = [line for line in result.stdout.splitlines() if "=" in line or line == "all"]
        assert ["value_type=current, zone=a", "value_type=capacity", "all"] == titles
        assert 3 == result.stdout.count("-> (UTC)")

    def test_no_series_is_an_answer(self, statcore: Invoke) -> None:
        """A header for programs, and a word for people."""
        result = statcore("query", "rack", "--format", "csv")

        assert (0, "time,value\n") == (result.exit_code, result.stdout)
        assert "statcore: no series: nothing matches, or there are no samples in this time range\n" == result.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["node"], 2, "Missing option '--metric-name'"),
            (["node", "--metric-name", "m", "--node-id", "x"], 2, "Invalid value for '--node-id': 'x' is not a valid UUID"),
            (["node", "--metric-name", "m", "--level", "middle"], 2, "is not one of 'low', 'high'"),
            (["node", "--metric-name", "crash"], 1, "statcore: Node failed: KeyError: 'crash'"),
            (["node", "--metric-name", "m", "--start", "noon"], 2, "statcore: --start: not a time: 'noon'"),
            (["container", "--metric-name", ""], 2, "statcore: metric_name is empty"),
            (["unreadable"], 1, "statcore: the fields of acme_fake_fake.Unreadable cannot be read: NameError"),
            (["nothing"], None, "statcore: there is no querier nothing; known are: container, node, rack, unreadable"),
        ],
    )
    def test_bad_usage_says_what_is_wrong(
        self, statcore: Invoke, fake: Any, arguments: list[str], code: int | None, message: str
    ) -> None:
        """One line, no traceback, and nothing is sent."""
        result = statcore("query", *arguments)

        assert result.exit_code in ({code} if code else {1, 2})
        assert message in result.stderr
        assert "" == result.stdout
        assert [] == [call for call in fake.CALLS if call not in ("closed", ("fake:", {}))]

    def test_help_lists_every_kind_though_one_is_broken(self, statcore: Invoke) -> None:
        """The kinds come from plugins, with the line that they say about themselves."""
        result = statcore("query", "--help")

        assert 0 == result.exit_code
        for line in ("node        nodes", "rack        racks", "unreadable  nobody knows"):
            assert line in result.stdout

    def test_help_of_a_kind_teaches_its_options(self, statcore: Invoke) -> None:
        """Texts and defaults are those of the class."""
        text = " ".join(statcore("query", "node", "--help").stdout.split())

        assert "--metric-name TEXT what is measured, in more than one line. [required]" in text
        assert "--value-type [current|capacity] [default: current]" in text
        assert "statcore query node --metric-name METRIC_NAME --last 1h --format plot" in text


class TestPromql:
    """`statcore promql NAME`."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (
                "--metric-name mem --value-type capacity --user-id " + ONE,
                (
                    "sum by (user_id,value_type)(backendai_container_utilization"
                    f'{{container_metric_name="mem",value_type="capacity",user_id="{ONE}"}})'
                ),
            ),
            (
                "--metric-name cpu_util",
                (
                    "sum by (value_type)(rate(backendai_container_utilization"
                    '{container_metric_name="cpu_util",value_type="current"}[5m]))'
                ),
            ),
            (
                "--metric-name net_rx --rate-interval 1m",
                (
                    "sum by (value_type)(rate(backendai_container_utilization"
                    '{container_metric_name="net_rx",value_type="current"}[1m])) / 5.0'
                ),
            ),
        ],
    )
    def test_the_text_is_that_of_the_specification(self, statcore: Invoke, arguments: str, expected: str) -> None:
        """The three strategies, and no store or backend is opened for it."""
        result = statcore("promql", "container", *arguments.split(), env={"STATCORE_METRICS_URL": ""})

        assert f"{expected}\n" == result.stdout

    def test_the_divisor_is_that_of_the_configured_backend(self, statcore: Invoke, tmp_path: Path) -> None:
        """So the text is the one that `query` sends."""
        file = tmp_path / "statcore.toml"
        file.write_text("[metrics]\nnormalization_interval_s = 2")

        result = statcore("--config", str(file), "promql", "node", "--metric-name", "net")

        assert result.stdout.endswith("[5m])) / 2.0\n")
        file.write_text("[metrics]\nnormalization_interval_s = 'often'")
        result = statcore("promql", "node", "--metric-name", "net", "--config", str(file))
        assert 2 == result.exit_code
        assert f"normalization_interval_s in {file}: expected seconds, not 'often'" in result.stderr


class TestMetrics:
    """`statcore metrics NAME`."""

    def test_the_label_that_tells_metrics_apart_is_listed(self, statcore: Invoke) -> None:
        """Among the series of that kind."""
        result = statcore("metrics", "node", "--format", "json")

        assert {"metrics": ["metric", "node_utilization"]} == json.loads(result.stdout)

    @pytest.mark.parametrize(("found", "expected"), [([{}], ["metric", "rack_utilization"]), ([], ["metric"])])
    def test_a_kind_with_one_metric_has_it_or_not(
        self, statcore: Invoke, fake: Any, found: list[Any], expected: list[str]
    ) -> None:
        """Then the series is the metric."""
        fake.ANSWER.update(found=found)

        assert expected == statcore("metrics", "rack", "--format", "csv").stdout.splitlines()


class TestPlugins:
    """`statcore plugins`."""

    def test_it_lists_what_there_is_and_exits_with_one_for_a_broken_one(
        self, statcore: Invoke, install: Callable[..., Path]
    ) -> None:
        """Name, distribution, version, status, what it offers; error and remedy."""
        install("acme-broken", version="0.1", bad="1 / 0")

        result = statcore("plugins", "--format", "json")

        plugins = {plugin["name"]: plugin for plugin in json.loads(result.stdout)["plugins"]}
        assert 1 == result.exit_code
        assert ("acme-broken", "0.1", "broken", "ZeroDivisionError: division by zero") == tuple(
            plugins["bad"][key] for key in ("distribution", "version", "status", "error")
        )
        assert "STATCORE_DISABLE_PLUGINS=bad" in plugins["bad"]["remedy"]
        assert ("ok", ["querier container"]) == (plugins["builtin"]["status"], plugins["builtin"]["offers"])

    @pytest.mark.parametrize(
        "arguments",
        [["plugins", "--disable-plugins", "{others}"], ["--disable-plugins", "{others}", "plugins"]],
        ids=["after", "before"],
    )
    def test_disabled_plugins_are_no_fault(self, statcore: Invoke, arguments: list[str]) -> None:
        """The setting may come before the command or after it."""
        others = "memory,valkey,prometheus"

        result = statcore(*(argument.format(others=others) for argument in arguments), "--format", "csv")

        statuses = {row["name"]: row["status"] for row in rows(result.stdout)}
        assert 0 == result.exit_code
        assert {"builtin": "ok", "fake": "ok", **dict.fromkeys(others.split(","), "blocked")} == statuses


class TestDoctor:
    """`statcore doctor`."""

    OFF = ("--disable-plugins", "memory,valkey,prometheus")

    def checks(self, result: Result) -> dict[str, tuple[str, str, str]]:
        """Return status, detail and remedy of each check."""
        found = json.loads(result.stdout)["checks"]
        return {check["check"]: (check["status"], check["detail"], check["remedy"]) for check in found}

    def test_all_is_well(self, statcore: Invoke, fake: Any) -> None:
        """Store and backend are opened, asked and closed; credentials are not shown."""
        url = "fake://user:secret@host:1/x?password=secret"

        result = statcore("doctor", *self.OFF, "--format", "json", "--metrics-url", url)

        assert 0 == result.exit_code, result.output
        assert {
            "settings": ("ok", "rate_interval 5m from the default", ""),
            "plugins": ("ok", "5 installed", ""),
            "store": ("ok", "fake: from STATCORE_STATISTICS_URL", ""),
            "backend": ("ok", "fake://host:1/x from --metrics-url", ""),
        } == self.checks(result)
        assert [("fake:", {}), "ping", "closed", (url, {}), "ping", "closed"] == fake.CALLS

    def test_what_is_not_configured_is_off(self, statcore: Invoke) -> None:
        """It says how to configure it, and is no fault."""
        result = statcore("doctor", *self.OFF, env={"STATCORE_STATISTICS_URL": "", "STATCORE_METRICS_URL": ""})

        assert 0 == result.exit_code
        assert 2 == result.stdout.count("not configured")
        assert "give --statistics-url URL or set STATCORE_STATISTICS_URL" in result.stdout

    @pytest.mark.parametrize(
        ("url", "detail", "remedy"),
        [
            ("away://u:secret@h", "away://h from --metrics-url: refused\nby host", "see that a server runs there"),
            ("denied://u:secret@h", "wrong password", "correct the credentials in --metrics-url"),
            ("driverless:", "no module named 'redis'", "pip install 'statcore[valkey]'"),
            ("foreign:", "failing failed to open: ZeroDivisionError", "see `statcore plugins` for failing"),
            ("nowhere:", "--metrics-url: there is no metric backend nowhere:", "correct it there"),
            ("memory:", "--metrics-url: what memory: names lives inside one process", "correct it there"),
            ("http://[::1", "a URL that cannot be read", ""),
        ],
    )
    def test_what_is_wrong_comes_with_what_to_do(self, statcore: Invoke, url: str, detail: str, remedy: str) -> None:
        """And the rest is checked all the same."""
        result = statcore("doctor", "--format", "json", "--metrics-url", url)

        checks = self.checks(result)
        assert 1 == result.exit_code
        assert "wrong" == checks["backend"][0]
        assert detail in checks["backend"][1] or url.startswith("http")
        assert remedy in checks["backend"][2]
        assert "ok" == checks["store"][0]
        assert "secret" not in result.output

    def test_an_adapter_that_hangs_or_crashes_is_found_out(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No contract is relied on: neither a deadline of its own nor errors of ours."""

        async def hang(_: Any) -> None:
            import asyncio  # noqa: PLC0415

            await asyncio.Event().wait()

        async def crash(_: Any) -> None:
            raise ZeroDivisionError("division by zero")

        monkeypatch.setattr("statcore_cli.commands.doctor._PING_S", 0.01)
        monkeypatch.setattr(fake.Store, "ping", hang)
        monkeypatch.setattr(fake.Backend, "ping", crash)

        checks = self.checks(statcore("doctor", "--format", "json"))

        assert "fake: from STATCORE_STATISTICS_URL: no answer within 0.01 s" == checks["store"][1]
        assert "fake: from STATCORE_METRICS_URL: ZeroDivisionError: division by zero" == checks["backend"][1]

    def test_bad_settings_are_a_finding(self, statcore: Invoke) -> None:
        """Not a failure of the doctor."""
        result = statcore("doctor", "--config", "/no/such/file")

        assert 1 == result.exit_code
        assert "--config: cannot read /no/such/file: No such file or directory" in result.stdout

    def test_faults_of_plugins_are_findings(self, statcore: Invoke, install: Callable[..., Path]) -> None:
        """A broken one, and a name to disable that nobody has."""
        install("acme-broken", bad="1 / 0")

        result = statcore("doctor", "--disable-plugins", "nodse", "--format", "json")

        checks = self.checks(result)
        assert 1 == result.exit_code
        assert ("wrong", "broken in acme-broken 1.0: ZeroDivisionError: division by zero") == checks["plugin bad"][:2]
        assert "disabled, but not installed: nodse" == checks["plugins"][1]


def test_the_last_of_the_same_option_wins(statcore: Invoke, fake: Any) -> None:
    """One after the command beats one before it."""
    statcore("--metrics-url", "fake://before", "metrics", "--metrics-url", "fake://between", "rack")
    statcore("--metrics-url", "fake://before", "metrics", "rack", "--metrics-url", "fake://after")

    assert ["fake://between", "fake://after"] == [call[0] for call in fake.CALLS if isinstance(call, tuple)]


def test_an_adapters_complaint_about_an_option_names_the_file(statcore: Invoke, tmp_path: Path) -> None:
    """The table of the file is where options come from."""
    file = tmp_path / "statcore.toml"
    file.write_text("[metrics]\nunknown = 1")

    result = statcore("metrics", "rack", "--config", str(file))

    assert 2 == result.exit_code
    assert f"statcore: STATCORE_METRICS_URL and [metrics] in {file}: no such option: unknown\n" == result.stderr
