"""Runs the conformance suite on every metric engine that is found, and writes the table of docs/compatibility.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from statcore.testing.servers import find_installations
from statcore_victoriametrics.plugin import SPEC

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "compatibility.md"
BEGIN, END = "<!-- written by make engines -->\n", "<!-- end -->\n"
PLUGIN: Final = ROOT / "plugins" / "statcore-victoriametrics"
# Where pytest runs, and the files that it runs there.
RUNS: Final = (
    (
        ROOT,
        [
            "conformance/test_prometheus.py",
            "conformance/test_prometheus_federation.py",
            "faults/test_prometheus_outages.py",
        ],
    ),
    (PLUGIN, ["test_victoriametrics_conformance.py", "test_victoriametrics_cluster.py"]),
)
ENGINES: Final = {
    "TestPrometheus": "Prometheus",
    "TestPair": "Prometheus, an HA pair whose first member does not run",
    "TestFederation": "Prometheus that reads two others by `remote_read`",
    "TestVictoriaMetrics": "VictoriaMetrics, single node",
    "TestCluster": "VictoriaMetrics, cluster",
}
OUTAGES: Final = "one of its servers hangs or ends: an HA pair, a shard"
_PROGRAM: Final = re.compile(r"\[(?:prometheus|victoria-metrics)-(of-unknown-version|[0-9.]+)[-\]]")
Results = dict[tuple[str, str, str], list[str]]


def run() -> Results:
    """Run the tests; return the outcomes by class or module, version, and kind: a check of the suite or another test."""
    results: Results = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        for place, files in RUNS:
            command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *(f"tests/{file}" for file in files)]
            subprocess.run(command, cwd=place, check=True)  # noqa: S603 - pytest
            for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
                group, name = case.get("classname", "").rpartition(".")[2], case.get("name", "")
                version = _PROGRAM.search(name)
                kind = "check" if name.startswith("test_keeps_promise") else "test"
                results[group, version[1] if version else "", kind].append("skipped" if len(case) else "passed")
    return results


def version_text(version: str) -> str:
    """Return the version for the table; Debian's VictoriaMetrics does not print its own."""
    if version != "of-unknown-version":
        return version
    command = ["dpkg-query", "-W", "-f", "${Version}", "victoria-metrics"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - of Debian
    return f"{done.stdout.partition('+')[0] or 'unknown'} (Debian)"


def rows(results: Results) -> list[str]:
    """Return the lines of the tables."""
    lines = ["| engine | version | checks of the suite passed | differences |", "|---|---|---|---|"]
    for group, engine in ENGINES.items():
        for (found, version, kind), outcomes in sorted(results.items()):
            if found != group or kind != "check":
                continue
            differences = sorted(SPEC.differences) if "Victoria" in engine else []
            if "skipped" in outcomes:
                lines.append(f"| {engine} | not found | not run | |")
            else:
                passed = f"{len(outcomes) - len(differences)} of {len(outcomes)}"
                shown = version_text(version) if version else ", ".join(p.version for p in find_installations("vmselect"))
                lines.append(f"| {engine} | {shown} | {passed} | {', '.join(f'`{d}`' for d in differences) or 'none'} |")
    lines += ["", "| tests with faults of real servers | version |", "|---|---|"]
    for (group, version, _), outcomes in sorted(results.items()):
        if group == "test_prometheus_outages":
            lines.append(f"| Prometheus: {OUTAGES} | {version} |")
        if group == "test_victoriametrics_cluster" and "passed" in outcomes:
            lines.append("| VictoriaMetrics cluster: a storage node ends | |")
    return lines


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}{chr(10).join(rows(run()))}\n{END}{after}", encoding="utf-8")
