"""A plugin with a store, a backend and queriers, installed like any plugin, and the command line configured to use it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from statcore_cli.app import cli

Invoke: TypeAlias = Callable[..., Result]
"""Runs the command line with the given arguments."""

ID_1, ID_2, ID_3, ID_4 = (f"6f1b3c9e-0a52-4a57-9d3e-{number:012d}" for number in range(1, 5))

PLUGIN = '''
import datetime, decimal, enum, math
from array import array
from dataclasses import dataclass
from typing import Literal, Optional
from uuid import UUID

import attrs
from tests.support.lazy_entries import Lazy

from statcore.errors import AccessDeniedError, MissingExtraError, TimedOutError, UnavailableError, UnsupportedError
from statcore.model import MatrixResult, Problem, ProblemKind, Sample, Series, StatisticsBatch, VectorResult
from statcore.plugins import MetricBackendSpec, QuerierSpec, StatisticsStoreSpec, hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1
CALLS = []
BUILT = []
ANSWER = {}

class Store:
    async def fetch_kernel_statistics(self, ids):
        CALLS.append(ids)
        entries, problems = ANSWER.get("entries", {}), ANSWER.get("problems", {})
        return StatisticsBatch(
            [Lazy(entries[id_]) if id_ in entries else None for id_ in ids],
            problems={i: Problem(ProblemKind(problems[id_]), message="as it is", key=id_)
                      for i, id_ in enumerate(ids) if id_ in problems},
        )
    fetch_inference_metrics = fetch_endpoint_statistics = fetch_kernel_statistics
    fetch_replica_statistics = fetch_agent_statistics = fetch_kernel_statistics
    async def ping(self): CALLS.append("ping")
    async def aclose(self): CALLS.append("closed")

class Backend:
    async def query_utilization(self, querier, time_range, *, rate_interval="5m"):
        CALLS.append((querier, time_range, rate_interval))
        if "failing" in ANSWER: raise ERRORS[ANSWER["failing"]]
        series = [Series(labels=labels, timestamps=array("d", times), values=array("d", values))
                  for labels, times, values in ANSWER.get("series", [])]
        return MatrixResult(series=tuple(series), **ANSWER.get("notes", {}))
    async def query_utilization_now(self, querier, *, time=None, rate_interval="5m"):
        return VectorResult(samples=tuple(Sample(labels=labels, timestamp=time.timestamp(), value=value)
                                          for labels, value in ANSWER.get("now", [])))
    async def label_values(self, label, *, match=None, time_range=None): return [label, match.name]
    async def series(self, match, *, time_range=None): return ANSWER.get("found", [])
    async def ping(self): CALLS.append("ping")
    async def aclose(self): CALLS.append("closed")

async def open_store(url, options):
    CALLS.append((url, dict(options)))
    return Store()

async def open_backend(url, options):
    CALLS.append((url, dict(options)))
    if "unknown" in options:
        from statcore.errors import InputError
        raise InputError("no such option: unknown")
    return Backend()

ERRORS = {
    "down": UnavailableError("refused\\nby host"), "slow": TimedOutError("took too long", timeout_s=1),
    "denied": AccessDeniedError("wrong password"), "driverless": MissingExtraError("valkey", module="redis"),
    "unfit": UnsupportedError("part of a cluster"), "foreign": ZeroDivisionError("division by zero"),
    "interrupt": KeyboardInterrupt(),
}

async def fail(url, options): raise ERRORS[url.partition(":")[0]]

class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"

@attrs.frozen(kw_only=True)
class Node(UtilizationMetricQuerier):
    """Nodes.

    Args:
        metric_name: what is measured,
            in more than one line.
        node_id, rack: which one.
        step: not the step of a range.
    """

    metric_name: str
    node_id: Optional[UUID] = None
    rack: str | UUID | None = None
    value_type: Literal["current", "capacity"] = "current"
    level: Level | None = None
    step: int = 1
    strict: bool = False
    share: float | None = attrs.field(factory=lambda: None)
    def __attrs_post_init__(self):
        BUILT.append(self)
        if self.metric_name == "crash": raise KeyError("crash")
    def name(self): return "node_utilization"
    def labels(self): return {"metric": self.metric_name, "value_type": self.value_type, "step": str(self.step)}
    def group_by_labels(self): return ["value_type"]
    def query_strategy(self): return QueryStrategy.RATE_NORMALIZED if self.metric_name == "net" else QueryStrategy.GAUGE

@dataclass(kw_only=True, frozen=True)
class Rack(UtilizationMetricQuerier):
    rack_id: str = "r1"
    def name(self): return "rack_utilization"
    def labels(self): return {"rack_id": self.rack_id}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.GAUGE

@hookimpl
def statcore_queriers():
    return [
        QuerierSpec(name="node", summary="nodes", querier=Node, series="node_utilization", metric_label="metric"),
        QuerierSpec(name="rack", summary="racks", querier=Rack, series="rack_utilization"),
    ]

@hookimpl
def statcore_statistics_stores():
    return [
        StatisticsStoreSpec(name="fake", summary="s", schemes=("fake",), open=open_store),
        StatisticsStoreSpec(name="failing", summary="s", schemes=tuple(ERRORS), open=fail),
    ]

@hookimpl
def statcore_metric_backends():
    return [
        MetricBackendSpec(name="fake", summary="s", schemes=("fake",), open=open_backend),
        MetricBackendSpec(name="failing", summary="s", schemes=tuple(ERRORS), open=fail),
    ]
'''

FAULTY = """
from dataclasses import dataclass
from statcore.plugins import QuerierSpec, hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier

STATCORE_PLUGIN_API = 1

@dataclass(kw_only=True, frozen=True)
class Twin(UtilizationMetricQuerier):
    step: int = 1
    twin_step: int = 1
    def name(self): return "twin"
    def labels(self): return {}
    def group_by_labels(self): return []
    def query_strategy(self): return QueryStrategy.GAUGE

class Unreadable(Twin):
    def __init__(self, *, what: "NoSuchType"): pass

@hookimpl
def statcore_queriers():
    return [
        QuerierSpec(name="twin", summary="twins", querier=Twin),
        QuerierSpec(name="unreadable", summary="nobody knows", querier=Unreadable, series="x"),
    ]
"""


def csv_rows(text: str) -> list[dict[str, str]]:
    """Return the rows of CSV by column."""
    return list(csv.DictReader(io.StringIO(text)))


def checks(result: Result) -> dict[str, tuple[str, str, str]]:
    """Return status, detail and remedy of each check in the JSON of `statcore doctor`, by its name and its subject."""
    found = json.loads(result.stdout)["checks"]
    return {
        f"{check['check']} {check['subject']}".rstrip(): (check["status"], check["detail"], check["remedy"])
        for check in found
    }


def answering(answer: Any) -> Callable[..., Any]:
    """Return a method that returns this answer, or raises it when it is an exception."""

    async def method(*_: object, **__: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return method


@pytest.fixture
def fake(install: Callable[..., Path]) -> Any:
    """The module of the plugin: `CALLS` records the calls that it got, `BUILT` its queriers, `ANSWER` what it returns."""
    install("acme-fake", fake=PLUGIN)
    import acme_fake_fake  # type: ignore[import-not-found]  # noqa: PLC0415 - installed just now

    return acme_fake_fake


@pytest.fixture
def faulty(install: Callable[..., Path]) -> None:
    """A plugin whose kinds of querier are broken."""
    install("acme-faulty", faulty=FAULTY)


@pytest.fixture
def statcore(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command line with the fake store and backend configured, and no other settings."""
    for name in ("STATISTICS_URL", "METRICS_URL", "RATE_INTERVAL", "DISABLE_PLUGINS", "PRESETS", "CONFIG"):
        monkeypatch.delenv(f"STATCORE_{name}", raising=False)
    del fake

    def invoke(*arguments: str, env: Mapping[str, str] | None = None, **extra: Any) -> Result:
        urls = {"STATCORE_STATISTICS_URL": "fake:", "STATCORE_METRICS_URL": "fake:"}
        return CliRunner().invoke(cli, arguments, env=urls | dict(env or {}), catch_exceptions=False, **extra)

    return invoke
