"""`statcore plugins new`: which names it takes, what it writes, and that it overwrites nothing."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.asked_and_printed import rows

from statcore.errors import InputError
from statcore.plugins import PluginRegistry, QuerierSpec
from statcore.testing.strategies import label_values
from statcore_cli.plugin_project import Part, check_name, project_files, write_project

Invoke = Callable[..., Result]

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
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write into a folder of the test's own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def written() -> list[str]:
    """Return the files that are there."""
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def test_it_says_what_it_wrote_and_what_to_do_next(statcore: Invoke) -> None:
    """In words, in the order in which it is done."""
    result = statcore("plugins", "new", "shelf")

    lines = ["Wrote:", *(f"    {path}" for path in FILES), "Next:", *(f"    {command}" for command in NEXT)]
    assert (0, lines) == (result.exit_code, result.stdout.splitlines())
    assert sorted(FILES) == written()


@pytest.mark.parametrize("arguments", [["plugins", "new", "shelf", "--format"], ["plugins", "--format"]])
def test_programs_are_told_as_well(statcore: Invoke, arguments: list[str]) -> None:
    """The format may stand before `new` or after it."""
    rest = [] if "new" in arguments else ["new", "shelf"]

    result = statcore(*arguments, "json", *rest)

    assert {"folder": "statcore-shelf", "files": FILES, "next": NEXT} == json.loads(result.stdout)
    Path("statcore-shelf").rename("gone")
    assert [{"file": path} for path in FILES] == rows(statcore(*arguments, "csv", *rest).stdout)


def test_it_leaves_the_listing_as_it_is(statcore: Invoke) -> None:
    """The help of `plugins` shows both."""
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
    """The class that is written is contributed as it is, under the name that it has."""
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
    """By the store or the backend that has it."""
    result = statcore("plugins", "new", part, name)

    assert (2, []) == (result.exit_code, written())
    assert message in result.stderr


def test_a_store_and_a_backend_are_projects_of_their_own(statcore: Invoke) -> None:
    """Each has its next step; both at once are refused."""
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
    """As a querier, as the name of a plugin, disabled ones too, or as a package; it says by whom."""
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
    """Whatever there is under the name of the folder."""
    make(Path("statcore-shelf"))
    before = written()

    result = statcore("plugins", "new", "shelf")

    assert (2, "statcore: statcore-shelf exists already; nothing was written\n") == (result.exit_code, result.stderr)
    assert before == written()


def test_a_folder_that_cannot_be_written_is_named(statcore: Invoke) -> None:
    """A name longer than any file's is the one that root is refused, too."""
    kind = "a" * 300

    result = statcore("plugins", "new", kind)

    assert (2, f"statcore: statcore-{kind} cannot be written: File name too long\n") == (result.exit_code, result.stderr)


@given(kind=st.from_regex(r"[a-z][a-z0-9]+(-[a-z][a-z0-9]+)*", fullmatch=True), part=st.sampled_from(Part))
def test_whatever_the_name_the_project_fits_together(kind: str, part: Part) -> None:
    """Distribution, package, class and entry point are named alike, hyphens and underscores each in their place."""
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
def test_any_other_text_is_refused(kind: str) -> None:
    """With the one message, or it is a name."""
    try:
        check_name(kind, EMPTY)
    except InputError as error:
        assert "lower-case words" in str(error) or "is installed already" in str(error)  # noqa: PT017 - or it is a name
    else:
        assert kind.replace("-", "").isidentifier()


def test_a_project_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What cannot be written takes what was with it, so that the next try starts afresh; what was there stays."""
    folder = tmp_path / "statcore-shelf"
    with pytest.raises(InputError, match="statcore-shelf cannot be written: File name too long"):
        write_project(folder, {"README.md": "x", "n" * 300: "y"})
    assert [] == list(tmp_path.glob("*shelf*"))

    write_project(folder, {"README.md": "x"})
    with pytest.raises(InputError, match="statcore-shelf exists already; nothing was written"):
        write_project(folder, {"n" * 300: "y"})
    assert "x" == (folder / "README.md").read_text()
