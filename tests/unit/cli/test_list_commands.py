"""`statcore sessions`, `kernels`, `agents` and `endpoints` over a plugin's store and backend."""

from __future__ import annotations

import io
import json
import sys
from typing import Any, cast

import attrs
import pytest
from rich.console import Console
from rich.table import Table
from tests.unit.cli.conftest import ID_1, ID_2, ID_3, ID_4, Invoke, csv_rows

from statcore.errors import UnavailableError
from statcore.model import StatisticsBatch
from statcore.model.inventory import KernelRecord
from statcore.services.listing import KERNELS, ListedObject, ListPage, WithoutValue
from statcore_cli.commands.lists import ListCommand
from statcore_cli.output import screen_table, write_table

CPU = {"current": "500", "capacity": "1000", "pct": "50"}
MEM = {"current": "1500000"}
NET = {"current": "2000", "capacity": "1", "pct": "200000"}


@pytest.fixture(autouse=True)
def planted(fake: Any) -> None:
    """Two kernels of two sessions, of which one has statistics."""
    owners = ({"kernel_id": ID_1, "session_id": ID_3}, {"kernel_id": ID_2, "session_id": ID_4})
    fake.ANSWER.update(
        entries={ID_1: {"cpu_util": CPU, "mem": MEM, "net_rx": NET}},
        series=[({**labels, "agent_id": "i-1", "user_id": ID_1}, [1.0], [1.0]) for labels in owners],
    )


def test_sessions_as_json(statcore: Invoke) -> None:
    """Each has the ids of its labels and its figures; what is not known is null."""
    result = statcore("sessions", "--format", "json")

    document = json.loads(result.stdout)
    assert (0, "") == (result.exit_code, result.stderr)
    first, second = document["sessions"]
    assert {
        "id": ID_3,
        "kernel_id": [ID_1],
        "session_id": [ID_3],
        "agent_id": ["i-1"],
        "user_id": [ID_1],
        "project_id": [],
        "cpu_pct": 50.0,
        "mem_bytes": 1_500_000.0,
        "accelerator_pct": None,
        "accelerator_mem_bytes": None,
        "rx_bytes_per_s": 2000.0,
        "tx_bytes_per_s": None,
        "age_s": None,
        "devices": None,
        "problem": None,
    } == first
    assert (ID_4, None) == (second["id"], second["cpu_pct"])
    assert 2 == document["total_count"]


def test_people_read_units_and_programs_read_numbers(statcore: Invoke) -> None:
    """Columns without a value are left out of the text, and CSV has all."""
    header, first, second = statcore("kernels").stdout.splitlines()
    rows = csv_rows(statcore("kernels", "--format", "csv").stdout)

    assert ["ID", "CPU", "MEMORY", "RECEIVED/S", "SESSION", "AGENT", "USER"] == header.split()
    assert [ID_1, "50.0 %", "1.5 MB", "2.0 kB"] == [part.strip() for part in first.split("  ") if part][:4]
    assert second.startswith(ID_2)
    assert ("50", "1500000", "2000", "") == tuple(
        rows[0][name] for name in ("cpu_pct", "mem_bytes", "rx_bytes_per_s", "problem")
    )


def test_an_agent_has_its_kernels_and_devices(statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """People read how many there are of each kind, and programs read the ids."""
    devices: Any = {"cpu_util": {"0": {}, "1": {}}, "cuda_util": {"GPU-7": {}}, "mem": {"root": {}}}

    async def with_devices(*_: Any) -> StatisticsBatch:
        return StatisticsBatch([{"node": {}, "devices": devices}])

    monkeypatch.setattr(fake.Store, "fetch_agent_statistics", with_devices)

    header, first = statcore("agents").stdout.splitlines()
    (agent,) = json.loads(statcore("agents", "--format", "json").stdout)["agents"]

    assert ["ID", "DEVICES", "KERNELS"] == header.split()
    assert ["i-1", "2 cpu, 1 cuda", "2"] == [part.strip() for part in first.split("  ") if part]
    assert {"cpu_util": ["0", "1"], "cuda_util": ["GPU-7"], "mem": ["root"]} == agent["devices"]
    assert [ID_1, ID_2] == agent["kernel_id"]


def test_a_list_is_sorted_and_filtered(statcore: Invoke) -> None:
    """Objects without a value come last; a filter is an owner or a part of an id."""

    def listed(*arguments: str) -> list[str]:
        return [row["id"] for row in csv_rows(statcore("kernels", "--format", "csv", *arguments).stdout)]

    assert [ID_1, ID_2] == listed("--sort", "-cpu_pct") == listed("--sort", "cpu_pct")
    assert [ID_2, ID_1] == listed("--sort", "-id")
    assert [ID_2] == listed("--filter", f"session_id={ID_4}", "--filter", "i-1")
    assert [] == listed("--filter", "nobody")


@pytest.mark.parametrize("output_format", ["text", "json", "csv"])
@pytest.mark.parametrize("sort", ["started_at", "-accelerator_pct", "project_id"])
def test_a_sort_without_any_value_has_a_remark(statcore: Invoke, sort: str, output_format: str) -> None:
    """The list is complete, but its order is another one."""
    result = statcore("kernels", "--sort", sort, "--format", output_format)

    by = sort.removeprefix("-")
    assert f"statcore: {by} is known of none of the 2 kernels, which are in the order of their ids\n" == result.stderr
    assert (0, True) == (result.exit_code, ID_1 in result.stdout)
    assert "" == statcore("kernels", "--sort", "cpu_pct").stderr
    assert "is known of" not in statcore("kernels", "--sort", sort, "--filter", "nobody").stderr


def test_top_says_if_no_cpu_use_is_known(statcore: Invoke, fake: Any) -> None:
    """That is no failure."""
    fake.ANSWER["entries"] = {}
    document = json.loads(statcore("top", "--once", "--format", "json").stdout)

    remark = "cpu_pct is known of none of the 2 kernels, which are in the order of their ids"
    assert ([], [remark]) == (document["failures"], document["infos"])


def test_nothing_to_list_has_a_remark(statcore: Invoke) -> None:
    """Standard error says so, there is no empty table, and the exit code is 0."""
    result = statcore("agents", "--filter", "nobody")

    assert (0, "") == (result.exit_code, result.stdout)
    assert "no agents" in result.stderr


def test_a_store_that_is_down_leaves_the_list(statcore: Invoke, fake: Any) -> None:
    """Programs find the problem beside each object, and people read it once."""
    fake.Store.fetch_kernel_statistics = _down

    result, as_text = statcore("sessions", "--format", "json"), statcore("sessions")

    assert (0, 0) == (result.exit_code, as_text.exit_code)
    assert {"UnavailableError: refused"} == {item["problem"] for item in json.loads(result.stdout)["sessions"]}
    assert "statcore: no figures: UnavailableError: refused\n" == as_text.stderr
    assert [ID_3, ID_4] == [line.split()[0] for line in as_text.stdout.splitlines()[1:]]
    assert "refused" not in as_text.stdout


async def _down(*_: object) -> None:
    raise UnavailableError("refused")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sessions", "--sort", "size"), 2),
        (("sessions", "--filter", "owner=me"), 2),
        (("kernels", ID_1, "--sort", "id"), 2),
        (("kernels", ID_1, "--watch"), 2),
        (("kernels", "--field", "mem.current"), 2),
        (("sessions", "--watch", "--sort", "size"), 2),
        (("endpoints",), 1),
        (("endpoints", "--watch"), 1),
    ],
)
def test_what_cannot_be_listed_is_one_line(statcore: Invoke, arguments: tuple[str, ...], code: int) -> None:
    """Also while watching, since another attempt cannot mend it."""
    result = statcore(*arguments)

    assert (code, "") == (result.exit_code, result.stdout)
    assert (1, True) == (result.stderr.count("\n"), result.stderr.startswith("statcore: "))


@pytest.mark.parametrize(("width", "columns"), [(100, ["id", "size", "user"]), (24, ["id", "size"]), (14, ["id"])])
def test_a_narrow_terminal_leaves_out_the_least_important_columns(width: int, columns: list[str]) -> None:
    """What is shown is not cut off, the unit of a number included."""
    row = ["6f1b3c9e", "1.5 MB", "somebody"]
    console = Console(width=width, file=io.StringIO())
    table = screen_table(["id", "size", "user"], [row], console, droppable=["user", "size"])

    assert isinstance(table, Table)
    console.print(table)
    assert {"id": "6f1b3c9e", "size": "1.5 MB"}.get(columns[-1], "somebody") in shown_on(console)
    assert columns == [column.header for column in table.columns]


def test_a_long_word_in_a_sentence_is_broken_on_a_narrow_terminal() -> None:
    """A problem names an id, which may not hide the table."""
    stream = io.StringIO()
    console = Console(width=80, file=stream)
    table = screen_table(
        ["id", "size", "problem"], [[ID_1, "1.5 MB", f"kernel {ID_2} is odd"]], console, droppable=["size"]
    )

    console.print(table)
    shown = stream.getvalue()
    assert ID_1 in shown
    assert 80 >= max(map(len, shown.splitlines()))


def test_a_terminal_that_is_too_narrow_for_a_table_shows_lines() -> None:
    """Each object has all its values with their names, folded to the width but not between a number and its unit."""
    console = Console(width=16, file=io.StringIO())
    rows = [["6f1b3c9e", "1.5 MB", "12", "", "somebody"], ["7a", "900 MB", "", "x", "no"]]
    console.print(screen_table(["id", "size", "count", "odd", "user"], rows, console, droppable=["user"]))

    expected = ["6f1b3c9e", "  size 1.5 MB,", "  count 12, user", "  somebody", "7a", "  size 900 MB,", "  odd x, user no"]
    assert expected == shown_on(console).splitlines()


def shown_on(console: Console) -> str:
    """Return what a console has printed."""
    return cast("io.StringIO", console.file).getvalue()


def test_top_has_a_row_for_each_kernel(statcore: Invoke) -> None:
    """The kernel with the highest CPU use comes first, and the session is its title."""
    result = statcore("top", "--once")

    header, first, second = result.stdout.splitlines()
    assert (0, "") == (result.exit_code, result.stderr)
    assert header.startswith("SESSION")
    assert [ID_3, ID_1, "50.0", "%", "1.5", "MB", "2.0", "kB", "-"] == first.split()[:9]
    assert [ID_4, ID_2, "-"] == second.split()[:3]


def test_a_number_without_sense_is_short(statcore: Invoke, fake: Any) -> None:
    """It costs the other rows of a terminal no column."""
    fake.ANSWER["entries"] = {ID_1: {"cpu_util": {"current": "1", "pct": "1e300"}, "mem": {"current": "-1e300"}}}

    cells = [part.strip() for part in statcore("kernels").stdout.splitlines()[1].split("  ") if part]

    assert [ID_1, "1e+300 %", "-1e+300 B"] == cells[:3]


def test_top_says_what_is_wrong_with_statistics(statcore: Invoke, fake: Any) -> None:
    """People read it on standard error, and programs in the document; the exit code is 0."""
    fake.ANSWER["entries"][ID_1]["mem"] = {"capacity": "5"}
    fake.ANSWER["problems"] = {ID_1: "stale", ID_2: "unavailable"}

    result, as_json = statcore("top", "--once"), statcore("top", "--once", "--format", "json")

    assert (0, f"statcore: stale: as it is ({ID_1})\nstatcore: unavailable: as it is ({ID_2})\n") == (
        result.exit_code,
        result.stderr,
    )
    assert [ID_3, ID_1, "50.0", "%", "-", "2.0", "kB"] == result.stdout.splitlines()[1].split()[:7]
    assert (0, "") == (as_json.exit_code, as_json.stderr)
    document = json.loads(as_json.stdout)
    assert {ID_1: "stale", ID_2: "unavailable"} == {id_: found["kind"] for id_, found in document["problems"].items()}
    assert {"sessions", "kernels", "ages_s", "problems", "utilization", "failures", "infos"} == document.keys()


def test_a_narrow_terminal_names_what_it_leaves_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remark is on standard error."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")

    write_table(["id", "user"], [["6f1b3c9e", "somebody"]], droppable=["user"])

    printed = capsys.readouterr()
    assert ("6f1b3c9e" in printed.out, "somebody" in printed.out) == (True, False)
    assert "statcore: the terminal is too narrow for user\n" == printed.err


@pytest.mark.parametrize(("age_s", "shown"), [(3.2, "3s"), (150, "2m"), (7_300, "2h"), (400_000, "5d")])
def test_ages_are_short_texts(
    statcore: Invoke, fake: Any, monkeypatch: pytest.MonkeyPatch, age_s: float, shown: str
) -> None:
    """The unit is the largest of which there are two."""
    fetch = fake.Store.fetch_kernel_statistics

    async def dated(store: Any, ids: Any) -> Any:
        return attrs.evolve(await fetch(store, ids), ages_s=dict.fromkeys(range(len(ids)), age_s))

    monkeypatch.setattr(fake.Store, "fetch_kernel_statistics", dated)

    header, first, _ = statcore("kernels").stdout.splitlines()

    assert shown == first[header.index("AGE") :].split()[0]


@pytest.fixture
def many(fake: Any) -> list[str]:
    """Thirty kernels, of which the last ten are unavailable; the ids in the order of their CPU use."""
    ids = [f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(30)]
    fake.ANSWER.update(
        entries={id_: {"cpu_util": {"current": "1", "pct": str(number + 1)}} for number, id_ in enumerate(ids[:20])},
        series=[({"kernel_id": id_, "session_id": ID_3.replace("0", "f"), "agent_id": "i-1"}, [1.0], [1.0]) for id_ in ids],
        problems=dict.fromkeys(ids[20:], "unavailable"),
    )
    return ids[19::-1] + ids[:19:-1]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the standard output of commands a terminal of eighteen lines."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda stream: stream.name == "<stdout>", raising=False)
    monkeypatch.setenv("LINES", "18")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")


def test_top_has_all_kernels_in_a_pipe(statcore: Invoke, many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a terminal limits what people see there, and nothing else."""
    monkeypatch.setenv("LINES", "18")

    as_json, as_text = statcore("top", "--once", "--format", "json"), statcore("top", "--once")

    assert (many, []) == (list(json.loads(as_json.stdout)["kernels"]), json.loads(as_json.stdout)["failures"])
    assert many == [line.split()[1] for line in as_text.stdout.splitlines()[1:]]


@pytest.mark.usefixtures("terminal")
def test_top_says_how_many_kernels_a_terminal_shows(statcore: Invoke, many: list[str]) -> None:
    """It also tells of the problem of those that may be missing because of it; JSON has all kernels."""
    result, as_json = statcore("top", "--once"), statcore("top", "--once", "--format", "json")

    missing = "10 of 30 kernels have a problem and no cpu_pct: as it is"
    said = ["statcore: 10 of 30 kernels are shown", f"statcore: {missing}"]
    assert said == result.stderr.splitlines()[:2]
    assert many[:10] == [id_ for id_ in many if id_ in result.stdout]
    assert many == list(json.loads(as_json.stdout)["kernels"])


@pytest.mark.usefixtures("fake")
async def test_a_watched_list_says_how_many_objects_the_screen_shows(many: list[str]) -> None:
    """It also tells of the problem of those that may be missing because of it."""
    kernels = [KernelRecord(kernel_id=id_) for id_ in many]
    items = [ListedObject(object_id=kernel.kernel_id, record=kernel, kernels=(kernel,)) for kernel in kernels]
    missing = WithoutValue(count=10, problem_count=10, first_problem="as\nit is")
    page = ListPage(items=items[:18], total_count=30, next_cursor="next", without_value=missing)
    command = ListCommand(kind=KERNELS, sort="-cpu_pct", filters=(), output_format="text")

    def lines_of(page: ListPage[Any], *, height: int) -> list[str]:
        console = Console(width=120, height=height, file=io.StringIO())
        console.print(command._draw(page, console))
        return shown_on(console).splitlines()

    narrow = lines_of(page, height=18)
    shown = [id_ for id_ in many if id_ in "\n".join(narrow)]
    assert (17, f"{len(shown)} of 30 kernels are shown at ") == (len(narrow), narrow[0][:30])
    assert (many[: len(shown)], True) == (shown, len(shown) >= 10)
    assert r"10 of 30 kernels have a problem and no cpu_pct: as\nit is" == narrow[1].rstrip()
    unknown = attrs.evolve(page, without_value=attrs.evolve(missing, count=30))
    remark = r"cpu_pct is known of none of the 30 kernels, which are in the order of their ids: as\nit is"
    assert remark == lines_of(unknown, height=18)[1].rstrip()
    assert remark[:79] == lines_of(attrs.evolve(unknown, items=items), height=60)[1].rstrip()
    whole = lines_of(attrs.evolve(page, items=items), height=60)
    assert ("30 kernels at ", 1) == (whole[0][:14], sum("kernels" in line for line in whole))
