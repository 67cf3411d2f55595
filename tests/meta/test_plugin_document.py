"""The examples in docs/plugins.md work as they are, and its lists are complete."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from graphql import parse, validate
from tests.support.environments import ROOT

from statcore import InputError, model, promql
from statcore.plugins import API_VERSION, MetricBackendSpec, PluginStatus, QuerierSpec, hooks
from statcore.plugins.hooks import HOOKS
from statcore.plugins.loading import LOAD_TIMEOUT_S
from statcore.promql import syntax, utilization_query
from statcore.queriers import LabelMatcher, QueryStrategy
from statcore.testing import metrics, querier_checks
from statcore.testing.queriers import FixedQuerier
from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema

TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def blocks(language: str, containing: str = "") -> list[str]:
    """Return the blocks of code in a language that contain something."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [block for block in found if containing in block]


def lines_of_code(source: str) -> int:
    """Return the number of lines without empty lines and docstrings."""
    documented = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    docstrings = [node.body[0] for node in documented if ast.get_docstring(node)]
    ignored = {line for node in docstrings for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return sum(1 for number, line in enumerate(source.splitlines(), 1) if line.strip() and number not in ignored)


def module(source: str) -> dict[str, Any]:
    """Run a block, and return what it defines."""
    namespace: dict[str, Any] = {"__name__": __name__}
    # Without this module's own `from __future__`, which would make text of the annotations.
    exec(compile(source, "docs/plugins.md", "exec", dont_inherit=True), namespace)  # noqa: S102 - the document's own
    return namespace


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the querier of fifteen lines, its entry point, and its tests."""
    (querier,) = blocks("python", "class RackMetricQuerier")
    (entry_points,) = blocks("toml", "entry-points")
    (tests,) = blocks("python", "class TestRack")
    (tmp_path / "statcore_rack.py").write_text(querier)
    (tmp_path / "test_rack.py").write_text(tests)
    information = tmp_path / "statcore_rack-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: statcore-rack\nVersion: 0.1.0\n")
    (information / "entry_points.txt").write_text(entry_points.replace("project.entry-points.", "").replace('"', ""))
    return tmp_path


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python where the plugin is installed."""
    settings = {"PYTHONPATH": str(site), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STATCORE_")} | settings
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_the_querier_has_fifteen_lines() -> None:
    """Only lines of code count; the docstring is help for users."""
    (source,) = blocks("python", "class RackMetricQuerier")
    assert 15 == lines_of_code(source)
    assert max(map(len, source.splitlines())) <= 124


def test_the_querier_passes_the_suite_as_the_document_runs_it(site: Path) -> None:
    """Every check of the suite passes, and so does the test of the text."""
    report = run(site, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_rack.py").stdout
    assert f"{len(querier_checks.CHECKS) + 1} passed" in report, report


def test_the_test_on_a_real_server_passes_as_the_document_has_it(site: Path, require_program: Callable[..., str]) -> None:
    """The project has the line in conftest.py that the document names."""
    require_program("prometheus")
    require_program("promtool")
    (source,) = blocks("python", "def test_power")
    (site / "test_power.py").write_text(source)
    (line,) = re.findall(r"`(pytest_plugins = .*?)`", TEXT)
    (site / "conftest.py").write_text(line)
    report = run(site, "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_power.py").stdout
    assert "1 passed" in report, report


def test_the_querier_is_on_the_command_line_as_the_document_shows(site: Path) -> None:
    """It prints the text, and help shows its options and its origin."""
    (console,) = blocks("console", "statcore promql rack")
    shown = re.search(r"^\$ statcore (promql rack .*)\n(.*)$", console, re.MULTILINE)
    assert shown is not None
    assert f"{shown[2]}\n" == run(site, "statcore_cli", *shown[1].split()).stdout
    usage = run(site, "statcore_cli", "query", "rack", "--help").stdout
    assert "--metric-name [power|energy]" in usage
    assert "--rack-id TEXT" in usage
    assert "the label `rack_id` of a rack; by default every rack." in " ".join(usage.split())
    assert "[statcore-rack 0.1.0]" in run(site, "statcore_cli", "query", "--help").stdout
    assert 0 == run(site, "statcore_cli", "plugins").returncode


def test_the_graphql_is_valid() -> None:
    """The served schema accepts it."""
    (query,) = blocks("graphql")
    assert [] == validate(build_schema(DataLoaderManager())._schema, parse(query))


def test_the_documented_texts_of_the_strategies_are_sent() -> None:
    """The table of the strategies has them."""
    kinds = re.findall(r"^\| `QueryStrategy\.(\w+)` \| `(.*?)`", TEXT, re.MULTILINE)
    assert [strategy.name for strategy in QueryStrategy] == [name for name, _ in kinds]
    for strategy, (_, text) in zip(QueryStrategy, kinds, strict=True):
        series = re.search(r"rack_\w+(?=\{)", text)
        assert series is not None
        querier = FixedQuerier(series[0], {"x": "…"}, group_by=["rack_id"], strategy=strategy)
        assert text.replace("{…}", '{x="…"}') == utilization_query(querier).text


def test_the_table_of_expressions_is_right_and_whole() -> None:
    """Each expression becomes the text beside it; every class is in it, and all functions and operators are listed."""
    rows = re.findall(r"^\| `([A-Z]\w+\(.*\))` \| `(.*)` \|$", TEXT, re.MULTILINE)
    values = {name: getattr(promql, name) for name in promql.__all__} | {"LabelMatcher": LabelMatcher}
    for expression, text in rows:
        assert text == eval(expression, values).text  # noqa: S307 - the document's own
    shown = " ".join(expression for expression, _ in rows)
    for part in (*get_args(promql.Part), promql.Matching):
        assert f"{part.__name__}(" in shown or f"{part.__name__}." in shown
    listed = TEXT[TEXT.index("- Aggregations are") : TEXT.index("- Two expressions are joined")]
    words = {
        word for words in (syntax.AggregationOperator, syntax.Function, syntax.BinaryOperator) for word in get_args(words)
    }
    assert words == set(re.findall(r"`(.*?)`", listed))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("DoorMetricQuerier", [{}, {"rack_id": "r1"}, {"rack_id": "r2", "quantile": 0.5}]),
        ("ShareMetricQuerier", [{}, {"rack_id": "r1"}, {"metric_name": "power", "rack_id": "r2", "phase": "L1"}]),
    ],
)
def test_strategies_of_its_own_keep_every_promise(name: str, fields: list[dict[str, Any]]) -> None:
    """The classes of the examples pass the suite."""
    (source,) = blocks("python", f"class {name}")
    querier = module(source)[name]
    for check in querier_checks.CHECKS:
        check(QuerierSpec.of(querier), [querier(**values) for values in fields])


def test_the_table_of_validators_is_right() -> None:
    """The table has every exported validator, and the errors of the example name the field."""
    listed = set(re.findall(r"`((?:check|optional|read)_\w+)", "".join(re.findall(r"^\| .*$", TEXT, re.MULTILINE))))
    assert {name for name in model.__all__ if name.startswith(("check_", "optional_", "read_"))} <= listed
    (source,) = blocks("python", "class Fields")
    fields = module(source)["Fields"]
    for name, bad in {"metric_name": "heat", "rack_id": "", "owner_id": "r1"}.items():
        with pytest.raises(InputError, match="not an id" if name == "owner_id" else f"^{name} "):
            fields(**{name: bad})


def test_the_backend_is_one() -> None:
    """Its spec is accepted, and its difference has the name of a check."""
    (source,) = blocks("python", "def statcore_metric_backends")
    (backend,) = module(source)["statcore_metric_backends"]()
    assert isinstance(backend, MetricBackendSpec)
    assert backend.differences.keys() <= {check.__name__.removeprefix("check_") for check in metrics.CHECKS}


def test_the_simulation_runs() -> None:
    """The adapter reads in pieces, and finds the crashed server unavailable, at each seed."""
    (source,) = blocks("python", "simulate(scenario")
    assert {503} == module(source)["statuses"]


def test_the_lists_are_whole() -> None:
    """Hooks with their return types, statuses, the version, the deadline."""
    for hook in HOOKS:
        returns = inspect.signature(getattr(hooks, hook)).return_annotation.replace("|", "\\|")
        assert f"| `{hook}()` | `{returns}`" in TEXT
    assert [status.value for status in PluginStatus] == re.findall(r"^\| `(\w+)` \| it", TEXT, re.MULTILINE)
    assert f"`STATCORE_PLUGIN_API = {API_VERSION}`" in TEXT
    assert f"within {LOAD_TIMEOUT_S:g} s" in TEXT
