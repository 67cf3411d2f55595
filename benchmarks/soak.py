"""`make soak` reads at full speed from real servers while they are killed, stopped and cut off, and checks each answer.

It fails if an answer was wrong, an exception was foreign, something was left over, memory grew, or calls exceeded their
deadline. Where servers do not recover by themselves, where others take over without a fault, or at a signal, it ends early
with what it has measured, and fails. It keeps the files of the servers, with their logs, when it fails, except when only a
signal ended it.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import attrs
from report import Report, describe_versions, has_section, replace_section, write_json
from rich.console import Console
from soak_faults import Fault, faults_of, in_order, primaries_of
from soak_load import TIMEOUT_S, Load, Places, running_load
from soak_report import Circumstances, missed_goals, tables
from soak_site import Site, connections_of_callers, memory_of_spared, running_site

SECTION: Final = "soak"
_WIDTH: Final = 170
_PAUSE_S: Final = (0.5, 2.0)
_TURN_S: Final = 0.05
_STALL_S: Final = 0.7
"""After how long a stall shows where the process stands still; servers are replaced after a second without an answer."""
INTERRUPTED: Final = "interrupted"


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
    reasons = run_soak(report, minutes=arguments.minutes, seed=arguments.seed)
    if arguments.json and report.tables:
        write_json(report, arguments.json)
    if arguments.document and report.tables:
        command = f"make soak ARGS='--minutes {arguments.minutes:g} --seed {arguments.seed}'"
        section = report.document(f"Measured by `{command}` with {describe_versions()}.")
        document = arguments.document.read_text(encoding="utf-8")
        arguments.document.write_text(replace_section(document, SECTION, section), encoding="utf-8")
    print(f"soak: {'; '.join(reasons) or 'every goal was met'}")
    sys.exit(1 if reasons else 0)


def run_soak(report: Report, *, minutes: float, seed: int) -> list[str]:
    """Run a soak, add what it measured to a report, and return why it has failed; the servers' files stay if it has."""
    scratch = Path(tempfile.mkdtemp(prefix="statcore-soak-"))
    reasons: list[str] = []
    try:
        if failure := soak(report, scratch, minutes=minutes, seed=seed):
            reasons.append(f"ended early: {failure}")
    except (KeyboardInterrupt, SystemExit):
        reasons.append(f"ended early: {INTERRUPTED}")
    except Exception as error:  # noqa: BLE001 - the servers' logs may say why
        traceback.print_exc()
        reasons.append(f"ended early: {type(error).__name__}: {error}")
    if missed := missed_goals(report):
        reasons.append(f"missed: {'; '.join(missed)}")
    if reasons in ([], [f"ended early: {INTERRUPTED}"]):
        shutil.rmtree(scratch)
    else:
        reasons.append(f"the files of the servers, with their logs, are in {scratch}")
    return reasons


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
            with watching_stalls() as stalls:
                course = let_happen(in_order(faults, random), site, load, random, stalls, report, minutes=minutes)
            outcome = load.stop()
        around = Circumstances(
            faults={str(fault): course.happened[str(fault)] for fault in faults if course.happened[str(fault)]},
            load=statistics.mean(course.loads or os.getloadavg()[:1]),
            cores=os.cpu_count() or 1,
            longest_stall_s=stalls.longest_s(),
            versions=site.versions,
            service_connections=connections_of_callers(site.service),
            memory_of_worker=memory_of_spared(site),
            failure=course.failure,
        )
    for table in tables(outcome, around):
        report.add(table)
    right = sum(tally.right for tally in outcome.tallies.values())
    print(f"counted: {right:,} right answers, {course.happened.total():,} faults")
    return course.failure


@attrs.define
class Stalls:
    """When this process did not run although it was to, and for how long."""

    _late: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])

    def add(self, at_s: float, late_s: float) -> None:
        """Note by how much a turn came late."""
        if late_s > _TURN_S:
            self._late.append((at_s, late_s))

    def longest_s(self, since_s: float = 0.0) -> float:
        """Return the longest such time that ended after a time."""
        return max((late_s for at_s, late_s in self._late if at_s >= since_s), default=0.0)


@contextmanager
def watching_stalls() -> Generator[Stalls]:
    """Note within the block how long this process does not run, and show its stack where that lasts.

    The proxies in front of the servers are in this process: while it stands still, all servers are cut off.
    """
    stalls, ended = Stalls(), threading.Event()

    def watch() -> None:
        last_s = time.monotonic()
        is_over = False
        while not is_over:
            faulthandler.dump_traceback_later(_STALL_S, file=sys.__stderr__ or 2)
            is_over = ended.wait(_TURN_S)
            now_s = time.monotonic()
            stalls.add(now_s, now_s - last_s - _TURN_S)
            last_s = now_s
        faulthandler.cancel_dump_traceback_later()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield stalls
    finally:
        ended.set()
        thread.join()


def let_happen(
    faults: Iterable[Fault], site: Site, load: Load, random: Random, stalls: Stalls, report: Report, *, minutes: float
) -> Course:
    """Let faults happen one after the other, with pauses, until the time is over, a signal comes, or servers fail.

    Servers fail, too, if others take over without a fault: confirmed writes may then be lost, and the readers cannot tell
    values that are old for this reason from wrong ones.
    """
    course = Course()
    end_s = time.monotonic() + minutes * 60
    primaries, checked_s = primaries_of(site), time.monotonic()
    for fault in faults:
        at = f"before {fault}"
        try:
            time.sleep(random.uniform(*_PAUSE_S))
            _check_primaries(primaries, primaries_of(site))
            checked_s = time.monotonic()
            if checked_s >= end_s:
                break
            at = str(fault)
            recovered_s = fault.happen(site, load, random)
            if fault.loses:
                primaries[fault.source] = primaries_of(site)[fault.source]
        except (KeyboardInterrupt, SystemExit):
            course.failure = INTERRUPTED
            break
        except Exception as error:  # noqa: BLE001 - what was measured until now is worth a report, whatever has failed
            traceback.print_exc()
            what = f"{at}: {type(error).__name__}: {error}".partition("\n")[0]
            course.failure = f"{what}; the soak itself stood still for up to {stalls.longest_s(checked_s):.1f} s before"
            break
        course.happened[str(fault)] += 1
        course.loads.append(os.getloadavg()[0])
        report.progress(f"{fault}; right again after {recovered_s:.2f} s")
    return course


def _check_primaries(expected: Mapping[str, frozenset[str]], now: Mapping[str, frozenset[str]]) -> None:
    if changed := [source for source, primaries in now.items() if primaries != expected[source]]:
        raise RuntimeError(
            f"another primary has taken over without a fault ({' and '.join(changed)}); it may lack confirmed writes,"
            " so old values that were read since the last fault are not wrong"
        )


if __name__ == "__main__":
    main()
