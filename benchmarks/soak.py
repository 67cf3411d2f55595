"""`make soak` reads at full speed from real servers while they are killed, stopped and cut off, and checks each answer.

It fails if an answer was wrong, an exception was foreign, something was left over, memory grew, or calls exceeded their
deadline. Where servers do not recover by themselves, or at a signal, it ends early with what it has measured, and fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final

import attrs
from report import Report, describe_versions, has_section, replace_section, write_json
from rich.console import Console
from soak_faults import Fault, faults_of, in_order
from soak_load import TIMEOUT_S, Load, Places, running_load
from soak_report import Circumstances, missed_goals, tables
from soak_site import Site, connections_of_callers, running_site

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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("soak: interrupted"))  # ends the servers, too
    report = Report(console=Console(width=None if sys.stdout.isatty() else _WIDTH))
    with tempfile.TemporaryDirectory(prefix="statcore-soak-") as scratch:
        try:
            failure = soak(report, Path(scratch), minutes=arguments.minutes, seed=arguments.seed)
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
    ends = [f"ended early: {failure}"] if failure else []
    if missed := missed_goals(report):
        ends.append(f"missed: {'; '.join(missed)}")
    if ends:
        sys.exit("\n".join(f"soak: {end}" for end in ends))


@attrs.define
class Course:
    """What has happened: how often each fault, the load averages after them, and why they ended early, or ""."""

    happened: Counter[str] = attrs.field(factory=Counter[str])
    loads: list[float] = attrs.field(factory=list[float])
    failure: str = ""


def soak(report: Report, scratch: Path, *, minutes: float, seed: int) -> str:
    """Let faults happen one after the other while the load runs, and add what was measured to a report.

    Returns:
        Why it has ended early, or an empty text.
    """
    random = Random(seed)  # noqa: S311 - no secret
    report.progress("starting the servers")
    with running_site(scratch, timeout_s=TIMEOUT_S) as site:
        places = Places(
            cluster=site.cluster.url,
            sentinels=site.sentinels.url,
            pair=[server.url for server in site.pair],
            engine=None if site.engine is None else site.engine.url,
            service=site.service.url,
        )
        faults = faults_of(site)
        with running_load(places, seed=seed) as load:
            course = let_happen(in_order(faults, random), site, load, random, report, minutes=minutes)
            outcome = load.stop()
        around = Circumstances(
            faults={str(fault): course.happened[str(fault)] for fault in faults if course.happened[str(fault)]},
            load=statistics.mean(course.loads or os.getloadavg()[:1]),
            cores=os.cpu_count() or 1,
            versions=site.versions,
            service_connections=connections_of_callers(site.service),
            failure=course.failure,
        )
    for table in tables(outcome, around):
        report.add(table)
    return course.failure


def let_happen(
    faults: Iterable[Fault], site: Site, load: Load, random: Random, report: Report, *, minutes: float
) -> Course:
    """Let faults happen one after the other, with pauses, until the time is over, a signal comes, or servers fail."""
    course = Course()
    end_s = time.monotonic() + minutes * 60
    for fault in faults:
        try:
            time.sleep(random.uniform(*_PAUSE_S))
            if time.monotonic() >= end_s:
                break
            recovered_s = fault.happen(site, load, random)
        except (KeyboardInterrupt, SystemExit):
            course.failure = "interrupted"
            break
        except Exception as error:  # noqa: BLE001 - what was measured until now is worth a report, whatever has failed
            traceback.print_exc()
            course.failure = f"{fault}: {type(error).__name__}: {error}".partition("\n")[0]
            break
        course.happened[str(fault)] += 1
        course.loads.append(os.getloadavg()[0])
        report.progress(f"{fault}; right again after {recovered_s:.2f} s")
    return course


if __name__ == "__main__":
    main()
