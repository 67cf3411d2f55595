"""The commands for queriers, with a plugin's backend: `query`, `promql` and `metrics`."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.conftest import ID_1, Invoke, csv_rows

from statcore.queriers import resolve


class TestQuery:
    """`statcore query NAME`."""

    SERIES = (
        ({"value_type": "current", "zone": "a"}, [1795341600.0, 1795341610.5], [0.5, math.nan]),
        ({"value_type": "capacity"}, [1795341600.0], [math.inf]),
    )

    def test_options_reach_querier_range_and_backend(self, statcore: Invoke, fake: Any) -> None:
        """Every field has an option; a field with the name of a command's option gets the kind in front."""
        options = ["--metric-name", "net", "--node-id", ID_1, "--level", "high", "--strict", "true", "--node-step", "7"]
        range_options = ["--start", "1795341600", "--end", "1795345200", "--step", "5m", "--rate-interval", "2m"]

        result = statcore("query", "node", *options, *range_options)

        assert 0 == result.exit_code, result.stderr
        (querier,) = fake.BUILT
        _, (prepared, time_range, rate_interval), _ = fake.CALLS
        assert resolve(querier) == prepared.query
        found = (str(querier.node_id), querier.level.name, querier.strict, querier.step, querier.value_type)
        assert (ID_1, "HIGH", True, 7, "current") == found
        assert (13, 300.0, "2m") == (time_range.points, time_range.step.total_seconds(), rate_interval)

    def test_last_ends_with_the_newest_value(self, statcore: Invoke, fake: Any) -> None:
        """Points on multiples of the step are a range query; the end is an instant query, which may bring a new series."""
        fake.ANSWER.update(series=[({"zone": "a"}, [1795341600.0], [0.5])], now=[({"zone": "a"}, 0.75), ({"zone": "b"}, 1)])

        result = statcore("query", "rack", "--last", "5m", "--step", "1m", "--format", "json")

        assert 0 == result.exit_code, result.stderr
        _, (_, time_range, _), _ = fake.CALLS
        assert 5 == time_range.points
        assert 0 == time_range.start.timestamp() % 60 == time_range.end.timestamp() % 60
        first, second = json.loads(result.stdout)["series"]
        (now,) = second["timestamps"]
        assert time_range.end.timestamp() < now < time_range.end.timestamp() + 60
        assert ({"zone": "a"}, [1795341600.0, now], [0.5, 0.75]) == (first["labels"], first["timestamps"], first["values"])
        assert ({"zone": "b"}, [1]) == (second["labels"], second["values"])

    def test_json_is_strict_and_complete(self, statcore: Invoke, fake: Any) -> None:
        """Numbers that JSON lacks are text; warnings and infos are included."""
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
        """Times are RFC 3339 in UTC; warnings and infos go to standard error."""
        fake.ANSWER.update(series=self.SERIES, notes={"warnings": ("w\x1b[2J",), "infos": ("i",), "partial": True})

        as_csv, as_text = (statcore("query", "rack", "--format", name) for name in ("csv", "text"))

        assert [
            {"value_type": "current", "zone": "a", "time": "2026-11-22T10:00:00Z", "value": "0.5"},
            {"value_type": "current", "zone": "a", "time": "2026-11-22T10:00:10.500Z", "value": "NaN"},
            {"value_type": "capacity", "zone": "", "time": "2026-11-22T10:00:00Z", "value": "+Inf"},
        ] == csv_rows(as_csv.stdout)
        assert ["capacity", "2026-11-22T10:00:00Z", "+Inf"] == as_text.stdout.splitlines()[-1].split()
        for result in (as_csv, as_text):
            assert [
                "statcore: the answer is partial: the backend could not read all of its data",
                "statcore: warning: w\\x1b[2J",
                "statcore: info: i",
            ] == result.stderr.splitlines()

    def test_labels_do_not_hide_the_time_or_the_value(self, statcore: Invoke, fake: Any) -> None:
        """A label with the name of such a column is renamed."""
        labels = {"time": "noon", "value": "much", "exported_value": "more"}
        fake.ANSWER.update(series=[(labels, [1_795_341_600.0], [0.5])])

        (row,) = csv_rows(statcore("query", "rack", "--format", "csv").stdout)

        assert {"time": "2026-11-22T10:00:00Z", "value": "0.5"} == {name: row[name] for name in ("time", "value")}
        assert {"exported_time": "noon", "exported_exported_value": "much", "exported_value": "more"}.items() <= row.items()

    def test_group_by_keeps_labels_besides_those_of_the_kind(self, statcore: Invoke, fake: Any) -> None:
        """The same labels are in the text of the query."""
        statcore("query", "node", "--metric-name", "load", "--group-by", "kernel_id", "--group-by", "rack")
        text = statcore("promql", "node", "--metric-name", "load", "--group-by", "kernel_id").stdout

        (querier,) = [call[0] for call in fake.CALLS if isinstance(call, tuple) and len(call) == 3]
        assert ("kernel_id", "rack", "value_type") == querier.group_by_labels()
        assert {"metric": "load", "value_type": "current", "step": "1"} == querier.labels()
        assert text.startswith("sum by (kernel_id,value_type)(node_utilization{")

    def test_a_label_that_no_series_has_is_remarked(self, statcore: Invoke, fake: Any) -> None:
        """The answer is not grouped by it, which a misspelt name would hide; without series there is nothing to say."""
        fake.ANSWER.update(series=[({"zone": "a"}, [1_795_341_600.0], [0.5])])
        grouped = ("query", "rack", "--group-by", "zone", "--group-by", "kernel")

        remarked = statcore(*grouped)
        fake.ANSWER.update(series=[])

        assert (0, "statcore: no series has a label kernel to group by\n") == (remarked.exit_code, remarked.stderr)
        assert "group by" not in statcore(*grouped).stderr

    @pytest.mark.parametrize(
        ("metric", "value_type", "unit"),
        [("mem", "current", "bytes"), ("net_rx", "current", "bytes/s"), ("mem", "pct", "percent"), ("odd", "current", "")],
    )
    def test_text_and_charts_have_the_unit_of_a_known_metric(
        self, statcore: Invoke, fake: Any, metric: str, value_type: str, unit: str
    ) -> None:
        """CSV keeps its column names."""
        fake.ANSWER.update(series=self.SERIES)
        arguments = ("query", "container", "--metric-name", metric, "--value-type", value_type, "--format")

        text, plot, as_csv = (statcore(*arguments, name).stdout for name in ("text", "plot", "csv"))

        assert (f"VALUE ({unit.upper()})" if unit else "VALUE") in text.splitlines()[0]
        assert f"({unit or 'value'})" in plot
        assert as_csv.splitlines()[0].endswith(",time,value")

    def test_local_times_have_the_offset_of_this_machine(
        self, statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The zone holds for tables, CSV and charts."""
        fake.ANSWER.update(series=self.SERIES)
        monkeypatch.setenv("TZ", "Asia/Seoul")
        time.tzset()
        try:
            arguments = ("query", "rack", "--start", "1795341600", "--end", "1795341700", "--local", "--format")
            as_csv, plot = (statcore(*arguments, name).stdout for name in ("csv", "plot"))
        finally:
            monkeypatch.undo()
            time.tzset()

        assert ["2026-11-22T19:00:00+09:00", "2026-11-22T19:00:10.500+09:00"] == [
            row["time"] for row in csv_rows(as_csv)[:2]
        ]
        assert "-> (KST)" in plot

    def test_a_plot_has_a_chart_for_each_series(self, statcore: Invoke, fake: Any) -> None:
        """Its title is its labels, or `all` without labels; where no value is finite there is a remark instead."""
        fake.ANSWER.update(series=[*self.SERIES, ({}, [], [])])

        result = statcore("query", "rack", "--format", "plot", "--start", "1795341600", "--end", "1795341700")

        titles = [line for line in result.stdout.splitlines() if "=" in line or line == "all"]
        assert ["value_type=current, zone=a", "value_type=capacity", "all"] == titles
        assert (1, 2) == (result.stdout.count("-> (UTC)"), result.stdout.count("nothing to draw"))

    def test_no_series_is_an_answer(self, statcore: Invoke) -> None:
        """Standard output has the header, standard error a note."""
        result = statcore("query", "rack", "--format", "csv")

        assert (0, "time,value\n") == (result.exit_code, result.stdout)
        assert (
            "statcore: no series: nothing matches, or there are no samples near any point of this time range\n"
            == result.stderr
        )

    @pytest.mark.usefixtures("faulty")
    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["node"], 2, "Missing option '--metric-name'"),
            (["node", "--metric-name", "m", "--node-id", "x"], 2, "Invalid value for '--node-id': 'x' is not a valid UUID"),
            (["node", "--metric-name", "m", "--level", "middle"], 2, "is not one of 'low', 'high'"),
            (["node", "--metric-name", "crash"], 1, "statcore: acme_fake_fake.Node() raised KeyError: 'crash'"),
            (["node", "--metric-name", "m", "--start", "noon"], 2, "statcore: --start: not a time: 'noon'"),
            (["container", "--metric-name", ""], 2, "statcore: metric_name is empty"),
            (["unreadable"], 1, "statcore: the fields of acme_faulty_faulty.Unreadable cannot be read: NameError"),
            (
                ["nothing"],
                None,
                "statcore: there is no querier nothing; known are: container, node, rack, twin, unreadable",
            ),
            (["twin"], 1, "statcore: step and twin_step of twin would both be the option --twin-step"),
        ],
    )
    def test_wrong_usage_says_what_is_wrong(
        self, statcore: Invoke, fake: Any, arguments: list[str], code: int | None, message: str
    ) -> None:
        """There is no traceback, and no query is sent."""
        result = statcore("query", *arguments)

        assert result.exit_code in ({code} if code else {1, 2})
        assert message in result.stderr
        assert "" == result.stdout
        assert [] == [call for call in fake.CALLS if call not in ("closed", ("fake:", {}))]

    @pytest.mark.usefixtures("faulty")
    def test_help_lists_every_kind_even_a_broken_one(self, statcore: Invoke) -> None:
        """Each has the summary of its plugin, and its distribution."""
        result = statcore("query", "--help")

        assert 0 == result.exit_code
        of = "[acme-fake 1.0]"
        for line in (f"node        nodes  {of}", f"rack        racks  {of}", "unreadable  nobody knows  [acme-faulty 1.0]"):
            assert line in result.stdout
        assert "[statcore" not in result.stdout

    def test_help_of_a_kind_describes_its_options(self, statcore: Invoke) -> None:
        """Texts and defaults come from the class."""
        text = " ".join(statcore("query", "node", "--help").stdout.split())

        assert "--metric-name TEXT what is measured, in more than one line. [required]" in text
        assert "--value-type [current|capacity] [default: current]" in text
        assert "statcore query node --metric-name METRIC_NAME --last 1h --format plot" in text


class TestPromql:
    """`statcore promql NAME`."""

    def test_the_text_is_that_of_the_query(self, statcore: Invoke) -> None:
        """No store or backend is opened; tests of promql have the texts."""
        options = ["--metric-name", "net_rx", "--user-id", ID_1, "--rate-interval", "1m"]

        result = statcore("promql", "container", *options, env={"STATCORE_METRICS_URL": ""})

        matchers = f'container_metric_name="net_rx",value_type="current",user_id="{ID_1}"'
        expected = f"sum by (user_id,value_type)(rate(backendai_container_utilization{{{matchers}}}[1m]))\n"
        assert expected == result.stdout

    def test_the_divisor_is_that_of_the_configured_backend(self, statcore: Invoke, tmp_path: Path) -> None:
        """The text is the one that `query` sends."""
        file = tmp_path / "statcore.toml"
        file.write_text("[metrics]\nnormalization_interval_s = 2")

        result = statcore("--config", str(file), "promql", "node", "--metric-name", "net")

        assert result.stdout.endswith("[5m])) / 2.0\n")
        file.write_text("[metrics]\nnormalization_interval_s = 'often'")
        result = statcore("promql", "node", "--metric-name", "net", "--config", str(file))
        assert 2 == result.exit_code
        assert f"normalization_interval_s in {file}: expected seconds, not str" in result.stderr


class TestMetrics:
    """`statcore metrics NAME`."""

    def test_the_values_of_the_metric_label_are_listed(self, statcore: Invoke) -> None:
        """They are read from the series of the kind."""
        result = statcore("metrics", "node", "--format", "json")

        assert {"metrics": ["metric", "node_utilization"]} == json.loads(result.stdout)

    @pytest.mark.parametrize(("found", "expected"), [([{}], ["metric", "rack_utilization"]), ([], ["metric"])])
    def test_a_kind_without_a_metric_label_lists_its_series(
        self, statcore: Invoke, fake: Any, found: list[Any], expected: list[str]
    ) -> None:
        """The list is empty when the series does not exist."""
        fake.ANSWER.update(found=found)

        assert expected == statcore("metrics", "rack", "--format", "csv").stdout.splitlines()


def test_the_option_nearest_to_the_command_wins(statcore: Invoke, fake: Any) -> None:
    """An option after the command wins over the same option before it."""
    statcore("--metrics-url", "fake://before", "metrics", "--metrics-url", "fake://between", "rack")
    statcore("--metrics-url", "fake://before", "metrics", "rack", "--metrics-url", "fake://after")

    assert ["fake://between", "fake://after"] == [call[0] for call in fake.CALLS if isinstance(call, tuple)]


def test_an_adapters_error_about_an_option_names_the_file(statcore: Invoke, tmp_path: Path) -> None:
    """The options come from a table of the settings file."""
    file = tmp_path / "statcore.toml"
    file.write_text("[metrics]\nunknown = 1")

    result = statcore("metrics", "rack", "--config", str(file))

    assert 2 == result.exit_code
    assert f"statcore: STATCORE_METRICS_URL and [metrics] in {file}: no such option: unknown\n" == result.stderr
