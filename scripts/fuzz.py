"""Runs fuzz targets for a long time with atheris, which changes inputs and keeps those that reach new code.

Each target runs in a process of its own. Inputs that reach more code are kept in .fuzz/TARGET, and the next run begins with
them. An input that breaks a promise ends its target; it is saved there as well.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
FOUND: Final = ROOT / ".fuzz"
INSTRUMENTED: Final = ["statcore", *(path.name for path in (ROOT / "src" / "adapters").iterdir()), "tomllib", "email"]
"""The packages whose code leads to further inputs: ours, and what reads TOML and dates."""
LIMITS: Final = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=2048")
"""Of bytes of an input, of seconds and of memory that it may take."""
PROGRESS: Final = re.compile(r"#(\d+)\s.*?cov: (\d+) .*?exec/s: (\d+)")
SAVED: Final = re.compile(r"Test unit written to (\S+)")
SHOWN_LINES: Final = 30
HERE: Final = "--here"


def known_targets() -> dict[str, Any]:
    """Return the targets by name."""
    sys.path.insert(0, str(ROOT))
    found: dict[str, Any] = import_module("tests.fuzz.targets").TARGETS
    return found


def fuzz_here(name: str, seconds: str) -> None:
    """Run one target in this process, which atheris ends."""
    import atheris  # noqa: PLC0415 - `--input` works without it

    with atheris.instrument_imports(include=INSTRUMENTED):
        target = known_targets()[name]
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={folder}/broken-"]
    atheris.Setup([sys.argv[0], *options, str(folder)], target.check)
    atheris.Fuzz()


class Run:
    """One target in a process: its progress, and the input that broke a promise."""

    def __init__(self, name: str) -> None:
        """Start with nothing."""
        self.name = name
        self.executions = self.edges = self.per_s = 0
        self.saved: str | None = None
        self.exit_code: int | None = None
        self.last_lines: list[str] = []

    async def run(self, minutes: float, show: Callable[[], None]) -> None:
        """Run until the time is over, or an input breaks a promise."""
        command = [sys.executable, __file__, HERE, self.name, str(max(1, round(minutes * 60)))]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=2**24
        )
        try:
            async for line in process.stdout or ():
                self._take(line.decode(errors="replace"))
                show()
            self.exit_code = await process.wait()
        finally:
            if self.exit_code is None:
                process.kill()
                await process.wait()

    def _take(self, line: str) -> None:
        if progress := PROGRESS.search(line):
            self.executions, self.edges, self.per_s = map(int, progress.groups())
        elif saved := SAVED.search(line):
            self.saved = saved[1]
        elif not line.startswith(("INFO: ", "WARNING: ")):
            self.last_lines = [*self.last_lines, line.rstrip()][-SHOWN_LINES:]

    def __str__(self) -> str:
        """Return the figures on one line."""
        return f"{self.name}: {self.executions:,} executions, {self.per_s:,} a second, {self.edges:,} edges"

    def failure(self) -> str | None:
        """Return what ended the target before its time, and how to run its input again; None if nothing did."""
        if not self.exit_code:
            return None
        text = "\n".join(self.last_lines)
        if self.saved is None:
            return f"{text}\n{self.name} ended with exit code {self.exit_code}"
        return (
            f"{text}\n{self.name}: an input broke a promise: {Path(self.saved).read_bytes()!r:.500}\n"
            f"Run it again: make fuzz ARGS='--input {self.saved} {self.name}'"
        )


async def fuzz(names: Sequence[str], *, minutes: float, jobs: int) -> int:
    """Run targets, show their progress, and return the exit code of the program."""
    runs = [Run(name) for name in names]
    slots = asyncio.Semaphore(jobs)
    is_terminal = sys.stderr.isatty()
    shown_at = time.monotonic()

    def show() -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at < (0.2 if is_terminal else 30):
            return
        shown_at = time.monotonic()
        line = "; ".join(str(run) for run in runs if run.executions and run.exit_code is None)
        print(f"\r\x1b[K{line}" if is_terminal else line, end="" if is_terminal else "\n", file=sys.stderr, flush=True)

    async def run_in_turn(run: Run) -> None:
        async with slots:
            await run.run(minutes, show)

    await asyncio.gather(*map(run_in_turn, runs))
    if is_terminal:
        print("\r\x1b[K", end="", file=sys.stderr)
    for run in runs:
        print(f"counted: {run}")
    failures = [failure for run in runs if (failure := run.failure()) is not None]
    print("\n\n".join(failures) or "No promise was broken.")
    return 1 if failures else 0


def main() -> int:
    """Read the command line, and run the targets that it names."""
    if sys.argv[1:2] == [HERE]:
        fuzz_here(*sys.argv[2:])
    known = known_targets()
    parser = argparse.ArgumentParser(
        prog="make fuzz ARGS='…'",
        description=__doc__,
        epilog=f"The targets are {', '.join(known)}. The exit code is 1 if an input broke a promise.",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="a target to run; by default all of them")
    parser.add_argument("--minutes", type=float, default=10, help="how long each target runs (default: 10)")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets run at once (default: 1)")
    parser.add_argument("--input", type=Path, metavar="FILE", help="check only the input in this file, without atheris")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.targets) - known.keys()):
        parser.error(f"there is no target {unknown[0]}; the targets are {', '.join(known)}")
    if arguments.minutes <= 0:
        parser.error("--minutes must be above 0")
    if arguments.input is None:
        return asyncio.run(fuzz(arguments.targets or list(known), minutes=arguments.minutes, jobs=arguments.jobs))
    if len(arguments.targets) != 1:
        parser.error("--input needs the name of one target")
    known[arguments.targets[0]].check(arguments.input.read_bytes())
    print("No promise was broken.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
