"""The program as a whole: its commands, exit codes, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import click
import pytest
from click.testing import CliRunner, Result

from statcore_cli.app import COMMANDS, cli

Invoke = Callable[..., Result]

KERNEL = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
IGNORED = ("STATCORE_", "PYTHONUNBUFFERED", "COV")
DRIVERS = {"redis", "hiredis", "aiohttp", "msgspec", "psutil", "prometheus_client", "strawberry"}


def python(
    *arguments: str,
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: IO[str] | int = subprocess.PIPE,
    stderr: IO[str] | int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run Python with buffered output and unmeasured, with a folder in front of its path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(IGNORED)}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))} if path else {}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment | dict(env or {}),
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )


def imported(*arguments: str) -> set[str]:
    """Return the packages that a call of the program imports."""
    lines = python("-X", "importtime", "-m", "statcore_cli", *arguments).stderr.splitlines()
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert "statcore_cli" in names
    return names


def test_help_imports_nothing_but_click() -> None:
    """Neither the core nor a driver nor rich: help is there at once."""
    names = imported("--help")

    assert set() == names & {*DRIVERS, "statcore", "attrs", "pluggy", "rich", "plotille", "asyncio"}


@pytest.mark.parametrize(
    "arguments", [["plugins"], ["plugins", "new", "container"], ["query", "--help"], ["query", "container", "--help"]]
)
def test_plugins_are_listed_without_their_drivers(arguments: list[str]) -> None:
    """Adapters import theirs when they are opened."""
    names = imported(*arguments)

    assert "pluggy" in names
    assert set() == names & {*DRIVERS, "rich", "plotille"}


def test_every_command_of_the_list_is_there_and_teaches() -> None:
    """A line in the listing, a command of that name, and help with an example."""
    listing = CliRunner().invoke(cli, ["--help"])

    assert 0 == listing.exit_code
    for name, summary in COMMANDS.items():
        assert f"{name} " in listing.stdout
        assert summary in listing.stdout
        text = CliRunner().invoke(cli, [name, "--help"]).stdout
        assert f"Usage: cli {name}" in text
        assert f"    statcore {name} " in text or f"    statcore {name}\n" in text


def test_the_version_is_that_of_the_distribution() -> None:
    """One line."""
    assert f"statcore {version('statcore')}\n" == CliRunner().invoke(cli, ["--version"], prog_name="statcore").stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["kernels"], ["kernels", "--nonsense"], ["query", "--last", "1h"]])
def test_wrong_usage_is_two(statcore: Invoke, arguments: list[str]) -> None:
    """As click says it."""
    result = statcore(*arguments)

    assert (2, "") == (result.exit_code, result.stdout)
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("away:", 1, "statcore: refused by host\n"),
        ("slow:", 1, "statcore: took too long\n"),
        ("denied:", 1, "statcore: wrong password\n"),
        (
            "driverless:",
            1,
            "statcore: this needs the extra 'valkey' (no module named 'redis'): pip install 'statcore[valkey]'\n",
        ),
        ("interrupt:", 130, ""),
        ("secret", 2, "statcore: --statistics-url: statistics_url has no scheme such as valkey:// or http://\n"),
        (
            "memory:",
            2,
            (
                "statcore: --statistics-url: what memory: names lives inside one process, and would always be empty here;"
                " name a server, or see `statcore demo`\n"
            ),
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(statcore: Invoke, url: str, code: int, message: str) -> None:
    """No traceback, and nothing on standard output."""
    result = statcore("kernels", KERNEL, "--statistics-url", url)

    assert (code, "", message) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", KERNEL], "statcore: no store of live statistics is configured: give --statistics-url URL or set"),
        (
            ["metrics", "rack"],
            "statcore: no metric backend is configured: give --metrics-url URL or set STATCORE_METRICS_URL",
        ),
        (["query", "rack"], "statcore: no metric backend is configured"),
    ],
)
def test_what_is_not_configured_is_asked_for(statcore: Invoke, arguments: list[str], message: str) -> None:
    """The option and the variable are named."""
    result = statcore(*arguments, env={"STATCORE_STATISTICS_URL": "", "STATCORE_METRICS_URL": ""})

    assert 2 == result.exit_code
    assert result.stderr.startswith(message)
    assert 1 == result.stderr.count("\n")


def test_a_fault_of_ours_keeps_its_traceback(statcore: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing hides a bug."""

    def fail(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("statcore_cli.commands.kernels.write", fail)

    with pytest.raises(LookupError, match="a bug"):
        statcore("kernels", KERNEL)


def test_a_missing_module_that_is_no_extra_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, statcore: Invoke) -> None:
    """Only what an extra brings has a remedy."""

    def fail(*_: object) -> None:
        raise ModuleNotFoundError("broken", name="broken")

    monkeypatch.setattr("statcore_cli.commands.kernels.write", fail)

    with pytest.raises(ModuleNotFoundError, match="broken"):
        statcore("kernels", KERNEL)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("click", ["--help"]),
        ("plotille", ["query", "rack", "--format", "plot", "--metrics-url", "fake:"]),
    ],
)
def test_without_the_extra_it_says_what_to_install(
    fake: Any, tmp_path: Path, module: str, arguments: Sequence[str]
) -> None:
    """One line with the command to type, and exit code 1."""
    site = Path(fake.__file__).parent
    (site / "acme_fake_fake.py").write_text(
        (site / "acme_fake_fake.py").read_text().replace("ANSWER = {}", "ANSWER = {'series': [({}, [], [])]}")
    )
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(site)!r})\n"
        "class Hide:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise ModuleNotFoundError('hidden', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )

    done = python("-m", "statcore_cli", *arguments, path=hiding)

    expected = f"statcore: this needs the extra 'cli' (no module named '{module}'): pip install 'statcore[cli]'\n"
    assert (1, expected) == (done.returncode, done.stderr.splitlines(keepends=True)[-1])
    assert "Traceback" not in done.stderr


FAULTY = ["doctor", "--rate-interval", "nonsense"]


@pytest.mark.parametrize("arguments", [["plugins"], FAULTY, ["--help"], ["--version"], ["kernels", "--help"]])
def test_a_full_disk_is_one_line(arguments: list[str]) -> None:
    """No traceback, neither then nor when the interpreter ends, whatever the exit code would have been."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        done = python("-m", "statcore_cli", *arguments, stdout=full)

    assert (1, "statcore: [Errno 28] No space left on device\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("arguments", [["plugins"], FAULTY, ["--help"], ["--version"], ["kernels", "--help"]])
def test_a_reader_that_has_gone_is_141(arguments: list[str]) -> None:
    """Quietly, whatever the exit code would have been."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = python("-m", "statcore_cli", *arguments, stdout=gone)

    assert (141, "") == (done.returncode, done.stderr)


def test_the_code_is_that_of_the_error_where_nobody_reads_the_message() -> None:
    """A full disk and a reader that has gone are the same to a script that looks at the code."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone, Path("/dev/full").open("w", encoding="ascii") as full:
        codes = [python("-m", "statcore_cli", "kernels", "nonsense", stderr=stream).returncode for stream in (gone, full)]

    assert [2, 2] == codes


@pytest.mark.parametrize(("stream", "left"), [(1, "statcore: not an id"), (2, "CHECK ")])
def test_a_stream_that_is_closed_is_nobody_listening(stream: int, left: str) -> None:
    """What would go there is lost, and the rest goes on."""
    program = "[sys.executable, '-m', 'statcore_cli', *sys.argv[1:]]"
    close = f"import os, sys; os.close({stream}); os.execv(sys.executable, {program})"

    fine = python("-c", close, "doctor")
    wrong = python("-c", close, "kernels", "nonsense")

    assert (0, 2) == (fine.returncode, wrong.returncode)
    assert "Traceback" not in fine.stderr + wrong.stderr
    assert (wrong.stderr if stream == 1 else fine.stdout).startswith(left)


def test_a_closed_descriptor_is_not_taken_by_the_answer(tmp_path: Path) -> None:
    """What a library writes to descriptor 2 while that is closed, and 0 too, is not in the answer."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Stray:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'statcore_cli.commands.plugins': os.write(2, b'stray')\n"
        "sys.meta_path.insert(0, Stray())\n"
    )
    program = "[sys.executable, '-m', 'statcore_cli', 'plugins', '--format', 'json']"
    close = f"import os, sys; os.close(0); os.close(2); os.execv(sys.executable, {program})"

    done = python("-c", close, path=tmp_path)

    assert 0 == done.returncode
    assert {"plugins"} == set(json.loads(done.stdout))


def test_characters_that_an_output_lacks_are_escaped(fake: Any) -> None:
    """A terminal's encoding never ends the program."""
    site = Path(fake.__file__).parent
    source = (site / "acme_fake_fake.py").read_text()
    (site / "acme_fake_fake.py").write_text(source.replace("return [label, match.name]", "return ['größe']"))

    done = python(
        "-m", "statcore_cli", "metrics", "node", "--metrics-url", "fake:", path=site, env={"PYTHONIOENCODING": "ascii"}
    )

    assert (0, "METRIC\ngr\\xf6\\xdfe\n") == (done.returncode, done.stdout)


def test_an_interrupt_while_it_still_imports_is_130(tmp_path: Path) -> None:
    """Also before there is a command that could catch it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'statcore_cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )

    done = python("-m", "statcore_cli", "--help", path=tmp_path)

    assert (130, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_missing_module_at_the_start_that_is_no_extra_is_shown(tmp_path: Path) -> None:
    """A broken installation is not mistaken for a missing extra."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'statcore_cli.app': raise ModuleNotFoundError('hidden', name=name)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )

    done = python("-m", "statcore_cli", "--help", path=tmp_path)

    assert 1 == done.returncode
    assert "ModuleNotFoundError: hidden" in done.stderr


def test_only_what_is_listed_is_a_command() -> None:
    """Nothing outside the list is ever imported."""
    ctx = click.Context(cli)

    assert list(COMMANDS) == cli.list_commands(ctx)
    assert cli.get_command(ctx, "__init__") is None


def test_a_group_with_no_kinds_has_no_listing(statcore: Invoke) -> None:
    """Everything may be disabled."""
    result = statcore("--disable-plugins", "builtin,fake", "query", "--help")

    assert 0 == result.exit_code
    assert "Commands:" not in result.stdout
