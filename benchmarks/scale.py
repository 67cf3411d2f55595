"""`make scale` measures how costs grow with kernels in Valkey and Prometheus, and computes larger sites from them.

It measures every Prometheus that it finds. With all sizes it takes half an hour and up to 8 GB of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import psutil
import scale_prometheus
import scale_valkey
from planning import GB, PrometheusSite, Site, ValkeySite
from report import Report, Table, describe_versions, has_section, replace_section
from rich.console import Console

from statcore.errors import UnavailableError

_WIDTH: Final = 170


@attrs.frozen(kw_only=True)
class Part:
    """A kind of server that is measured.

    Args:
        measure: measures sizes, adds tables to a report, and returns tables that are computed.
        sizes: the numbers of kernels, by default.
        bytes_of_kernel: the memory that this machine needs for a kernel.
        site: what is assumed of larger sites.
    """

    measure: Callable[..., Coroutine[Any, Any, Sequence[Table]]]
    sizes: Sequence[int]
    bytes_of_kernel: int
    site: type[Site]

    def sizes_up_to(self, most: int) -> list[int]:
        """Return the sizes without those above a number of kernels."""
        return [size for size in self.sizes if size <= most]


PARTS: Final[Mapping[str, Part]] = {
    "valkey": Part(
        measure=scale_valkey.measure,
        sizes=(1_000, 10_000, 100_000, 1_000_000),
        bytes_of_kernel=scale_valkey.BYTES_OF_KERNEL,
        site=ValkeySite,
    ),
    "prometheus": Part(
        measure=scale_prometheus.measure,
        sizes=(1_000, 5_000, 10_000, 50_000),
        bytes_of_kernel=scale_prometheus.BYTES_OF_KERNEL,
        site=PrometheusSite,
    ),
}


def main() -> None:
    """Measure the parts named on the command line, by default all."""
    parser = argparse.ArgumentParser(prog="make scale ARGS=…", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="leave out sizes with more kernels than this")
    parser.add_argument("--minutes", type=float, default=60.0, help="give up a part after this time (default: 60)")
    parser.add_argument("--document", type=Path, metavar="FILE", help="replace the measured sections of docs/scale.md")
    assumptions = {field.name: field for part in PARTS.values() for field in attrs.fields(part.site)}
    for field in assumptions.values():
        option, default = f"--{field.name.replace('_', '-')}", field.default
        help_ = f"assumed for larger sites: {field.metadata['help']} (default: {default:g})"
        parser.add_argument(option, type=type(default), default=default, metavar="N", help=help_)
    arguments = parser.parse_args()
    names = arguments.which or list(PARTS)
    if problem := _problem(names, most=arguments.most, document=arguments.document):
        parser.error(problem)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scale: terminated"))  # ends the servers, too
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(f"{describe_versions()}; {describe_machine()}")
    for name in names:
        kind = PARTS[name].site
        site = kind(**{field.name: getattr(arguments, field.name) for field in attrs.fields(kind)})
        try:
            sections = _measure(name, console, most=arguments.most, minutes=arguments.minutes, site=site)
        except UnavailableError as error:
            sys.exit(f"scale: {name}: {error}")
        except TimeoutError:
            sys.exit(f"scale: {name}: not done in {arguments.minutes:g} minutes; see --most and --minutes")
        if arguments.document:
            document = arguments.document.read_text(encoding="utf-8")
            for section, content in sections.items():
                document = replace_section(document, section, content)
            arguments.document.write_text(document, encoding="utf-8")


def _problem(names: Sequence[str], *, most: int, document: Path | None) -> str | None:
    """Return why the parts cannot be measured, or None."""
    if unknown := set(names) - PARTS.keys():
        return f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}"
    for name in names:
        sizes = PARTS[name].sizes_up_to(most)
        if len(sizes) < 2:
            return f"--most {most} leaves fewer than two sizes of {name}, but a line needs two points"
        needed, available = PARTS[name].bytes_of_kernel * sizes[-1], psutil.virtual_memory().available
        if needed > available:
            return (
                f"{name} needs {needed / GB:.1f} GB of memory for {sizes[-1]:,} kernels, but {available / GB:.1f} GB are"
                " available; leave out large sizes with --most"
            )
    if document:
        text = document.read_text(encoding="utf-8")
        if missing := [section for name in names for section in (name, _plan(name)) if not has_section(text, section)]:
            return f"{document} has no section for {', '.join(missing)}"
    return None


def _measure(name: str, console: Console, *, most: int, minutes: float, site: Site) -> dict[str, str]:
    """Measure a part, and return the sections of the document by name."""
    part, measured, computed = PARTS[name], Report(console=console), Report(console=console)
    with tempfile.TemporaryDirectory(prefix="statcore-scale-") as scratch:
        running = part.measure(measured, Path(scratch), sizes=part.sizes_up_to(most), site=site)
        for table in asyncio.run(asyncio.wait_for(running, minutes * 60)):
            computed.add(table)
    command = f"make scale ARGS={name}"
    return {
        name: measured.document(f"Measured by `{command}` with {describe_versions()}, on {describe_machine()}."),
        _plan(name): computed.document(f"Computed by `{command}` from the measured points above; not measured."),
    }


def _plan(name: str) -> str:
    return f"{name}-plan"


def describe_machine() -> str:
    """Return the size of this machine and its kernel in one line."""
    memory = psutil.virtual_memory().total / 1e9
    return f"a machine with {os.cpu_count()} cores and {memory:.0f} GB of memory, {platform.system()} {platform.release()}"


if __name__ == "__main__":
    main()
