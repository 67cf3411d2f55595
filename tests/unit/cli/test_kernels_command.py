"""`statcore kernels` with a plugin's store and backend: its requests and what it prints."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from tests.support.delegating import Delegating
from tests.unit.cli.conftest import ID_1, ID_2, ID_3, ID_4, Invoke, csv_rows

from statcore.model import StatisticsBatch

MEM = {"current": "1024", "capacity": None, "pct": "0.00", "unit_hint": "bytes", "stats.max": "2048"}


def test_json_has_every_id_and_every_problem(statcore: Invoke, fake: Any) -> None:
    """A bad metric is a problem and leaves the others; no data is null; the store's own problems are included."""
    fake.ANSWER.update(
        entries={ID_1: {"mem": MEM, "bad": 1, "bad too": 2}, ID_2: {"mem": MEM}, ID_3: {"nothing": 1}},
        problems={ID_2: "stale", ID_3: "stale"},
    )

    result = statcore("kernels", ID_1.upper(), ID_2, ID_1, ID_3, ID_4, "--format", "json")

    document = json.loads(result.stdout)
    assert (0, "") == (result.exit_code, result.stderr)
    assert {ID_1: {"mem": MEM}, ID_2: {"mem": MEM}, ID_3: None, ID_4: None} == document["kernels"]
    assert {
        ID_1: {"kind": "malformed", "message": "bad holds garbage; bad too holds garbage", "key": "k"},
        ID_2: {"kind": "stale", "message": "as it is", "key": ID_2},
        ID_3: {"kind": "malformed", "message": "as it is; nothing can be read", "key": ID_3},
    } == document["problems"]
    assert {ID_1: None, ID_2: None} == document["ages_s"]
    assert 1 == fake.CALLS.count([ID_1, ID_2, ID_3, ID_4])
    assert [("fake:", {})] * 2 == [call for call in fake.CALLS if call == ("fake:", {})]
    assert 2 == fake.CALLS.count("closed")


def test_a_session_combines_its_kernels(statcore: Invoke, fake: Any) -> None:
    """The backend knows its two kernels; they are read from the store in one request with another kernel."""
    cpu = {"current": "1000", "capacity": "1000", "pct": "100", "unit_hint": "millicores"}
    half = {**cpu, "current": "502", "pct": "50.2"}
    fake.ANSWER.update(
        entries={ID_1: {"cpu_util": cpu}, ID_2: {"cpu_util": half}, ID_4: {"cpu_util": cpu}},
        series=[({"session_id": ID_3, "kernel_id": kernel, "agent_id": "i-1"}, [1.0], [1.0]) for kernel in (ID_1, ID_2)],
    )

    result = statcore("kernels", ID_3, ID_4, "--format", "json")

    found = json.loads(result.stdout)["kernels"]
    assert ["1502", "2000", "150.2"] == [found[ID_3]["cpu_util"][name] for name in ("current", "capacity", "pct")]
    assert {"cpu_util": cpu} == found[ID_4]
    assert [[ID_3, ID_1, ID_2, ID_4]] == [call for call in fake.CALLS if isinstance(call, list)]


def test_kernels_are_shown_while_the_metric_backend_is_unavailable(statcore: Invoke, fake: Any) -> None:
    """An id without an entry has the problem that its kernels are unknown, if it is a session."""
    fake.ANSWER.update(entries={ID_1: {"mem": MEM}}, failing="down")

    result = statcore("kernels", ID_1, ID_2, "--format", "json")

    document = json.loads(result.stdout)
    assert (0, {ID_1: {"mem": MEM}, ID_2: None}) == (result.exit_code, document["kernels"])
    assert [ID_2] == list(document["problems"])
    assert "if this is a session, its kernels are not known: UnavailableError" in document["problems"][ID_2]["message"]


def test_meaningless_figures_are_not_shown(statcore: Invoke, fake: Any) -> None:
    """Text and JSON lack capacity and percentage of traffic, and the maximum of a CPU counter."""
    traffic = {"current": "10005.5", "capacity": "1820", "pct": "549.75", "unit_hint": "bps"}
    cpu = {"current": "500.283", "capacity": "1000", "pct": "50.03", "stats.max": "385894.5"}
    fake.ANSWER.update(entries={ID_1: {"net_rx": traffic, "cpu_util": cpu}})

    document = json.loads(statcore("kernels", ID_1, "--format", "json").stdout)
    text = statcore("kernels", ID_1).stdout

    assert {"net_rx": traffic | {"capacity": None, "pct": None}, "cpu_util": cpu | {"stats.max": None}} == (
        document["kernels"][ID_1]
    )
    assert not [number for number in ("1820", "549.75", "385894.5") if number in text]
    assert "10005.5" in text


@attrs.frozen
class DatedReader:
    """A reader whose first entry is five seconds old."""

    store: Any

    async def fetch_kernel_statistics(self, ids: list[str], /) -> StatisticsBatch:
        """Return the entries of the store."""
        return StatisticsBatch(await self.store.fetch_kernel_statistics(ids), ages_s={0: 5.0})


@pytest.mark.parametrize("metrics_url", ["", "fake:"])
def test_a_store_that_delegates_shows_ages(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch, metrics_url: str
) -> None:
    """A plugin may open a store that finds `with_ages` by `__getattr__` alone; its ages are shown.

    With `isinstance(store, DatedStatisticsPort)` in place of `as_port`, this fails on Python 3.12 and later, and passes on
    Python 3.11.
    """
    store = fake.Store()
    monkeypatch.setattr(store, "with_ages", lambda: DatedReader(store), raising=False)
    monkeypatch.setattr(fake, "Store", lambda: Delegating(store))
    fake.ANSWER.update(entries={ID_1: {"mem": MEM}})

    result = statcore("kernels", ID_1, "--format", "json", env={"STATCORE_METRICS_URL": metrics_url})

    document = json.loads(result.stdout)
    assert ({ID_1: {"mem": MEM}}, {ID_1: 5.0}) == (document["kernels"], document["ages_s"])


def test_csv_has_a_row_for_each_metric_and_each_problem(statcore: Invoke, fake: Any) -> None:
    """The columns are always the same."""
    fake.ANSWER.update(entries={ID_1: {"mem": MEM, "odd": {"current": "?"}, "bad": 1}})

    result = statcore("kernels", ID_1, ID_2, "--format", "csv")

    found = csv_rows(result.stdout)
    assert ["mem", "odd", "", ""] == [row["metric"] for row in found]
    assert {name: value or "" for name, value in MEM.items()}.items() <= found[0].items()
    assert "?" == found[1]["current"]
    assert ["", "", "malformed: bad holds garbage", "no statistics"] == [row["problem"] for row in found]
    assert [ID_1, ID_1, ID_1, ID_2] == [row["id"] for row in found]


def test_text_leaves_out_empty_columns(statcore: Invoke, fake: Any) -> None:
    """Only columns with content are shown."""
    fake.ANSWER.update(entries={ID_1: {"mem": MEM}})

    header, row = statcore("kernels", ID_1).stdout.splitlines()

    assert ["ID", "METRIC", "CURRENT", "PCT", "UNIT_HINT", "STATS.MAX", "AGE_S"] == header.split()
    assert [ID_1, "mem", "1024", "0.00", "bytes", "2048", "unknown"] == row.split()


def test_a_bad_id_is_wrong_usage(statcore: Invoke, fake: Any) -> None:
    """No request is sent."""
    result = statcore("kernels", ID_1, "x")

    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("statcore: not an id: 'x'")
    assert [] == fake.CALLS


def test_fields_are_columns(statcore: Invoke, fake: Any) -> None:
    """There is a row for each id; a field that it lacks, or that means nothing, is empty, and a problem is beside it."""
    net = {**MEM, "capacity": "1024", "pct": "100.00"}
    fake.ANSWER.update(entries={ID_1: {"mem": MEM, "net_rx": net}, ID_2: {"bad": 1}}, problems={ID_1: "stale"})
    arguments = ("kernels", ID_1, ID_2, ID_3, "--field", "mem.stats.max", "--field", "net_rx.pct", "--field", "bad.current")

    result = statcore(*arguments, "--format", "csv")

    headers = ("id", "mem.stats.max", "net_rx.pct", "bad.current", "age_s", "problem")
    assert [
        (ID_1, "2048", "", "", "", "stale: as it is"),
        (ID_2, "", "", "", "", "malformed: bad holds garbage"),
        (ID_3, "", "", "", "", "no statistics"),
    ] == [tuple(row[name] for name in headers) for row in csv_rows(result.stdout)]

    document = json.loads(statcore(*arguments, "--format", "json").stdout)
    nothing = {"mem.stats.max": None, "net_rx.pct": None, "bad.current": None}
    assert {ID_1: nothing | {"mem.stats.max": "2048"}, ID_2: nothing, ID_3: None} == document["kernels"]
    assert {ID_1: "stale", ID_2: "malformed"} == {id_: problem["kind"] for id_, problem in document["problems"].items()}


def test_an_entry_without_the_fields_is_no_missing_entry(statcore: Invoke, fake: Any) -> None:
    """Its row names the fields that it lacks; of a field that no entry has, standard error tells."""
    fake.ANSWER.update(entries={ID_1: {"mem": MEM}, ID_2: {"cpu_util": {"current": "5"}}})
    fields = ("--field", "mem.current", "--field", "cpu_utl.pct\x1b")

    as_csv, as_json = (statcore("kernels", ID_1, ID_2, ID_3, *fields, "--format", name) for name in ("csv", "json"))

    rows = [(row["id"], row["mem.current"], row["problem"]) for row in csv_rows(as_csv.stdout)]
    assert [(ID_1, "1024", ""), (ID_2, "", "has no mem.current, cpu_utl.pct\x1b"), (ID_3, "", "no statistics")] == rows
    assert {ID_2: {"mem.current": None, "cpu_utl.pct\x1b": None}, ID_3: None}.items() <= (
        json.loads(as_json.stdout)["kernels"].items()
    )
    remark = "statcore: none of the entries has cpu_utl.pct\\x1b\n"
    assert [(0, remark)] * 2 == [(result.exit_code, result.stderr) for result in (as_csv, as_json)]
    assert "" == statcore("kernels", ID_3, *fields).stderr
    fake.ANSWER.update(entries={ID_1: {"bad": 1}})
    assert "" == statcore("kernels", ID_1, "--field", "bad.current").stderr


@pytest.mark.parametrize("fields", [("mem.pct", "mem.pct"), ("",)])
def test_a_bad_field_is_wrong_usage(statcore: Invoke, fake: Any, fields: tuple[str, ...]) -> None:
    """Nothing is read."""
    result = statcore("kernels", ID_1, *(part for field in fields for part in ("--field", field)))
    assert (2, "") == (result.exit_code, result.stdout)
    assert "fields must be a list of different names such as 'cpu_util.pct'" in result.stderr
    assert [] == fake.CALLS
