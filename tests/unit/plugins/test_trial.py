"""Faults that `statcore plugins` finds by trying each kind once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.plugins.plugin_modules import presets, report_of

from statcore.plugins import PluginRegistry, PluginStatus

HEAD = """
import functools, inspect
from dataclasses import dataclass
from typing import Literal
from statcore import ExpressionStrategy, InputError, QueryStrategy, UtilizationMetricQuerier
from statcore.plugins import MetricBackendSpec, Preset, QuerierSpec, StatisticsStoreSpec, hookimpl
STATCORE_PLUGIN_API = 1
async def sound(url, options): raise AssertionError("nothing is opened")

@dataclass(frozen=True, kw_only=True)
class RackQuerier(UtilizationMetricQuerier):
    "Racks."
    metric_name: str = "power"
    {fields}
    def name(self): return f"rack_{{self.metric_name}}"
    def labels(self): return {{}}
    def group_by_labels(self): return ["rack_id"]
    def query_strategy(self): return QueryStrategy.GAUGE
    {methods}

class Callable:
    async def __call__(self, url, options): raise AssertionError("nothing is opened")
"""

QUERIERS = """
@hookimpl
def statcore_queriers(): return [{spec}]
"""

ADAPTERS = """
@hookimpl
def statcore_statistics_stores():
    return [StatisticsStoreSpec(name="attic", summary="s", schemes=("attic", "loft"), open={open}, open_sink={sink})]
@hookimpl
def statcore_metric_backends():
    return [MetricBackendSpec(name="cellar", summary="s", schemes=("cellar",), open={open})]
"""


def querier(*, fields: str = "pass", methods: str = "pass", spec: str = "RackQuerier") -> str:
    """Return a module with a querier, with changes."""
    return HEAD.format(fields=fields, methods=methods) + QUERIERS.format(spec=spec)


def adapters(*, open: str = "sound", sink: str = "None") -> str:  # noqa: A002 - as the spec calls it
    """Return a module with a store and a backend, opened by these expressions."""
    return HEAD.format(fields="pass", methods="pass") + ADAPTERS.format(open=open, sink=sink)


def discover() -> PluginRegistry:
    """Discover with a trial."""
    return PluginRegistry.discover(trial=True)


REQUIRED = "rack_id: str\n    def __post_init__(self):\n        if not self.rack_id.startswith('r'): raise InputError('no')"

FAULTS = {
    "async name": (
        querier(methods="async def name(self): return 'rack'"),
        "querier rack: name() is async: write `def name`; a querier does no I/O",
    ),
    "text to group by": (
        querier(methods="def group_by_labels(self): return 'rack_id'"),
        "querier rack: acme_bad_bad.RackQuerier.group_by_labels() answered 'rack_id': expected a list of label names",
    ),
    "a method that raises": (
        querier(methods="def labels(self): return 1 / 0"),
        "labels() raised ZeroDivisionError: division by zero; at ",
    ),
    "a constructor that exits": (
        querier(methods="def __post_init__(self): raise SystemExit('bye')"),
        "querier rack: SystemExit: bye; at ",
    ),
    "a strategy that answers text": (
        querier(methods="def query_strategy(self): return lambda query, window: 'up'"),
        "answered 'up': expected an expression of statcore.promql",
    ),
    "two options of one name": (
        querier(fields="step: int = 1\n    rack_step: int = 1"),
        "querier rack: step and rack_step of rack would be one option of the command line; rename one of them",
    ),
    "a field without a letter": (
        querier(fields="_: int = 1"),
        "querier rack: the field _ has no letter, and so no name for an option; rename it",
    ),
    "two choices of one text": (querier(fields="size: Literal[1, '1'] = 1"), "size has two choices that are '1' as text"),
    "an example that is refused": (
        querier(
            fields=REQUIRED, spec="QuerierSpec(name='rack', summary='s', querier=RackQuerier, example={'rack_id': 'x'})"
        ),
        "querier rack: the example of its QuerierSpec is refused: no",
    ),
    "open that is not async": (
        adapters(open="lambda url, options: sound(url, options)"),
        "metric backend cellar: open is not async: write `async def open(url, options)`; statistics store attic: open is",
    ),
    "open_sink that is not async": (adapters(sink="dict"), "statistics store attic: open_sink is not async"),
    "open of other arguments": (
        adapters(open="functools.partial(sound, 'attic:', {})"),
        "open cannot be called with a URL and options: too many positional arguments",
    ),
}


@pytest.mark.parametrize(("source", "error"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_without_a_server(install: Callable[..., Path], source: str, error: str) -> None:
    """The plugin is reported as broken, with the kind and a remedy; its kinds are still offered."""
    install("acme-bad", bad=source)

    registry = discover()

    report = report_of(registry, "bad")
    assert PluginStatus.BROKEN is report.status
    assert error in (report.error or "")
    assert "correct acme-bad or install another version of it" in (report.remedy or "")
    assert report_of(PluginRegistry.discover(), "bad").offers == report.offers != ()


@pytest.mark.parametrize(
    "source",
    [
        querier(),
        querier(fields=REQUIRED),
        querier(
            fields=REQUIRED, spec="QuerierSpec(name='rack', summary='s', querier=RackQuerier, example={'rack_id': 'r1'})"
        ),
        querier(methods="def __post_init__(self): raise InputError('give one of two')"),
        adapters(),
        adapters(open="functools.partial(sound)", sink="Callable()"),
        adapters(open="Callable().__call__"),
        presets("load"),
    ],
)
def test_a_sound_kind_is_no_fault(install: Callable[..., Path], source: str) -> None:
    """A kind that needs fields and has no example is not a fault."""
    install("acme-good", good=source)

    assert PluginStatus.OK is report_of(discover(), "good").status


def test_only_a_trial_tries(install: Callable[..., Path]) -> None:
    """Discovery without a trial is faster."""
    install("acme-bad", bad=FAULTS["async name"][0])

    assert PluginStatus.OK is report_of(PluginRegistry.discover(), "bad").status


def test_a_trial_that_hangs_is_given_up(install: Callable[..., Path]) -> None:
    """It is left behind, and the other plugins are tried."""
    hanging = querier(methods="def name(self):\n        import threading; threading.Event().wait()")
    install("acme-bad", bad=hanging, bad_too=FAULTS["async name"][0])

    registry = PluginRegistry.discover(trial=True, timeout_s=2)

    assert "it was not loaded within 2 s" in (report_of(registry, "bad").error or "")
    assert "name() is async" in (report_of(registry, "bad_too").error or "")


def test_all_of_this_repository_pass_their_trial() -> None:
    """All plugins that are installed here are tried."""
    assert {PluginStatus.OK} == {report.status for report in discover().reports}
