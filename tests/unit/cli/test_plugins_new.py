"""`statcore plugins new`: the names it accepts, the files it writes, and that it never overwrites anything."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.conftest import Invoke, csv_rows

from statcore.errors import InputError
from statcore.plugins import PluginRegistry, QuerierSpec
from statcore.testing.strategies import label_values
from statcore_cli.plugin_project import Part, check_name, project_files, write_project

FILES = [
    "statcore-shelf/README.md",
    "statcore-shelf/pyproject.toml",
    "statcore-shelf/src/statcore_shelf/__init__.py",
    "statcore-shelf/src/statcore_shelf/py.typed",
    "statcore-shelf/tests/test_shelf.py",
]
NEXT = ["cd statcore-shelf", "pip install --editable '.[test]'", "pytest", "statcore query shelf --help"]
EMPTY = PluginRegistry((), {})


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def written() -> list[str]:
    """Return the files that exist."""
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_it_prints_the_files_and_the_next_commands(statcore: Invoke) -> None:
    """The commands are in the order in which they are run."""
    result = statcore("plugins", "new", "shelf")

    lines = ["Wrote:", *(f"    {path}" for path in FILES), "Next:", *(f"    {command}" for command in NEXT)]
    assert (0, lines) == (result.exit_code, result.stdout.splitlines())
    assert sorted(FILES) == written()


@pytest.mark.parametrize("arguments", [["plugins", "new", "shelf", "--format"], ["plugins", "--format"]])
def test_json_and_csv_list_the_files(statcore: Invoke, arguments: list[str]) -> None:
    """The format may stand before `new` or after it."""
    rest = [] if "new" in arguments else ["new", "shelf"]

    result = statcore(*arguments, "json", *rest)

    assert {"folder": "statcore-shelf", "files": FILES, "next": NEXT} == json.loads(result.stdout)
    Path("statcore-shelf").rename("gone")
    assert [{"file": path} for path in FILES] == csv_rows(statcore(*arguments, "csv", *rest).stdout)


def test_the_help_of_plugins_describes_listing_and_new(statcore: Invoke) -> None:
    """An unknown command is wrong usage."""
    text = statcore("plugins", "--help").stdout

    assert "what is wrong with the broken ones" in text
    assert "  new  Write a project for a plugin of your own." in text
    assert (2, "") == ((result := statcore("plugins", "old")).exit_code, result.stdout)
    assert "No such command 'old'" in result.stderr


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        *(
            (kind, "")
            for kind in ("", "räck", "2shelf", "../shelf", "a/b", "a b", "$kind", "shelf\n", "class MetricQuerier")
        ),
        ("Shelf", "; take shelf"),
        ("shelf_unit", "; take shelf-unit"),
        ("shelf-", "; take shelf"),
        ("shelf--unit", "; take shelf-unit"),
        ("shelf-2", "; take shelf2"),
        ("a-b", "; take ab"),
    ],
)
def test_a_name_that_no_class_gives_is_refused(statcore: Invoke, kind: str, instead: str) -> None:
    """The name must be the one that statcore derives from the class that is written."""
    result = statcore("plugins", "new", "--", kind)

    assert (2, []) == (result.exit_code, written())
    assert (
        f"statcore: a name is made of lower-case words, such as rack or tape-library, not {kind!r}{instead}\n"
        == result.stderr
    )


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("--store", "redis", "the statistics store redis exists already, in 'valkey' of statcore"),
        ("--backend", "http", "the metric backend http exists already, in 'prometheus' of statcore"),
        ("--store", "memory", "the statistics store memory exists already, in 'memory' of statcore"),
    ],
)
def test_a_scheme_that_is_taken_is_refused(statcore: Invoke, part: str, name: str, message: str) -> None:
    """The message names the plugin that has it."""
    result = statcore("plugins", "new", part, name)

    assert (2, []) == (result.exit_code, written())
    assert message in result.stderr


def test_a_store_and_a_backend_have_their_own_projects(statcore: Invoke) -> None:
    """Each has its own next command; both options together are refused."""
    for part, following in (("--store", "doctor --statistics-url"), ("--backend", "doctor --metrics-url")):
        result = statcore("plugins", "new", part, "shelf", "--format", "json")

        document = json.loads(result.stdout)
        assert FILES == document["files"]
        assert f"statcore {following} shelf:///path/of/the/file" == document["next"][-1]
        Path("statcore-shelf").rename(f"gone{part}")
    result = statcore("plugins", "new", "--store", "--backend", "shelf")
    assert (2, "statcore: --store and --backend exclude each other; give one of them\n") == (
        result.exit_code,
        result.stderr,
    )


def test_a_name_that_is_taken_is_refused(statcore: Invoke, install: Callable[..., Path]) -> None:
    """It belongs to a querier, to a plugin, even a disabled one, or to a package; the message names the owner."""
    (install("acme-shelves", shelves="STATCORE_PLUGIN_API = 2") / "statcore_shelf.py").touch()
    taken = {
        "rack": "the querier rack exists already, in 'fake' of acme-fake 1.0",
        "shelves": "a plugin with the name shelves exists already: 'shelves' of acme-shelves 1.0",
        "valkey": "a plugin with the name valkey exists already: 'valkey' of statcore",
        "shelf": "a package with the name statcore_shelf is installed already",
    }

    results = [statcore("--disable-plugins", "valkey", "plugins", "new", kind) for kind in taken]

    assert [2] * 4 == [result.exit_code for result in results]
    assert [] == written()
    for message, result in zip(taken.values(), results, strict=True):
        assert message in result.stderr


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_overwritten(statcore: Invoke, make: Callable[[Path], Any]) -> None:
    """A folder, a file or a broken link with the name of the project stays unchanged."""
    make(Path("statcore-shelf"))
    before = written()

    result = statcore("plugins", "new", "shelf")

    assert (2, "statcore: statcore-shelf exists already; nothing was written\n") == (result.exit_code, result.stderr)
    assert before == written()


@given(kind=st.from_regex(r"[a-z][a-z0-9]+(-[a-z][a-z0-9]+)*", fullmatch=True), part=st.sampled_from(Part))
def test_a_project_is_consistent_for_any_name(kind: str, part: Part) -> None:
    """Distribution, package, class and entry point have the same name, with hyphens or underscores."""
    check_name(kind, EMPTY, part)
    files = project_files(kind, part)
    word = kind.replace("-", "_")
    module = files[f"src/statcore_{word}/__init__.py"]
    project = tomllib.loads(files["pyproject.toml"])
    tests = files[f"tests/test_{word}.py"]
    ast.parse(tests)

    assert (f"statcore-{kind}", {kind: f"statcore_{word}"}) == (
        project["project"]["name"],
        project["project"]["entry-points"]["statcore"],
    )
    assert [f"statcore>={version('statcore')}"] == project["project"]["dependencies"]
    assert f"from statcore_{word} import " in tests
    assert "$" not in "".join(files.values()).replace("\n$ ", "")
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(module, namespace)  # noqa: S102 - what was just written
    if part is Part.QUERIER:
        (querier,) = namespace["statcore_queriers"]()
        assert kind == QuerierSpec.of(querier).name
    else:
        hook = "statcore_statistics_stores" if part is Part.STORE else "statcore_metric_backends"
        (spec,) = namespace[hook]()
        assert (kind, (kind,)) == (spec.name, spec.schemes)


@given(kind=label_values())
def test_other_text_is_refused(kind: str) -> None:
    """The message says what a name is made of, or that a package has the name."""
    try:
        check_name(kind, EMPTY)
    except InputError as error:
        assert "lower-case words" in str(error) or "is installed already" in str(error)  # noqa: PT017 - or it is a name
    else:
        assert kind.replace("-", "").isidentifier()


def test_a_project_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """After a failed write nothing remains; a name is too long for a file, which fails even for root."""
    with pytest.raises(InputError, match="statcore-shelf cannot be written: File name too long"):
        write_project(tmp_path / "statcore-shelf", {"README.md": "x", "n" * 300: "y"})
    assert [] == list(tmp_path.glob("*shelf*"))
