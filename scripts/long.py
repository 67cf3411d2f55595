"""Runs everything that takes hours, part by part, and says at the end what ran, how long, and what failed.

A part that fails does not keep the others from running. The exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
from report import describe_versions, has_section, replace_section

ROOT: Final = Path(__file__).parent.parent
SCENARIOS: Final = {
    "store": ("test_simulated_store.py", "answers_are_right", 4_000),
    "metrics": ("test_simulated_metrics.py", "answers_are_right", 2_500),
    "sentinels": ("test_simulated_topologies.py", "answers_are_right and run_sentinels", 2_000),
    "cluster": ("test_simulated_topologies.py", "answers_are_right and run_cluster", 1_200),
    "service": ("test_simulated_service.py", "stores_that_are_away", 300),
}
"""The scenarios of the simulation: the file, the tests in it, and how many of the 10,000 seeds they run."""
PARTS: Final = ("tests", "machines", "cancellation", "simulation", "soak", "fuzz")
MACHINES: Final = (
    "tests/property/test_runtime_life.py::TestLongRuntimeLife",
    "tests/simulation/test_store_machine.py::TestStoreMachine",
)
FAILED: Final = ("FAILED ", "ERROR ")
COUNTED: Final = "counted: "
"""How a line begins that says what was counted: answers, or inputs."""


@attrs.frozen
class Run:
    """A command of a part.

    Args:
        name: the name for the table.
        command: the words of the command.
        last_seed: the last seed of the simulation, or None for those that the tests choose.
    """

    name: str
    command: Sequence[str]
    last_seed: int | None = None


@attrs.define
class Outcome:
    """How a command ended."""

    name: str
    seconds: float
    exit_code: int
    last_line: str
    counted: list[str]
    failures: list[str]

    @property
    def result(self) -> str:
        """Whether it passed, with its last line."""
        return f"{f'FAILED, exit code {self.exit_code}' if self.exit_code else 'passed'}: {self.last_line}"


def runs_of(part: str, share: float, document: Path | None) -> Iterator[Run]:
    """Yield the commands of a part; with a share below 1 they take that share of the time, where this can be chosen.

    The soak writes what it measured into the document by itself.
    """
    pytest, make = [sys.executable, "-m", "pytest", "-q"], ["make", "--no-print-directory"]
    in_all_processes = ["-n", str(os.cpu_count() or 1)]
    if part == "tests":
        yield Run(part, [*pytest, "-m", "long", "-n0", "-k", "not at_any_moment and not LongRuntimeLife", "tests"])
    elif part == "machines":
        yield Run(part, [*pytest, "-m", "", *in_all_processes, "--timeout=7200", *MACHINES], last_seed=0)
    elif part == "cancellation":
        yield Run(part, [*pytest, "-m", "long", *in_all_processes, "tests/simulation/test_cancelled_calls.py"])
    elif part == "simulation":
        for name, (file, tests, seeds) in SCENARIOS.items():
            command = [*pytest, *in_all_processes, "-k", tests, f"tests/simulation/{file}"]
            yield Run(f"{part} of {name}", command, last_seed=max(1, round(seeds * share)) - 1)
    elif part == "soak":
        writes = f" --document {document.resolve()}" if document else ""
        yield Run(part, [*make, "soak", f"ARGS=--minutes {60 * share:g}{writes}"])
    else:
        yield Run(part, [*make, "fuzz", f"ARGS=--minutes {10 * share:g} --jobs {os.cpu_count() or 1}"])


def markdown(part: str, share: float, outcomes: Sequence[Outcome]) -> str:
    """Return how the commands of a part ended as Markdown, with the command that runs them again."""
    arguments = part if share == 1 else f"{part} --share {share:g}"
    rows: list[str] = []
    for outcome in outcomes:
        first, *others = outcome.counted or [""]
        rows.append(f"| {outcome.name} | {outcome.seconds / 60:.1f} | {outcome.result} | {first} |")
        rows += [f"| | | | {other} |" for other in others]
    origin = f'Measured by `make long ARGS="{arguments}"` with {describe_versions()}.'
    return "\n".join([origin, "", "| run | minutes | result | counted |", "|---|---:|---|---|", *rows])


def outcome_of(run: Run) -> Outcome:
    """Run a command, show what it writes, and return how it ended."""
    print(f"== {run.name}", flush=True)
    chosen = {} if run.last_seed is None else {"SIMULATION_SEEDS": f"0-{run.last_seed}"}
    outcome = Outcome(run.name, 0.0, 0, "", [], [])
    start_s = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - the commands above
        run.command, cwd=ROOT, env=os.environ | chosen, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            outcome.last_line = line.strip() or outcome.last_line
            outcome.counted += [line.strip().removeprefix(COUNTED)] if line.startswith(COUNTED) else []
            outcome.failures += [line.rstrip()] if line.startswith(FAILED) else []
    outcome.seconds, outcome.exit_code = time.monotonic() - start_s, process.returncode
    return outcome


def main() -> int:
    """Read the command line, run the parts that it names, and return the exit code of the program."""
    parser = argparse.ArgumentParser(prog="make long ARGS='…'", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; by default all of them")
    share_help = "the share of the seeds, the soak and the fuzzing to run; the other parts run in full (default: 1)"
    parser.add_argument("--share", type=float, default=1.0, help=share_help)
    parser.add_argument("--document", type=Path, metavar="FILE", help="replace the sections of docs/reliability.md")
    arguments = parser.parse_args()
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; the parts are {', '.join(PARTS)}")
    parts, document = arguments.parts or PARTS, arguments.document
    text = document.read_text("utf-8") if document else ""
    sections = {part: "soak" if part == "soak" else f"long {part}" for part in parts}
    if document and (missing := [name for name in sections.values() if not has_section(text, name)]):
        parser.error(f"{document} has no section for {', '.join(missing)}")
    outcomes: list[Outcome] = []
    for part in parts:
        of_part = [outcome_of(run) for run in runs_of(part, arguments.share, document)]
        outcomes += of_part
        if document and part != "soak":  # it writes its own
            measured = markdown(part, arguments.share, of_part)
            document.write_text(replace_section(document.read_text("utf-8"), sections[part], measured), "utf-8")
    print(f"\n{'part':24}{'minutes':>9}  result")
    for outcome in outcomes:
        print(f"{outcome.name:24}{outcome.seconds / 60:9.1f}  {outcome.result}")
        for line in (*outcome.counted, *outcome.failures):
            print(f"    {line:.200}")
    return int(any(outcome.exit_code for outcome in outcomes))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
