"""`make bench` compares statcore with code that users write today, interleaved in one run on real servers.

Compare ratios between machines, not milliseconds. A missed goal is marked with `!`, and is not an error.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import callers
import cluster_reads
import decoding
import fairness
import growth
import live_reads
import loaders
import page
import queries
import service
import serving
import startup
from report import Report, describe_versions, has_section, replace_section, write_json
from rich.console import Console

from statcore.errors import UnavailableError

MEASUREMENTS: Final[Mapping[str, Callable[..., Coroutine[Any, Any, None]]]] = {
    "live": live_reads.measure,
    "cluster": cluster_reads.measure,
    "callers": callers.measure,
    "graphql": serving.measure,
    "fairness": fairness.measure,
    "service": service.measure,
    "page": page.measure,
    "loaders": loaders.measure,
    "decoding": decoding.measure,
    "queries": queries.measure,
    "startup": startup.measure,
    "growth-kernels": growth.measure_kernels,
    "growth-sessions": growth.measure_sessions,
    "growth-callers": growth.measure_callers,
}
_WIDTH: Final = 150


def main() -> None:
    """Run the measurements named on the command line, by default all."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"what to measure: {', '.join(MEASUREMENTS)} (default: all)")
    parser.add_argument(
        "--repeats", type=int, default=9, help="samples of each contender; of the page, loads and minutes (default: 9)"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time of each row with a missed goal goes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write versions, figures and goals to a file")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="replace the measured sections of docs/performance.md"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.which) - MEASUREMENTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(MEASUREMENTS)}")
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    names = arguments.which or list(MEASUREMENTS)
    if arguments.document:
        document = arguments.document.read_text(encoding="utf-8")
        if missing := [name for name in names if not has_section(document, name)]:
            parser.error(f"{arguments.document} has no section for {', '.join(missing)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))  # ends the servers, too
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    whole = Report(console=console)
    console.print(describe_versions())
    for name in names:
        report = Report(console=console, profiles=arguments.profile)
        with tempfile.TemporaryDirectory(prefix="statcore-bench-") as scratch:
            try:
                asyncio.run(MEASUREMENTS[name](report, Path(scratch), repeats=arguments.repeats))
            except UnavailableError as error:
                sys.exit(f"bench: {name}: {error}")
        whole.tables.extend(report.tables)
        if arguments.json:
            write_json(whole, arguments.json)
        if arguments.document:
            section = report.document(f"Measured by `make bench ARGS={name}` with {describe_versions()}.")
            document = arguments.document.read_text(encoding="utf-8")
            arguments.document.write_text(replace_section(document, name, section), encoding="utf-8")


if __name__ == "__main__":
    main()
