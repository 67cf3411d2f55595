"""Measures start-up: imports and the discovery of plugins, each in a new interpreter that times itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from report import CPU_RATIO, WALL_RATIO, Goal, Report, Row, Table
from timing import in_rotation

_DISCOVER = ("from statcore.plugins import PluginRegistry", "PluginRegistry.discover()")
_BASELINE = "import attrs, pluggy"
_CONTENDERS = {
    _BASELINE: ("", "import attrs, pluggy", 0),
    "import statcore": ("", "import statcore", 0),
    "discover our own 4 plugins": (*_DISCOVER, 0),
    "discover 10: ours and 6 more": (*_DISCOVER, 6),
    "discover 14: ours and 10 more": (*_DISCOVER, 10),
}
"""By name: the code before the timed code, the timed code, and the number of plugins installed besides statcore's own."""
_PLUGIN = '''
from typing import Literal
import attrs
from statcore.plugins import hookimpl
from statcore.queriers import QueryStrategy, UtilizationMetricQuerier
STATCORE_PLUGIN_API = 1

@attrs.frozen(kw_only=True)
class Bench{number}MetricQuerier(UtilizationMetricQuerier):
    """Things of kind {number}."""
    metric_name: Literal["power", "temperature"]
    thing: str | None = None
    def name(self): return f"thing_{{self.metric_name}}"
    def labels(self): return {{"thing": self.thing}} if self.thing else {{}}
    def group_by_labels(self): return ["thing"]
    def query_strategy(self): return QueryStrategy.GAUGE

@hookimpl
def statcore_queriers(): return [Bench{number}MetricQuerier]
'''


async def measure(report: Report, scratch: Path, *, repeats: int) -> None:
    """Run the interpreters in turn, and print one table."""
    sites = {others: scratch / str(others) for _, _, others in _CONTENDERS.values() if others}
    for others, site in sites.items():
        site.mkdir()
        for number in range(others):
            _install(site, number)
    report.progress("start-up")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _CONTENDERS}
    for repeat in range(repeats + 1):
        for name in in_rotation(list(_CONTENDERS), repeat):
            before, timed, others = _CONTENDERS[name]
            times[name].append(_time(before, timed, sites.get(others)))
    medians = {  # the first run writes bytecode
        name: [statistics.median(kind) for kind in zip(*runs[1:], strict=True)] for name, runs in times.items()
    }
    wall_s, cpu_s = medians[_BASELINE]
    rows = [
        Row(
            contender=name,
            figures={"CPU ms": cpu * 1e3, CPU_RATIO: cpu / cpu_s, "wall ms": wall * 1e3, WALL_RATIO: wall / wall_s},
            goals={CPU_RATIO: Goal(1.3)} if name == "import statcore" else {},
        )
        for name, (wall, cpu) in medians.items()
    ]
    installed = len(list(distributions()))
    title = f"start-up, {installed} distributions installed"
    report.add(Table(title=title, rows=rows, notes=[f"Ratios to: {_BASELINE}"]))


def _install(site: Path, number: int) -> None:
    (site / f"bench_{number}.py").write_text(_PLUGIN.format(number=number))
    information = site / f"bench_{number}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{number}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[statcore]\nbench-{number} = bench_{number}\n")


def _time(before: str, timed: str, site: Path | None) -> tuple[float, float]:
    """Return the wall time and the CPU time of the timed code in a new interpreter, in seconds."""
    clocks = "(time.perf_counter(), time.process_time())"
    program = f"import time\n{before}\nstarted = {clocks}\n{timed}\nprint(*started, *{clocks})"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STATCORE_"))}
    path = {"PYTHONPATH": str(site)} if site else {}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment | path, capture_output=True, text=True, check=True)
    wall_s, cpu_s, wall_end_s, cpu_end_s = map(float, done.stdout.split())
    return wall_end_s - wall_s, cpu_end_s - cpu_s
