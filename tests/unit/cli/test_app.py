"""The whole program: its commands, exit codes, streams, and imports."""

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
from click.testing import CliRunner
from tests.support.web_host import TokenFile
from tests.unit.cli.conftest import ID_1, Invoke

from statcore_cli.app import COMMANDS, cli

IGNORED = ("STATCORE_", "PYTHONUNBUFFERED", "COV")
DRIVERS = {"redis", "hiredis", "aiohttp", "msgspec", "psutil", "prometheus_client", "promql_parser", "strawberry"}


def python(
    *arguments: str,
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: IO[str] | int = subprocess.PIPE,
    stderr: IO[str] | int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run Python with buffered output and without coverage; `path` is put in front of its search path."""
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


def sh(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell."""
    return python("-c", "import os, sys; os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])", line)


def on_import(folder: Path, module: str, statement: str, *, first: str = "pass") -> None:
    """Write a `sitecustomize.py` that runs `first`, and runs `statement` when the module is imported."""
    (folder / "sitecustomize.py").write_text(f"""
import os, sys
{first}
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}: {statement}
sys.meta_path.insert(0, Finder())
""")


def rewrite(fake: Any, old: str, new: str) -> Path:
    """Change the source of the fake plugin for other processes, and return the folder to put on their search path."""
    file = Path(fake.__file__)
    file.write_text(file.read_text().replace(old, new))
    return file.parent


CORE = {"statcore", "attrs", "pluggy", "asyncio"}
DRAWING = {"rich", "plotille"}


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        ("--help", {*CORE, *DRAWING, *DRIVERS}),
        *((command, {*DRAWING, *DRIVERS}) for command in ("plugins", "plugins new container", "preset list", "token list")),
        *((f"{command} --help", {*DRAWING, *DRIVERS}) for command in ("query", "query container", "preset", "preset run")),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments: str, absent: set[str]) -> None:
    """`--help` imports nothing but click; listings and other helps import no driver and nothing to draw with."""
    lines = python("-X", "importtime", "-m", "statcore_cli", *arguments.split()).stderr.splitlines()
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert "statcore_cli" in names
    assert (arguments == "--help") == ("pluggy" not in names)
    assert set() == names & absent


def test_every_command_has_a_summary() -> None:
    """It is in the listing."""
    listing = CliRunner().invoke(cli, ["--help"])

    assert 0 == listing.exit_code
    for name, summary in COMMANDS.items():
        assert f"{name} " in listing.stdout
        assert summary in listing.stdout


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        *(f"preset {name}" for name in ("list", "show", "run")),
        *(f"token {name}" for name in ("new", "list", "revoke")),
    ],
)
def test_help_of_a_command_has_an_example(command: str) -> None:
    """The example is a command line that can be typed."""
    text = CliRunner().invoke(cli, [*command.split(), "--help"]).stdout
    assert f"Usage: cli {command}" in text
    assert f"    statcore {command} " in text or f"    statcore {command}\n" in text


def test_the_collector_listens_on_loopback_by_default(statcore: Invoke) -> None:
    """Its metrics need no password, so other machines reach them only if the operator says so."""
    assert "[default: 127.0.0.1:9256]" in statcore("collect", "--help").stdout


def test_the_version_is_that_of_the_distribution() -> None:
    """`--version` prints one line."""
    assert f"statcore {version('statcore')}\n" == CliRunner().invoke(cli, ["--version"], prog_name="statcore").stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["kernels", "--nonsense"], ["query", "--last", "1h"]])
def test_wrong_usage_exits_with_2(statcore: Invoke, arguments: list[str]) -> None:
    """Standard error has click's message."""
    result = statcore(*arguments)

    assert (2, "") == (result.exit_code, result.stdout)
    assert "Usage: " in result.stderr


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("down:", 1, "statcore: refused by host\n"),
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
                "statcore: --statistics-url: a memory: store or backend exists in one process only, and would always be"
                " empty here; give the URL of a server, or try `statcore demo`\n"
            ),
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(statcore: Invoke, url: str, code: int, message: str) -> None:
    """There is no traceback, and nothing on standard output."""
    result = statcore("kernels", ID_1, "--statistics-url", url)

    assert (code, "", message) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", ID_1], "no store of live statistics is configured: give --statistics-url URL or set STATCORE_STATIS"),
        (["metrics", "rack"], "no metric backend is configured: give --metrics-url URL or set STATCORE_METRICS_URL"),
        (["query", "rack"], "no metric backend is configured"),
    ],
)
def test_a_missing_setting_names_its_option_and_variable(statcore: Invoke, arguments: list[str], message: str) -> None:
    """The error is one line, and the exit code 2."""
    result = statcore(*arguments, env={"STATCORE_STATISTICS_URL": "", "STATCORE_METRICS_URL": ""})

    assert 2 == result.exit_code
    assert result.stderr.startswith(f"statcore: {message}")
    assert 1 == result.stderr.count("\n")


@pytest.mark.parametrize("bug", [LookupError("a bug"), ModuleNotFoundError("a bug", name="broken")])
def test_a_bug_keeps_its_traceback(statcore: Invoke, monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    """An error that is not a `StatcoreError` is not hidden; only a missing module of an extra has a remedy."""

    def fail(*_: object) -> None:
        raise bug

    monkeypatch.setattr("statcore_cli.commands.kernels.write", fail)

    with pytest.raises(type(bug), match="a bug"):
        statcore("kernels", ID_1)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("click", ["--help"]), ("plotille", ["query", "rack", "--format", "plot", "--metrics-url", "fake:"])],
)
def test_a_missing_extra_names_the_command_that_installs_it(
    fake: Any, tmp_path: Path, module: str, arguments: Sequence[str]
) -> None:
    """The error is one line, and the exit code 1."""
    site = rewrite(fake, "ANSWER = {}", "ANSWER = {'series': [({}, [1.0], [1.0])]}")
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    on_import(hiding, module, "raise ModuleNotFoundError('hidden', name=name)", first=f"sys.path.insert(0, {str(site)!r})")

    done = python("-m", "statcore_cli", *arguments, path=hiding)

    expected = f"statcore: this needs the extra 'cli' (no module named '{module}'): pip install 'statcore[cli]'\n"
    assert (1, expected) == (done.returncode, done.stderr.splitlines(keepends=True)[-1])
    assert "Traceback" not in done.stderr


def full_disk() -> IO[str]:
    """Return a stream that cannot be written."""
    return Path("/dev/full").open("w", encoding="ascii")


def closed_pipe() -> IO[str]:
    """Return a stream without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "w")


@pytest.mark.parametrize(
    "arguments",
    [["plugins"], ["doctor", "--rate-interval", "nonsense"], ["--help"], ["--version"], ["kernels", "--help"]],
)
@pytest.mark.parametrize(
    ("stream", "expected"),
    [(full_disk, (1, "statcore: [Errno 28] No space left on device\n")), (closed_pipe, (141, ""))],
)
def test_an_unwritable_standard_output_is_at_most_one_line(
    arguments: list[str], stream: Callable[[], IO[str]], expected: tuple[int, str]
) -> None:
    """There is no traceback during the command or at interpreter exit, whatever exit code the command itself had."""
    with stream() as stdout:
        done = python("-m", "statcore_cli", *arguments, stdout=stdout)

    assert expected == (done.returncode, done.stderr)


@pytest.mark.parametrize("stream", [full_disk, closed_pipe])
def test_the_exit_code_survives_an_unwritable_standard_error(stream: Callable[[], IO[str]]) -> None:
    """It is that of wrong usage."""
    with stream() as stderr:
        assert 2 == python("-m", "statcore_cli", "kernels", "nonsense", stderr=stderr).returncode


@pytest.mark.parametrize(("stream", "left"), [(1, "statcore: not an id"), (2, "CHECK ")])
def test_a_closed_stream_ends_no_command(stream: int, left: str) -> None:
    """The command runs, and the other stream gets its output."""
    program = "[sys.executable, '-m', 'statcore_cli', *sys.argv[1:]]"
    close = f"import os, sys; os.close({stream}); os.execv(sys.executable, {program})"

    fine = python("-c", close, "doctor")
    wrong = python("-c", close, "kernels", "nonsense")

    assert (0, 2) == (fine.returncode, wrong.returncode)
    assert "Traceback" not in fine.stderr + wrong.stderr
    assert (wrong.stderr if stream == 1 else fine.stdout).startswith(left)


@pytest.mark.parametrize(
    "arguments",
    ["nonsense", "kernels --nonsense", "kernels nonsense", "serve --port 99999", "token new --expires nonsense x"],
)
@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "0 2", "1 2", "0 1 2"])
def test_an_error_goes_to_standard_error_alone(arguments: str, closed: str) -> None:
    """Whichever streams are closed, no error text is in the answer."""
    redirections = {"0": "<&-", "1": ">&-", "2": "2>&-"}
    line = " ".join([sys.executable, "-m", "statcore_cli", arguments, *(redirections[stream] for stream in closed.split())])
    done = sh(line)

    assert (2, "") == (done.returncode, done.stdout)
    assert ("2" not in closed) == bool(done.stderr)


def test_the_answer_does_not_take_a_closed_descriptor(tmp_path: Path) -> None:
    """With descriptors 0 and 2 closed, what a library writes to descriptor 2 is not in the answer."""
    on_import(tmp_path, "statcore_cli.commands.plugins", "os.write(2, b'stray')")
    program = "[sys.executable, '-m', 'statcore_cli', 'plugins', '--format', 'json']"
    close = f"import os, sys; os.close(0); os.close(2); os.execv(sys.executable, {program})"

    done = python("-c", close, path=tmp_path)

    assert 0 == done.returncode
    assert {"plugins"} == set(json.loads(done.stdout))


def test_characters_outside_the_encoding_are_escaped(fake: Any) -> None:
    """The terminal's encoding never ends the program."""
    site = rewrite(fake, "return [label, match.name]", "return ['größe']")

    done = python(
        "-m", "statcore_cli", "metrics", "node", "--metrics-url", "fake:", path=site, env={"PYTHONIOENCODING": "ascii"}
    )

    assert (0, "METRIC\ngr\\xf6\\xdfe\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("module", "error", "code", "shown"),
    [
        ("signal", "KeyboardInterrupt", 130, ""),
        ("logging", "KeyboardInterrupt", 130, ""),
        ("click", "__import__('os').kill(__import__('os').getpid(), 2)", 130, ""),
        ("statcore_cli.app", "KeyboardInterrupt", 130, ""),
        ("statcore_cli.app", "ModuleNotFoundError('hidden', name=name)", 1, "ModuleNotFoundError: hidden\n"),
    ],
)
def test_an_error_during_imports_is_shown(tmp_path: Path, module: str, error: str, code: int, shown: str) -> None:
    """An interrupt has its exit code; a broken installation is not reported as a missing extra."""
    on_import(tmp_path, module, f"raise {error}")

    done = python("-m", "statcore_cli", "--help", path=tmp_path)

    assert (code, "") == (done.returncode, done.stdout)
    assert done.stderr.endswith(shown)
    assert bool(shown) == bool(done.stderr)


def test_only_what_is_listed_is_a_command() -> None:
    """No other module is ever imported as a command."""
    ctx = click.Context(cli)

    assert list(COMMANDS) == cli.list_commands(ctx)
    assert cli.get_command(ctx, "__init__") is None


def test_a_group_without_kinds_has_no_listing(statcore: Invoke) -> None:
    """This happens when all plugins are disabled."""
    result = statcore("--disable-plugins", "builtin,fake", "query", "--help")

    assert 0 == result.exit_code
    assert "Commands:" not in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [*COMMANDS]),
        ("query ", ["container", "node", "rack"]),
        ("query node --le", ["--level"]),
        ("query node --level ", ["low", "high"]),
        ("query node --group-by k", ["kernel_id"]),
        ("query container --metric-name cpu", ["cpu_util", "cpu_used"]),
        ("preset run b", ["busy"]),
        ("preset run busy --label ", ["kernel_id="]),
        ("preset run busy --window 1m --group-by ", ["agent_id"]),
        ("rules --scope p", ["project_id="]),
        ("sessions --sort cp", ["cpu_pct"]),
        ("sessions --filter us", ["user_id="]),
        ("token new --scope pr", ["project_id="]),
        ("token revoke c", ["ci"]),
        ("kernels --kernel-statistics s", ["store"]),
        ("--config x", ["x"]),
        ("query nonsense --le", []),
        ("--config /nonexistent query ", []),
        ("--presets /nonexistent preset run ", []),
        ("token --token-file /nonexistent revoke ", []),
    ],
)
def test_a_shell_completes(statcore: Invoke, tmp_path: Path, words: str, expected: list[str]) -> None:
    """Commands, kinds, options, values and names of presets; an error completes nothing and prints nothing."""
    presets = tmp_path / "presets.toml"
    presets.write_text(
        """[presets.busy]
        description = "d"
        template = "sum by (${{ group_by }})(up{${{ labels }}})"
        filter_labels = ["kernel_id"]
        group_labels = ["agent_id"]
        """,
        encoding="utf-8",
    )
    tokens = TokenFile(tmp_path / "tokens.toml")
    tokens.write(ci='scope = "everything"', other='scope = "everything"')
    line = ["statcore", *words.split(" ")]
    variables = {
        "_STATCORE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(line),
        "COMP_CWORD": str(len(line) - 1),
        "STATCORE_PRESETS": str(presets),
        "STATCORE_TOKEN_FILE": str(tokens.path),
    }

    result = statcore(env=variables, prog_name="statcore")

    assert "" == result.stderr
    completions = [line.split(",") for line in result.stdout.splitlines()]
    assert expected == [word for _, word in completions]
    assert {"plain", "file"} >= {kind for kind, _ in completions}, "the script of the shell ignores other kinds"
