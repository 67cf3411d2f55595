"""A querier of fifteen lines, built as a wheel and installed, passes the shipped suite and appears everywhere by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest
from tests.e2e.plugin_projects import write_project
from tests.support.environments import build_wheels, create_environment, run

from statcore.testing.servers import Server

DOOR: Final = """
import attrs
from statcore import QueryStrategy, UtilizationMetricQuerier
from statcore.plugins import hookimpl
STATCORE_PLUGIN_API = 1
@attrs.frozen(kw_only=True)
class DoorMetricQuerier(UtilizationMetricQuerier):
    '''Doors of racks, by how often they are opened.\\n\\nArgs:\\n    rack_id: the label `rack_id`.'''
    rack_id: str | None = None
    def name(self): return "rack_door_openings_total"
    def labels(self): return {} if self.rack_id is None else {"rack_id": self.rack_id}
    def group_by_labels(self): return ["rack_id"]
    def query_strategy(self): return QueryStrategy.RATE
@hookimpl
def statcore_queriers(): return [DoorMetricQuerier]
"""
SUITE: Final = """
from acme_doors import DoorMetricQuerier
from statcore.testing.conformance import QuerierConformance

class TestDoor(QuerierConformance):
    def queriers(self):
        return [DoorMetricQuerier(), DoorMetricQuerier(rack_id="r1"), DoorMetricQuerier(rack_id="r2")]
"""


@pytest.fixture(scope="module")
def bin_(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment that holds statcore, the querier, and what they need."""
    folder = tmp_path_factory.mktemp("doors")
    built = build_wheels(folder / "wheels", write_project(folder, "acme-doors", DOOR, version="3.1", name="door"))
    requirement = f"statcore[cli,prometheus,graphql,testing] @ {wheel.as_uri()}"
    return create_environment(folder / "environment", requirement, *built)


@pytest.mark.timeout(300)
def test_it_passes_the_shipped_suite(bin_: Path, tmp_path: Path) -> None:
    """The environment holds nothing else."""
    assert 15 >= len(DOOR.strip().splitlines())
    (tmp_path / "test_door.py").write_text(SUITE)
    suite = run(bin_ / "python", "-m", "pytest", "-q", "-W", "error", tmp_path / "test_door.py")
    assert 0 == suite.returncode, suite.stdout


@pytest.mark.timeout(300)
def test_it_appears_everywhere(bin_: Path, prometheus_holding: Callable[..., AbstractContextManager[Server]]) -> None:
    """On the command line, in GraphQL and in Python, over a real Prometheus: two openings a second of one rack's door."""
    assert "acme-doors3.1" in "".join(run(bin_ / "statcore", "query", "--help").stdout.split())
    assert "--rack-id TEXT the label `rack_id`." in " ".join(
        run(bin_ / "statcore", "query", "door", "--help").stdout.split()
    )
    with prometheus_holding(_openings(now=int(time.time()))) as server:
        query = ("query", "door", "--rack-id", "r1", "--last", "5s", "--step", "1s", "--format", "csv")
        printed = run(bin_ / "statcore", *query, metrics_url=server.url, rate_interval="1m")
        program = Path(__file__).parent / "plugin_host.py"
        done = run(bin_ / "python", program, server.url, json.dumps({"door": {"rack_id": "r1"}}))
    assert 0 == printed.returncode, printed.stderr
    answers = json.loads(done.stdout)
    assert {"container", "door"} == {querier["name"] for querier in answers["queriers"]["data"]["queriers"]}
    (series,) = answers["graphql"]["door"]["data"]["utilization"]["series"]
    by_way = {
        "command line": [float(line.split(",")[-1]) for line in printed.stdout.splitlines()[1:]],
        "Python": answers["python"]["door"][0],
        "GraphQL": [float(value) for _, value in series["values"]],
    }
    assert {way: pytest.approx([2.0] * 6) for way in by_way} == by_way


def _openings(now: int) -> str:
    lines = [
        f'rack_door_openings_total{{rack_id="r1"}} {2 * (moment - now + 600)} {moment}'
        for moment in range(now - 600, now + 60)
    ]
    return "\n".join(["# TYPE rack_door_openings counter", *lines, "# EOF", ""])
