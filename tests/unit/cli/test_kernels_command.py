"""What `statcore kernels` asks for and prints, with a plugin's store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result
from tests.unit.cli.asked_and_printed import FOUR, ONE, THREE, TWO, rows

Invoke = Callable[..., Result]


MEM = {"current": "1024", "capacity": None, "pct": "0.00", "unit_hint": "bytes", "stats.max": "2048"}


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
        assert {ONE: None, TWO: None} == document["ages_s"]
        assert 1 == fake.CALLS.count([ONE, TWO, THREE, FOUR])
        assert [("fake:", {})] * 2 == [call for call in fake.CALLS if call == ("fake:", {})]
        assert 2 == fake.CALLS.count("closed")

    def test_a_session_is_its_kernels_put_together(self, statcore: Invoke, fake: Any) -> None:
        """Two kernels of one session, found in the metric backend, in one read of the store; a kernel beside it."""
        cpu = {"current": "1000", "capacity": "1000", "pct": "100", "unit_hint": "millicores"}
        half = {**cpu, "current": "502", "pct": "50.2"}
        fake.ANSWER.update(
            entries={ONE: {"cpu_util": cpu}, TWO: {"cpu_util": half}, FOUR: {"cpu_util": cpu}},
            series=[({"session_id": THREE, "kernel_id": kernel, "agent_id": "i-1"}, [1.0], [1.0]) for kernel in (ONE, TWO)],
        )

        result = statcore("kernels", THREE, FOUR, "--format", "json")

        found = json.loads(result.stdout)["kernels"]
        assert ["1502", "2000", "150.2"] == [found[THREE]["cpu_util"][name] for name in ("current", "capacity", "pct")]
        assert {"cpu_util": cpu} == found[FOUR]
        assert [[THREE, ONE, TWO, FOUR]] == [call for call in fake.CALLS if isinstance(call, list)]

    def test_a_metric_backend_that_is_away_takes_no_kernel_with_it(self, statcore: Invoke, fake: Any) -> None:
        """What has an entry is shown; of the rest it is told that a session's kernels are not known."""
        fake.ANSWER.update(entries={ONE: {"mem": MEM}}, failing="away")

        result = statcore("kernels", ONE, TWO, "--format", "json")

        document = json.loads(result.stdout)
        assert (0, {ONE: {"mem": MEM}, TWO: None}) == (result.exit_code, document["kernels"])
        assert [TWO] == list(document["problems"])
        assert "if this is a session, its kernels are not known: UnavailableError" in document["problems"][TWO]["message"]

    def test_what_agents_write_and_is_no_figure_is_not_shown(self, statcore: Invoke, fake: Any) -> None:
        """Neither as text nor as JSON: capacity and percentage of traffic, the maximum of a CPU counter."""
        traffic = {"current": "10005.5", "capacity": "1820", "pct": "549.75", "unit_hint": "bps"}
        cpu = {"current": "500.283", "capacity": "1000", "pct": "50.03", "stats.max": "385894.5"}
        fake.ANSWER.update(entries={ONE: {"net_rx": traffic, "cpu_util": cpu}})

        document = json.loads(statcore("kernels", ONE, "--format", "json").stdout)
        text = statcore("kernels", ONE).stdout

        assert {"net_rx": traffic | {"capacity": None, "pct": None}, "cpu_util": cpu | {"stats.max": None}} == (
            document["kernels"][ONE]
        )
        assert not [number for number in ("1820", "549.75", "385894.5") if number in text]
        assert "10005.5" in text

    def test_csv_has_a_row_for_each_metric_and_each_problem(self, statcore: Invoke, fake: Any) -> None:
        """The columns are always the same."""
        fake.ANSWER.update(entries={ONE: {"mem": MEM, "odd": {"current": "?"}, "bad": 1}})

        result = statcore("kernels", ONE, TWO, "--format", "csv")

        found = rows(result.stdout)
        assert ["mem", "odd", "", ""] == [row["metric"] for row in found]
        assert {name: value or "" for name, value in MEM.items()}.items() <= found[0].items()
        assert "?" == found[1]["current"]
        assert ["", "", "malformed: bad holds garbage", "no statistics"] == [row["problem"] for row in found]
        assert [ONE, ONE, ONE, TWO] == [row["id"] for row in found]

    def test_text_leaves_out_what_nobody_has(self, statcore: Invoke, fake: Any) -> None:
        """Only columns with something in them are shown."""
        fake.ANSWER.update(entries={ONE: {"mem": MEM}})

        header, row = statcore("kernels", ONE).stdout.splitlines()

        assert ["ID", "METRIC", "CURRENT", "PCT", "UNIT_HINT", "STATS.MAX", "AGE_S"] == header.split()
        assert [ONE, "mem", "1024", "0.00", "bytes", "2048", "unknown"] == row.split()

    def test_something_that_is_no_id_is_wrong_usage(self, statcore: Invoke, fake: Any) -> None:
        """Nothing is asked."""
        result = statcore("kernels", ONE, "x")

        assert (2, "") == (result.exit_code, result.stdout)
        assert result.stderr.startswith("statcore: not an id: 'x'")
        assert [] == fake.CALLS
