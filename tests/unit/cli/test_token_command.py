"""`statcore token`: what it prints where, what it writes, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.unit.cli.conftest import ID_1, ID_2, ID_3, Invoke, csv_rows

from statcore.model.time import parse_time
from statcore.scopes import Scope
from statcore_web import Tokens, secret_hash
from statcore_web.tokens import read_token_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a file that is not written yet."""
    return tmp_path / "tokens.toml"


@pytest.fixture
def token(statcore: Invoke, file: Path) -> Callable[..., Result]:
    """Run `statcore token` with this file."""
    return lambda *arguments, **extra: statcore("token", *arguments, env={"STATCORE_TOKEN_FILE": str(file)}, **extra)


def listed(token: Callable[..., Result]) -> dict[str, dict[str, Any]]:
    """Return what `token list` says of each token by name."""
    return {item["name"]: item for item in json.loads(token("list", "--format", "json").stdout)["tokens"]}


def test_the_secret_is_alone_on_standard_output_and_works(token: Callable[..., Result], file: Path) -> None:
    """The file has its hash only, and so have the other commands nothing of it."""
    result = token("new", "ci", "--everything")
    assert 0 == result.exit_code
    secret = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"statcore_[\w-]{43}", secret)
    assert secret not in result.stderr
    assert "ci" == Tokens(str(file)).find(f"Bearer {secret}").name
    shown = [token(*words).output for words in (["list"], ["list", "--format", "csv"], ["revoke", "ci"])]
    assert not any(part in "".join([*shown, file.read_text()]) for part in (secret, secret_hash(secret)[7:], "sha256"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--everything"], Scope.everything()),
        (["--scope", f"project_id={ID_1}"], Scope.of(project_id=ID_1)),
        (["--scope", f"project_id={ID_1}", "--scope", f"project_id={ID_2}"], Scope.of(project_id=[ID_1, ID_2])),
        (["--scope", f"project_id={ID_1}", "--scope", f"user_id={ID_2}"], Scope.of(project_id=ID_1, user_id=ID_2)),
        (["--scope", "agent_id=a=b"], Scope.of(agent_id="a=b")),
    ],
)
def test_a_scope_has_a_value_of_each_label(
    token: Callable[..., Result], file: Path, options: list[str], expected: Scope
) -> None:
    """Values of one label are alternatives."""
    assert 0 == token("new", "ci", *options).exit_code
    assert [expected] == [known.scope for known in read_token_file(str(file))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --scope LABEL=VALUE or --everything"),
        (["--everything", "--scope", f"project_id={ID_1}"], "either --scope"),
        (["--scope", "project_id"], "--scope: expected LABEL=VALUE"),
        (["--scope", "project_id="], "--scope: "),
        (["--scope", "agent_id="], "--scope: "),
        (["--scope", f"project_id={ID_1}", "--scope", "user_id="], "--scope: "),
        (["--scope", f"rack={ID_1}"], "--scope: a scope has no label 'rack'"),
        (["--scope", ""], "--scope: expected LABEL=VALUE"),
        (["--everything", "--expires", "2020-01-01"], "--expires: .* not in the future"),
        (["--everything", "--expires", "yesterday"], "--expires: expected a duration"),
        (["--everything", "--expires", ""], "--expires: expected a duration"),
        (["--everything", "--requests-per-s", "0"], "requests_per_s must be"),
        (["--everything", "--requests-per-s", "inf"], "requests_per_s must be"),
    ],
)
def test_a_token_that_cannot_be_used_is_not_made(
    token: Callable[..., Result], file: Path, options: list[str], message: str
) -> None:
    """An empty or missing scope is never everything; there is no file afterwards, and no secret."""
    result = token("new", "ci", *options)
    assert (2, "") == (result.exit_code, result.stdout)
    assert re.search(message, result.stderr)
    assert not file.exists()


@pytest.mark.parametrize("name", ["", "-", "a b", "statcore_x", "x" * 65, "ä", "a/b", "a]"])
def test_a_bad_name_is_refused(token: Callable[..., Result], file: Path, name: str) -> None:
    """It is a name that logs and metrics can show."""
    result = token("new", "--everything", "--", name)
    assert (2, "") == (result.exit_code, result.stdout)
    assert not file.exists()


def test_a_name_is_not_given_twice(token: Callable[..., Result], file: Path) -> None:
    """The first token stays as it is."""
    token("new", "ci", "--everything")
    before = file.read_text()
    result = token("new", "ci", "--scope", f"project_id={ID_1}")
    assert (2, "") == (result.exit_code, result.stdout)
    assert before == file.read_text()


def test_the_list_has_scope_expiry_and_rate(token: Callable[..., Result], file: Path) -> None:
    """An expired token is in it; alternatives that are written by hand are shown."""
    token("new", "ci", "--scope", f"project_id={ID_1}", "--expires", "2100-01-31", "--requests-per-s", "2.5")
    with file.open("a") as opened:
        opened.write(f'[tokens.old]\nhash = "{secret_hash("old")}"\nexpires = 2020-01-01T00:00:00Z\n')
        opened.write(f'scope = [{{ user_id = ["{ID_3}"] }}, {{ project_id = ["{ID_1}", "{ID_2}"], agent_id = "i-1" }}]\n')
    first = {"name": "ci", "scope": [{"project_id": [ID_1]}], "expires": "2100-01-31T00:00:00Z", "expired": False}
    scope = [{"agent_id": ["i-1"], "project_id": [ID_1, ID_2]}, {"user_id": [ID_3]}]
    second = {"name": "old", "scope": scope, "expires": "2020-01-01T00:00:00Z", "expired": True}
    assert {"ci": {**first, "requests_per_s": 2.5}, "old": {**second, "requests_per_s": None}} == listed(token)
    rows = csv_rows(token("list", "--format", "csv").stdout)
    assert [("", "2.5"), ("yes", "")] == [(row["expired"], row["requests_per_s"]) for row in rows]
    assert f"agent_id=i-1 and project_id={ID_1},{ID_2}; or user_id={ID_3}" == rows[1]["scope"]


def test_a_duration_counts_from_now(token: Callable[..., Result]) -> None:
    """The expiry has whole seconds."""
    start = datetime.now(UTC)
    token("new", "ci", "--everything", "--expires", "90d")
    expires = parse_time(listed(token)["ci"]["expires"])
    assert start - timedelta(seconds=1) <= expires - timedelta(days=90) <= datetime.now(UTC)


def test_a_token_is_rotated_without_a_gap(token: Callable[..., Result], file: Path) -> None:
    """Both secrets work until the first is revoked; the service has read the file before."""
    first = token("new", "ci", "--everything").stdout.strip()
    tokens = Tokens(str(file))
    second = token("new", "ci-2", "--everything").stdout.strip()
    assert ["ci", "ci-2"] == [tokens.find(f"Bearer {secret}").name for secret in (first, second)]
    assert 0 == token("revoke", "ci").exit_code
    assert "ci-2" == tokens.find(f"Bearer {second}").name
    assert {"ci-2"} == listed(token).keys()


@pytest.mark.parametrize("words", [["list"], ["revoke", "ci"], ["new", "ci", "--everything"]])
def test_without_a_file_every_command_says_how_to_name_one(statcore: Invoke, words: list[str], tmp_path: Path) -> None:
    """The option and the variable are in the message; so is the origin of a file that cannot be used."""
    result = statcore("token", *words)
    assert (2, "") == (result.exit_code, result.stdout)
    assert "give --token-file FILE or set STATCORE_TOKEN_FILE" in result.stderr
    result = statcore("token", "--token-file", str(tmp_path), *words)
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("statcore: --token-file: the file of tokens cannot be")


def test_a_file_that_everybody_may_write_is_a_remark(token: Callable[..., Result], file: Path) -> None:
    """Whoever writes it can see everything."""
    token("new", "ci", "--everything")
    assert "" == token("list").stderr
    file.chmod(0o646)
    assert "chmod o-w" in token("list").stderr
