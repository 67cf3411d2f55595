"""Changes of the file of tokens: what stays, what is refused, and that no change is lost."""

from __future__ import annotations

import fcntl
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.scoped_world import scopes

from statcore.errors import InputError, TimedOutError
from statcore.scopes import Scope
from statcore_web import Token, new_secret, secret_hash, token_file
from statcore_web.token_file import add_token, remove_token
from statcore_web.tokens import read_token_file

COMMENTED: Final = f"""\
# All of the site's tokens.

# of the build
[tokens.ci]
hash = "{secret_hash("ci")}" # ours
scope = "everything"
# expires = 2027-01-01T00:00:00Z

# of the people who watch
# the dashboard
[tokens."dash.board"]
scope = [ # two projects
    {{ project_id = ["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"] }},
    # a comment among the values
    {{ user_id = ["0d9b4a0e-6c1f-4a9b-8a40-b2b1c1d2e3f4"] }},
]
hash = "{secret_hash("dash")}"

[tokens.last]
hash = "{secret_hash("last")}"
[tokens.last.scope] # a table of its own
project_id = ["6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"]
# the end
"""


def token_of(name: str, **values: Any) -> Token:
    """Return a token with a secret of its own that sees everything."""
    return Token(**{"name": name, "hash": secret_hash(new_secret()), "scope": Scope.everything(), **values})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a file that is not written yet."""
    return tmp_path / "tokens.toml"


@given(
    scope=st.one_of(st.just(Scope.everything()), scopes(), st.text(min_size=1).map(lambda text: Scope.of(agent_id=text))),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(lambda n: not n.startswith("statcore_")),
    expires=st.none() | st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - given one
    requests_per_s=st.none() | st.floats(0, 1_000_000, exclude_min=True) | st.integers(1, 1_000_000),
)
def test_a_token_that_is_added_is_read_again_and_removed_without_a_trace(
    scope: Scope,
    name: str,
    expires: datetime | None,
    requests_per_s: float | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The text of the other tokens and the comments is the same as before."""
    file = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    file.write_text(COMMENTED)
    before = read_token_file(str(file))
    token = token_of(name, scope=scope, expires=expires, requests_per_s=requests_per_s)
    assume(name not in {known.name for known in before})
    add_token(str(file), token)
    assert (*before, token) == read_token_file(str(file))
    assert file.read_text().startswith(COMMENTED)
    remove_token(str(file), name)
    assert COMMENTED == file.read_text()


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("ci", COMMENTED[COMMENTED.index("\n# of the build") : COMMENTED.index("# expires")]),
        ("dash.board", COMMENTED[COMMENTED.index("\n# of the people") : COMMENTED.index("\n[tokens.last]")]),
        ("last", COMMENTED[COMMENTED.index("\n[tokens.last]") : COMMENTED.index("# the end")]),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_a_removed_token_and_the_comment_above_it_go(name: str, removed: str, newline: str, file: Path) -> None:
    """Every other line stays, with its order and its line break."""
    file.write_text(COMMENTED, newline=newline)
    others = [token for token in read_token_file(str(file)) if token.name != name]
    remove_token(str(file), name)
    assert others == list(read_token_file(str(file)))
    assert COMMENTED.replace(removed, "", 1).replace("\n", newline).encode() == file.read_bytes()


def test_a_new_file_is_for_its_owner_alone(file: Path) -> None:
    """Its mode does not depend on the mask of the process."""
    mask = os.umask(0)
    try:
        add_token(str(file), token_of("ci"))
    finally:
        os.umask(mask)
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_a_changed_file_keeps_its_mode_and_owner_and_the_link_to_it(file: Path, tmp_path: Path) -> None:
    """The service, which runs as another user, can read it as before."""
    file.touch()
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 12345, 23456)
    before = file.stat()
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    add_token(str(link), token_of("ci"))
    after = file.stat()
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
    assert before.st_ino != after.st_ino  # a reader that has opened the old file reads it to its end
    assert link.is_symlink()
    assert [file, link] == sorted(tmp_path.iterdir(), reverse=True)


def test_writers_at_the_same_time_lose_no_token(file: Path) -> None:
    """Each process adds tokens to the same file."""
    names = {f"token-{number}" for number in range(40)}
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as processes:
        for done in [processes.submit(add_token, str(file), token_of(name)) for name in names]:
            done.result(60)
    assert names == {token.name for token in read_token_file(str(file))}


def test_a_writer_that_does_not_end_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for it has a deadline, and nothing is written."""
    monkeypatch.setattr(token_file, "_LOCK_TIMEOUT_S", 0.05)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(TimedOutError, match="another process"):
            add_token(str(file), token_of("ci"))
    finally:
        os.close(folder)
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COMMENTED, "there is a token ci already"),
        ("tokens = 1", "expected a table"),
        ("[tokens.ci", "not TOML"),
        ('tokens = { other = { hash = "sha256:' + "0" * 64 + '", scope = "everything" } }', "edit it by hand"),
        ("\udcff", "text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_changed_stays(text: str, message: str, file: Path) -> None:
    """The error says why, and shows nothing of the file."""
    file.write_text(text, errors="surrogateescape")
    before = file.read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        add_token(str(file), token_of("ci"))
    assert before == file.read_bytes()
    assert "sha256" not in str(caught.value)
    assert [file] == list(file.parent.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        '[tokens]\nci = { hash = "HASH", scope = "everything" }\n',
        'tokens.ci.hash = "HASH"\ntokens.ci.scope = "everything"\n',
    ],
)
def test_a_token_without_a_header_is_not_removed(text: str, file: Path) -> None:
    """The file stays, and the error says to edit it."""
    text = text.replace("HASH", secret_hash("ci"))
    file.write_text(text)
    with pytest.raises(InputError, match="edit it by hand"):
        remove_token(str(file), "ci")
    assert text == file.read_text()


def test_an_unknown_name_is_refused_and_not_shown(file: Path) -> None:
    """It may be a secret."""
    file.write_text(COMMENTED)
    with pytest.raises(InputError, match="no token has this name") as caught:
        remove_token(str(file), "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", ["/dev/null", ".", "missing/tokens.toml", "nul\0l", "circle.toml"])
def test_what_is_no_file_is_not_replaced(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device, a folder, a file in a folder that is missing, and a link to itself."""
    monkeypatch.chdir(tmp_path)
    Path("circle.toml").symlink_to("circle.toml")
    with pytest.raises(InputError, match="the file of tokens cannot be changed"):
        add_token(path, token_of("ci"))
    assert [tmp_path / "circle.toml"] == list(tmp_path.iterdir())


def test_a_change_that_cannot_be_written_leaves_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for example."""
    file.write_text(COMMENTED)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        add_token(str(file), token_of("new"))
    assert COMMENTED == file.read_text()
    assert [file] == list(file.parent.iterdir())
