"""Measures start-up: imports and the discovery of plugins, each in a new interpreter that times itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from report import Row, print_rows
from rich.console import Console

DISCOVERY_GOAL_MS = 15
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


async def measure(console: Console, scratch: Path, *, repeats: int) -> None:
    """Run the interpreters in turn, and print one table."""
    sites = {others: scratch / str(others) for _, _, others in _CONTENDERS.values() if others}
    for others, site in sites.items():
        site.mkdir()
        for number in range(others):
            _install(site, number)
    seconds: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    for _ in range(repeats + 1):
        for name, (before, timed, others) in _CONTENDERS.items():
            seconds[name].append(_time(before, timed, sites.get(others)))
    medians = {name: statistics.median(runs[1:]) for name, runs in seconds.items()}  # the first run writes bytecode
    rows = [
        Row(
            contender=name,
            median_s=median,
            ratio=median / medians[_BASELINE],
            goal=1.3 if name == "import statcore" else None,
        )
        for name, median in medians.items()
    ]
    installed = len(list(distributions()))
    title = f"Start-up, {installed} distributions installed (goal of discovery: {DISCOVERY_GOAL_MS} ms)"
    print_rows(console, title, rows, baseline=_BASELINE)


def _install(site: Path, number: int) -> None:
    (site / f"bench_{number}.py").write_text(_PLUGIN.format(number=number))
    information = site / f"bench_{number}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{number}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[statcore]\nbench-{number} = bench_{number}\n")


def _time(before: str, timed: str, site: Path | None) -> float:
    program = f"import time\n{before}\nstarted = time.perf_counter()\n{timed}\nprint(time.perf_counter() - started)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STATCORE_"))}
    path = {"PYTHONPATH": str(site)} if site else {}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, env=environment | path, capture_output=True, text=True, check=True).stdout)
