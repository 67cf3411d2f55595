"""`make soak` reads at full speed from real servers while they are killed, stopped and cut off, and checks each answer.

It fails if an answer was wrong, an exception was foreign, something was left over, memory grew, or calls exceeded their
deadline.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from report import Report, describe_versions, has_section, replace_section, write_json
from rich.console import Console
from soak_faults import faults_of, in_order
from soak_load import TIMEOUT_S, Places, running_load
from soak_report import Circumstances, missed_goals, tables
from soak_site import connections_of_callers, running_site

from statcore.errors import UnavailableError

SECTION: Final = "soak"
_WIDTH: Final = 170
_PAUSE_S: Final = (0.5, 2.0)


def main() -> None:
    """Run a soak, print what it measured, and exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it lasts (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults and reads (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write versions, figures and goals to a file")
    parser.add_argument("--document", type=Path, metavar="FILE", help="replace the measured section of docs/reliability.md")
    arguments = parser.parse_args()
    if not arguments.minutes > 0:
        parser.error("--minutes must be above 0")
    if arguments.document and not has_section(arguments.document.read_text(encoding="utf-8"), SECTION):
        parser.error(f"{arguments.document} has no section for {SECTION}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("soak: terminated"))  # ends the servers, too
    report = Report(console=Console(width=None if sys.stdout.isatty() else _WIDTH))
    with tempfile.TemporaryDirectory(prefix="statcore-soak-") as scratch:
        try:
            soak(report, Path(scratch), minutes=arguments.minutes, seed=arguments.seed)
        except (UnavailableError, TimeoutError) as error:
            sys.exit(f"soak: {error}")
        except KeyboardInterrupt:
            sys.exit("soak: interrupted")
    if arguments.json:
        write_json(report, arguments.json)
    if arguments.document:
        command = f"make soak ARGS='--minutes {arguments.minutes:g} --seed {arguments.seed}'"
        section = report.document(f"Measured by `{command}` with {describe_versions()}.")
        document = arguments.document.read_text(encoding="utf-8")
        arguments.document.write_text(replace_section(document, SECTION, section), encoding="utf-8")
    if missed := missed_goals(report):
        sys.exit(f"soak: missed: {'; '.join(missed)}")


def soak(report: Report, scratch: Path, *, minutes: float, seed: int) -> None:
    """Let faults happen one after the other while the load runs, and add what was measured to a report."""
    random = Random(seed)  # noqa: S311 - no secret
    loads: list[float] = []
    happened: Counter[str] = Counter()
    report.progress("starting the servers")
    with running_site(scratch, timeout_s=TIMEOUT_S) as site:
        places = Places(
            cluster=site.cluster.url,
            sentinels=site.sentinels.url,
            pair=[server.url for server in site.pair],
            engine=None if site.engine is None else site.engine.url,
            service=site.service.url,
        )
        with running_load(places, seed=seed) as load:
            end_s = time.monotonic() + minutes * 60
            for fault in in_order(faults_of(site), random):
                time.sleep(random.uniform(*_PAUSE_S))
                if time.monotonic() >= end_s:
                    break
                recovered_s = fault.happen(site, load, random)
                happened[str(fault)] += 1
                loads.append(os.getloadavg()[0])
                report.progress(f"{fault}; right again after {recovered_s:.2f} s")
            outcome = load.stop()
        around = Circumstances(
            faults={str(fault): happened[str(fault)] for fault in faults_of(site) if happened[str(fault)]},
            load=statistics.mean(loads) if loads else os.getloadavg()[0],
            cores=os.cpu_count() or 1,
            versions=site.versions,
            service_connections=connections_of_callers(site.service),
        )
    for table in tables(outcome, around):
        report.add(table)


if __name__ == "__main__":
    main()
