"""Changes of the file of tokens: a token is added or removed, and everything else in the file stays as it is.

A change is made to the text, because libraries that edit TOML count a comment above a table as part of the table before it.
The changed text is written only if it has the expected tokens. A reader sees the old file or the new one, never a part.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import UTC
from pathlib import Path
from tempfile import mkstemp
from time import monotonic, sleep
from typing import Final

from statcore.errors import InputError, TimedOutError
from statcore.model.validation import read_toml
from statcore.scopes import Scope
from statcore_connection.files import reason
from statcore_web.tokens import Token, read_tokens, scope_value

_LOCK_TIMEOUT_S: Final = 10.0
_LOCK_PAUSE_S: Final = 0.02
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def add_token(path: str, token: Token) -> None:
    """Add a token at the end of the file, which is made with mode 0600 if it does not exist.

    Raises:
        InputError: the file cannot be used or written, or has a token of this name or with this secret.
        TimedOutError: another process is changing the file.
    """
    with _changing(path) as file:
        text = _read(file, missing="")
        tokens = read_tokens(text)
        if any(token.name == known.name for known in tokens):
            raise InputError(f"there is a token {token.name} already; take another name, or revoke that token first")
        _write(file, _with(text, token), expected=[*tokens, token])


def remove_token(path: str, name: str) -> None:
    """Remove a token, with the comment directly above its table.

    Raises:
        InputError: the file cannot be used or written, or has no token of this name.
        TimedOutError: another process is changing the file.
    """
    with _changing(path) as file:
        text = _read(file)
        tokens = read_tokens(text)
        others = [token for token in tokens if token.name != name]
        if len(others) == len(tokens):  # the name is not shown: it may be a misplaced secret
            raise InputError("no token has this name; `statcore token list` shows the names")
        _write(file, _without(text, name), expected=others)


@contextmanager
def _changing(path: str) -> Generator[Path]:
    """Yield the real path of the file, while no other process changes a file of its folder."""
    try:
        file = Path(path).resolve()  # a symbolic link stays, and the file that it names is replaced
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(folder)
            yield file
            os.fsync(folder)
        finally:
            os.close(folder)  # ends the lock
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"the file of tokens cannot be changed: {reason(error)}") from None
    except (ValueError, RuntimeError):  # a null byte, bytes that are not UTF-8, links in a circle
        raise InputError("the file of tokens cannot be changed: expected the path of a file with text in UTF-8") from None


def _lock(folder: int) -> None:
    deadline = monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= deadline:
                message = "the file of tokens is being changed by another process; try again"
                raise TimedOutError(message, timeout_s=_LOCK_TIMEOUT_S) from None
            sleep(_LOCK_PAUSE_S)
        else:
            return


def _read(file: Path, *, missing: str | None = None) -> str:
    if missing is not None and not file.exists():
        return missing
    if not stat.S_ISREG(file.stat().st_mode):
        raise InputError("the file of tokens cannot be changed: it is not a regular file")
    return file.read_bytes().decode()  # line breaks stay as they are


def _write(file: Path, text: str, *, expected: Iterable[Token]) -> None:
    """Replace the file, which keeps its mode and owner."""
    try:
        is_as_expected = set(expected) == set(read_tokens(text))
    except InputError:
        is_as_expected = False
    if not is_as_expected:
        raise InputError("the file of tokens is written in a way that this program cannot change; edit it by hand")
    descriptor, new = mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as opened:  # noqa: PTH123 - a descriptor
            with suppress(FileNotFoundError):
                found = file.stat()
                os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            opened.write(text.encode())
            opened.flush()
            os.fsync(descriptor)
        Path(new).replace(file)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _with(text: str, token: Token) -> str:
    key = token.name if _BARE_KEY.fullmatch(token.name) else f'"{token.name}"'
    lines = [f"[tokens.{key}]", f'hash = "{token.hash}"', f"scope = {_scope_toml(token.scope)}"]
    if token.expires is not None:
        lines.append(f"expires = {token.expires.astimezone(UTC).isoformat().replace('+00:00', 'Z')}")
    if token.requests_per_s is not None:
        lines.append(f"requests_per_s = {repr(token.requests_per_s).removesuffix('.0')}")
    if text and not text.endswith("\n"):
        text += "\n"
    if text.strip():
        text += "\n"
    return text + "\n".join([*lines, ""])


def _scope_toml(scope: Scope) -> str:
    value = scope_value(scope)
    if isinstance(value, str):
        return _quoted(value)
    tables = [
        ", ".join(f"{label} = [{', '.join(map(_quoted, values))}]" for label, values in table.items()) for table in value
    ]
    return f"{{ {tables[0]} }}" if len(tables) == 1 else f"[{', '.join(f'{{ {table} }}' for table in tables)}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _without(text: str, name: str) -> str:
    kept: list[str] = []
    between: list[str] = []  # the comments and blank lines since the last header or key
    removing = False
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            between.append(line)
            continue
        if line.lstrip().startswith("["):
            was_removing, removing = removing, _is_header_of(line, name)
            if removing and not was_removing:
                while between and between[-1].strip():  # a comment of the token
                    between.pop()
                kept += between[:-1]  # without the blank line above the token
        if not removing:
            kept += [*between, line]
        between = []
    return "\n".join([*kept, *between]).lstrip("\r\n")


def _is_header_of(line: str, name: str) -> bool:
    """Return whether a line is the header of the table of a token, or of a table within it."""
    try:
        tables = read_toml(line.strip()).get("tokens")
    except InputError:
        return False
    return isinstance(tables, dict) and name in tables
