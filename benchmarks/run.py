"""`make bench` compares statcore with code that users write today, interleaved in one run on real servers.

Compare ratios between machines, not milliseconds. A ratio above its goal is marked with `!`, and is not an error.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import decoding
import live_reads
import startup
from report import versions
from rich.console import Console

from statcore.errors import UnavailableError

_MEASUREMENTS = {"live": live_reads.measure, "decoding": decoding.measure, "startup": startup.measure}


def main() -> None:
    """Run the measurements named on the command line, by default all."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"what to measure: {', '.join(_MEASUREMENTS)} (default: all)")
    parser.add_argument("--repeats", type=int, default=15, help="counted runs of each contender (default: 15)")
    arguments = parser.parse_args()
    if unknown := set(arguments.which) - _MEASUREMENTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(_MEASUREMENTS)}")
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(versions())
    for name in arguments.which or _MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="statcore-bench-") as scratch:
            try:
                asyncio.run(_MEASUREMENTS[name](console, Path(scratch), repeats=arguments.repeats))
            except UnavailableError as error:
                sys.exit(f"bench: {name}: {error}")


if __name__ == "__main__":
    main()
