"""Measures start-up: imports, commands and the discovery of plugins, each in a new interpreter that times itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions, entry_points
from pathlib import Path
from typing import Final

import attrs
from report import CPU_RATIO, WALL_RATIO, Goal, Report, Row, Table
from timing import in_rotation

_COMMAND: Final = """
import sys
from statcore_cli.main import main
sys.argv[1:] = {words}
try:
    main()
except SystemExit as exit:
    assert not exit.code
"""
_PLUGIN_IMPORTS: Final = """
from collections.abc import Mapping
from typing import Final, Literal

import attrs
from attrs.validators import optional

from statcore.model import check_label_value, check_one_of
from statcore.plugins import PluginRegistry, hookimpl
from statcore.queriers import LabelMatcher, QueryStrategy, UtilizationMetricQuerier
"""
_PLUGIN: Final = (
    '''"""Things of kind NUMBER: a querier over the series of their exporter."""

from __future__ import annotations
'''
    + _PLUGIN_IMPORTS
    + '''
STATCORE_PLUGIN_API = 1
THING_LABEL: Final = "thing"

ThingMetricName = Literal["power", "temperature", "fan_speed", "uptime", "errors"]
_SERIES: Final[Mapping[str, str]] = {
    "power": "thingNUMBER_power_watts",
    "temperature": "thingNUMBER_temperature_celsius",
    "fan_speed": "thingNUMBER_fan_rpm",
    "uptime": "thingNUMBER_uptime_seconds",
    "errors": "thingNUMBER_errors_total",
}
_STRATEGIES: Final[Mapping[str, QueryStrategy]] = {"errors": QueryStrategy.RATE}
_REAL: Final = {"device": LabelMatcher.not_regex("loop.*|ram.*")}


@attrs.frozen(kw_only=True)
class ThingNUMBERMetricQuerier(UtilizationMetricQuerier):
    """Things of kind NUMBER, as their exporter sees them.

    Args:
        metric_name: what to measure.
        thing: the label `thing` of the exporter, by default every thing.

    Raises:
        InputError: an unknown metric name, or a thing that is empty or cannot be sent.
    """

    metric_name: ThingMetricName = attrs.field(validator=check_one_of(_SERIES))
    thing: str | None = attrs.field(default=None, validator=optional(check_label_value))

    def name(self) -> str:
        """Return the metric's series."""
        return _SERIES[self.metric_name]

    def labels(self) -> dict[str, str | LabelMatcher]:
        """Return the matchers of the metric, and the thing where it is set."""
        return {**_REAL, **({THING_LABEL: self.thing} if self.thing else {})}

    def group_by_labels(self) -> list[str]:
        """Return the label of the thing."""
        return [THING_LABEL]

    def query_strategy(self) -> QueryStrategy:
        """Return the metric's strategy."""
        return _STRATEGIES.get(self.metric_name, QueryStrategy.GAUGE)


@hookimpl
def statcore_queriers() -> list[type[ThingNUMBERMetricQuerier]]:
    """Contribute the kind."""
    return [ThingNUMBERMetricQuerier]
'''
)
_README: Final = "A line of the description of the distribution.\n" * 100


@attrs.frozen(kw_only=True)
class _Program:
    """A program that a new interpreter runs.

    Args:
        timed: the code whose time counts.
        before: the code before it.
        plugins: how many plugins are installed besides statcore's own.
        goal: the highest ratio that is good enough.
    """

    timed: str
    before: str = ""
    plugins: int = 0
    goal: float | None = None


_STARTS: Final[Mapping[str, _Program]] = {
    "import attrs, pluggy": _Program(timed="import attrs, pluggy"),
    "import statcore": _Program(timed="import statcore", goal=1.3),
    "from statcore import StatisticsRepositories": _Program(timed="from statcore import StatisticsRepositories", goal=1.65),
    "from statcore import *": _Program(timed="from statcore import *"),
    "from statcore.runtime import open_runtime": _Program(timed="from statcore.runtime import open_runtime"),
    **{
        f"statcore {words}": _Program(timed=_COMMAND.format(words=words.split()))
        for words in ("--help", "plugins", "query container --help")
    },
}
"""The baseline, then what is compared with it."""


def _discoveries(plugins: int) -> Mapping[str, _Program]:
    """Return the import of the modules of all plugins, and their discovery."""
    ours = [entry_point.module for entry_point in entry_points(group="statcore")]
    modules = [*ours, *(f"bench_{number}" for number in range(plugins))]
    bare = "\n".join(f"import {module}" for module in modules)
    discover = f"assert {len(modules)} == len(PluginRegistry.discover().reports)"
    return {
        f"import the modules of {len(modules)} plugins": _Program(timed=bare, before=_PLUGIN_IMPORTS, plugins=plugins),
        f"discover {len(modules)} plugins": _Program(
            timed=discover, before=_PLUGIN_IMPORTS, plugins=plugins, goal=1.5 if plugins >= 50 else None
        ),
    }


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Run the interpreters in turn, and print a table for start-up and one for each number of plugins."""
    installed = len(list(distributions()))
    _compare(report, f"start-up, {installed} distributions installed", _STARTS, scratch, repeats=repeats)
    for plugins in (10, 50):
        _install(scratch, plugins)
        title = f"discovery with {plugins} plugins installed besides statcore's own, {installed + plugins} distributions"
        _compare(report, title, _discoveries(plugins), scratch, repeats=repeats)


def _compare(report: Report, title: str, programs: Mapping[str, _Program], scratch: Path, *, repeats: int) -> None:
    report.progress(title)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for repeat in range(repeats + 1):
        for name in in_rotation(list(programs), repeat):
            times[name].append(_time(programs[name], scratch))
    medians = {name: _medians(runs[1:]) for name, runs in times.items()}  # the first run writes bytecode
    baseline = next(iter(programs))
    wall_s, cpu_s = medians[baseline]
    rows = [
        Row(
            contender=name,
            figures={"CPU ms": cpu * 1e3, CPU_RATIO: cpu / cpu_s, "wall ms": wall * 1e3, WALL_RATIO: wall / wall_s},
            goals={CPU_RATIO: Goal(goal)} if (goal := programs[name].goal) else {},
        )
        for name, (wall, cpu) in medians.items()
    ]
    report.add(Table(title=title, rows=rows, notes=[f"Ratios to: {baseline}"]))


def _medians(runs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    walls_s, cpus_s = zip(*runs, strict=True)
    return statistics.median(walls_s), statistics.median(cpus_s)


def _install(scratch: Path, plugins: int) -> None:
    site = scratch / str(plugins)
    site.mkdir()
    for number in range(plugins):
        (site / f"bench_{number}.py").write_text(_PLUGIN.replace("NUMBER", str(number)))
        information = site / f"bench_{number}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{number}\nVersion: 1.0\n\n{_README}")
        (information / "entry_points.txt").write_text(f"[statcore]\nbench-{number} = bench_{number}\n")


def _time(program: _Program, scratch: Path) -> tuple[float, float]:
    """Return the wall time and the CPU time of the timed code in seconds."""
    source = f"""
import time
{program.before}
started = time.perf_counter(), time.process_time()
{program.timed}
ended = time.perf_counter(), time.process_time()
import sys
print(*(end - start for start, end in zip(started, ended)), file=sys.stderr)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STATCORE_"))}
    path = {"PYTHONPATH": str(scratch / str(program.plugins))} if program.plugins else {}
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, env=environment | path, capture_output=True, text=True, check=True)
    wall_s, cpu_s = map(float, done.stderr.split())
    return wall_s, cpu_s
