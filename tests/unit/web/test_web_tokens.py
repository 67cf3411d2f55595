"""Tokens: what the file may hold, when it is read again, and that nothing shows a secret or a hash."""

from __future__ import annotations

import base64
import hmac
import os
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from tests.support.web_host import TokenFile

from statcore.errors import InputError
from statcore.scopes import Scope
from statcore_web import Token, Tokens, new_secret, secret_hash
from statcore_web.refusal import RefusedError
from statcore_web.tokens import read_tokens

EVERYTHING = 'scope = "everything"'
PROJECT = "6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
USER = "0d9b4a0e-6c1f-4a9b-8a40-b2b1c1d2e3f4"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
HASH = secret_hash("hunter2")


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    """A file that is not written yet."""
    return TokenFile(tmp_path / "tokens.toml")


def bearer(secret: str) -> str:
    """Return the header of a secret."""
    return f"Bearer {secret}"


def test_a_secret_has_256_random_bits_behind_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bits are those of the operating system; each secret is another one."""
    assert 100 == len({new_secret() for _ in range(100)})
    monkeypatch.setattr("secrets.token_bytes", lambda count: bytes(range(count)))
    assert f"statcore_{base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip('=')}" == new_secret()


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ('"everything"', Scope.everything()),
        (f'{{ project_id = ["{PROJECT}"] }}', Scope.of(project_id=PROJECT)),
        (f'{{ project_id = "{PROJECT}", user_id = ["{USER}"] }}', Scope.of(project_id=PROJECT, user_id=USER)),
        (
            f'[{{ project_id = ["{PROJECT}"] }}, {{ user_id = ["{USER}"] }}]',
            Scope.any_of([Scope.of(project_id=PROJECT), Scope.of(user_id=USER)]),
        ),
    ],
)
def test_a_token_has_a_scope_an_expiry_and_a_rate(scope: str, expected: Scope) -> None:
    """A scope is everything, a table, or a list of tables."""
    text = f'[tokens.ci]\nhash = "{HASH}"\nscope = {scope}\nexpires = 2027-01-01T00:00:00Z\nrequests_per_s = 2.5'
    expiry = datetime(2027, 1, 1, tzinfo=UTC)
    assert (Token(name="ci", hash=HASH, scope=expected, expires=expiry, requests_per_s=2.5),) == read_tokens(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hash = ]", r"^not TOML \(at line 1"),
        ("other = 1", "expected only tables"),
        ("tokens = 1", "expected a table"),
        ("tokens.ci = 1", "tokens.ci: .*expected a table"),
        (f'[tokens.ci]\nhash = "{HASH}"', "tokens.ci: scope is missing"),
        (f"[tokens.ci]\n{EVERYTHING}", "tokens.ci: hash is missing"),
        (f'[tokens.ci]\nhash = "hunter2"\n{EVERYTHING}', "tokens.ci: hash must be sha256:"),
        (f'[tokens.statcore_hunter2]\nhash = "{HASH}"\n{EVERYTHING}', "the name of a token must"),
        (f'[tokens."a b"]\nhash = "{HASH}"\n{EVERYTHING}', "the name of a token must"),
        (f'[tokens.ci]\nhash = "{HASH}"\n{EVERYTHING}\n"hunter2" = 1', "a key that is not known"),
        *(
            (f'[tokens.ci]\nhash = "{HASH}"\nscope = {scope}', "tokens.ci: ")
            for scope in ('"all"', "[]", "{}", "{ project_id = [] }", '{ project_id = ["x"] }', "{ rack = 1 }", "[1]")
        ),
        *(
            (f'[tokens.ci]\nhash = "{HASH}"\nscope = {scope}', f"tokens.ci: scope: {message}")
            for secret in ("hunter2", HASH)
            for scope, message in (
                (f"'{secret}'", "expected a table, not str"),
                (f"{{ user_id = '{secret}' }}", "user_id must be a UUID such as "),
                (f"[{{ agent_id = 'i-1' }}, {{ project_id = ['{secret}'] }}]", "project_id must be a UUID such as "),
                (f"{{ agent_id = ['', '{secret}'] }}", "agent_id must be the id of an agent"),
                (f"{{ kernel_id = [['{secret}']] }}", "kernel_id must be a UUID such as "),
                (f"{{ '{secret}' = 1 }}", "it has a label that is not known"),
            )
        ),
        *(
            (f'[tokens.ci]\nhash = "{HASH}"\n{EVERYTHING}\nexpires = {expiry}', "expires must be a date-time with a zone")
            for expiry in ("2027-01-01T00:00:00", "2027-01-01", "5", '"2027-01-01T00:00:00Z"')
        ),
        *(
            (f'[tokens.ci]\nhash = "{HASH}"\n{EVERYTHING}\nrequests_per_s = {rate}', "requests_per_s must be")
            for rate in ("0", "-1", "nan", "inf", "true", '"1"')
        ),
        (f'[tokens.a]\nhash = "{HASH}"\n{EVERYTHING}\n[tokens.b]\nhash = "{HASH}"\n{EVERYTHING}', "a and b have the same"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    """The message names the token, and shows no secret and no hash."""
    with pytest.raises(InputError, match=message) as caught:
        read_tokens(text)
    shown = "".join(traceback.format_exception_only(caught.value))
    assert not any(secret in shown for secret in ("hunter2", HASH, HASH[7:]))


def test_a_token_is_found_by_its_secret(file: TokenFile) -> None:
    """Each secret has its own token; the scheme has no case, and a space may follow."""
    secrets = file.write(first=EVERYTHING, second=EVERYTHING)
    tokens = Tokens(str(file.path))
    assert secrets.keys() == {tokens.find(bearer(secret)).name for secret in secrets.values()}
    assert "first" == tokens.find(f"bearer {secrets['first']} ").name


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer statcore_x", "Bearer \udcff\u20ac"]
)
def test_another_secret_is_refused(header: str | None, file: TokenFile) -> None:
    """The answer is 401, and names the scheme."""
    file.write(ci=EVERYTHING)
    with pytest.raises(RefusedError) as caught:
        Tokens(str(file.path)).find(header)
    assert (401, 'Bearer realm="statcore"') == (caught.value.status, caught.value.headers["WWW-Authenticate"])


def test_a_secret_is_compared_with_every_token_in_constant_time(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an answer does not tell a secret that is nearly right from another."""
    secrets = file.write(first=EVERYTHING, second=EVERYTHING, third=EVERYTHING)
    tokens = Tokens(str(file.path))
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for secret in (secrets["first"], secrets["third"]):
        assert tokens.find(bearer(secret)).name in secrets
    with pytest.raises(RefusedError):
        tokens.find(bearer("statcore_unknown"))
    assert 3 * len(secrets) == compare.call_count


def test_an_expired_token_is_refused_as_an_unknown_one(file: TokenFile, caplog: pytest.LogCaptureFixture) -> None:
    """It works until the moment of its expiry; the log names it."""
    secret = file.write(ci=f"{EVERYTHING}\nexpires = {NOW.isoformat()}")["ci"]
    times = iter([NOW - timedelta(microseconds=1), NOW])
    tokens = Tokens(str(file.path), clock=lambda: next(times))
    assert "ci" == tokens.find(bearer(secret)).name
    with pytest.raises(RefusedError) as expired:
        tokens.find(bearer(secret))
    with pytest.raises(RefusedError) as unknown:
        tokens.find(bearer("statcore_unknown"))
    assert expired.value.document() == unknown.value.document()
    assert "ci" in caplog.text
    assert secret not in caplog.text


def test_tokens_are_rotated_and_revoked_without_a_restart(file: TokenFile) -> None:
    """The file is read again when it has changed."""
    old = file.write(ci=EVERYTHING, other=EVERYTHING)
    tokens = Tokens(str(file.path))
    new = file.write(ci=EVERYTHING)
    assert "ci" == tokens.find(bearer(new["ci"])).name
    for secret in old.values():
        with pytest.raises(RefusedError):
            tokens.find(bearer(secret))


def test_tokens_stay_valid_while_the_file_cannot_be_used(file: TokenFile, caplog: pytest.LogCaptureFixture) -> None:
    """A half written file locks nobody out; the log says what is wrong with it, and shows nothing of it."""
    secret = file.write(ci=EVERYTHING)["ci"]
    tokens = Tokens(str(file.path))
    text = file.path.read_text()
    for broken in (text[:-5], "hunter2", "\udcff"):
        file.path.write_text(broken, errors="surrogateescape")
        assert "ci" == tokens.find(bearer(secret)).name
    file.path.unlink()
    assert "ci" == tokens.find(bearer(secret)).name
    assert 4 == len(caplog.records)
    assert not any(text in caplog.text for text in (secret, secret_hash(secret), "hunter2"))


def test_a_missing_file_is_refused_at_the_start(file: TokenFile) -> None:
    """A service without tokens would be open or useless."""
    with pytest.raises(InputError, match="the file of tokens cannot be read: No such file"):
        Tokens(str(file.path))


def test_without_the_extra_tokens_work_and_the_rest_names_it() -> None:
    """`pip install statcore[cli]` is enough to make tokens."""
    program = """
import sys
for name in ("aiohttp", "strawberry", "prometheus_client"): sys.modules[name] = None
import statcore, statcore_web
print(statcore_web.secret_hash(statcore_web.new_secret())[:7])
try: from statcore_web import attach
except statcore.MissingExtraError as error: print(error.extra)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ["sha256:", "web"] == done.stdout.split(), done.stderr


def test_a_token_shows_no_hash() -> None:
    """Its `repr` may be in a log."""
    assert HASH not in repr(Token(name="ci", hash=HASH, scope=Scope.everything()))


def test_a_pipe_is_refused_as_a_file_of_tokens(tmp_path: Path) -> None:
    """To open one would wait for a writer, and it cannot be read again."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="regular file"):
        Tokens(str(pipe))
