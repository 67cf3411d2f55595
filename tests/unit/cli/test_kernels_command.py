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
