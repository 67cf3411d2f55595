"""Tokens: who a caller is, and what the caller may see. They are in a TOML file, which is read again when it changes.

The file has the hashes of secrets and not the secrets. No error and no `repr` shows a secret or a hash.

    [tokens.ci]
    hash = "sha256:…"                       # of `secret_hash`
    scope = { project_id = ["6f1b3c9e-…"] } # or "everything", or a list of such tables, of which any may allow an object
    expires = 2027-01-01T00:00:00Z          # optional
    requests_per_s = 20                     # optional
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import attrs
from attrs.validators import optional

from statcore.errors import InputError
from statcore.model.validation import read_toml, shown, toml_table
from statcore.queriers.container import OWNER_LABELS
from statcore.scopes import Scope
from statcore_connection.files import FileValue, reason
from statcore_web.refusal import RefusedError

_logger: Final = logging.getLogger(__name__)

_PREFIX: Final = "statcore_"
"""Begins every secret, so that scanners of source code find one that is committed."""
_SECRET_BYTES: Final = 32
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_EVERYTHING: Final = "everything"
_KEYS: Final = ("hash", "scope", "expires", "requests_per_s")


def new_secret() -> str:
    """Return a new secret: `statcore_` and 256 random bits as text."""
    return _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def secret_hash(secret: str) -> str:
    """Return what the file of tokens holds of a secret: `sha256:` and 64 hexadecimal digits.

    A secret of 256 random bits cannot be guessed, so the hash needs no salt and may be fast.
    """
    return "sha256:" + hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _check_name(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None or value.startswith(_PREFIX):
        raise InputError(  # the name is not shown: it may be a misplaced secret
            f"the {field.name} of a token must have at most 64 letters, digits, dots, hyphens and underscores, "
            f"and must not begin with {_PREFIX}, as secrets do"
        )


def _check_hash(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise InputError(f"{field.name} must be sha256: and 64 hexadecimal digits, as `statcore token new` writes it")


def _check_zone(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InputError(f"{field.name} must be a date-time with a zone, such as 2027-01-01T00:00:00Z, not {shown(value)}")


def _check_rate(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1_000_000:  # noqa: PLR2004
        raise InputError(f"{field.name} must be a number above zero, at most 1000000, not {shown(value)}")


@attrs.frozen(kw_only=True)
class Token:
    """One token.

    Args:
        name: what logs and metrics call it.
        hash: the hash of its secret, of `secret_hash`.
        scope: what its bearer may see.
        expires: when it stops working, aware; None for never.
        requests_per_s: how many requests it may make in a second on average; None for any number.

    Raises:
        InputError: a value cannot be used; the message names it.
    """

    name: str = attrs.field(validator=_check_name)
    hash: str = attrs.field(validator=_check_hash, repr=False)
    scope: Scope
    expires: datetime | None = attrs.field(default=None, validator=optional(_check_zone))
    requests_per_s: float | None = attrs.field(default=None, validator=optional(_check_rate))


class Tokens:
    """The tokens of a file. While a changed file cannot be used, the tokens that were read before stay valid.

    Args:
        path: the path of the file.
        clock: returns the time, aware, by which tokens expire.

    Raises:
        InputError: the file cannot be used.
    """

    def __init__(self, path: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Read the file for the first time."""
        self._clock = clock
        self._file = FileValue([path], lambda: read_token_file(path))

    def current(self) -> tuple[Token, ...]:
        """Return the tokens of the file as it is now."""
        return self._file.current()

    def find(self, authorization: str | None) -> Token:
        """Return the token of a request, and read the file again if it has changed.

        Args:
            authorization: the header `Authorization` of the request: `Bearer`, a space, and the secret.

        Raises:
            RefusedError: status 401: there is no such token, or it has expired. Clients cannot see which.
        """
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            _refuse("this service needs a token in the header Authorization: Bearer …")
        hash_ = secret_hash(secret.strip())
        matching = [token for token in self.current() if hmac.compare_digest(token.hash, hash_)]
        if not matching:
            _refuse("the token is not valid; get a new one from the operator")
        (token,) = matching
        if token.expires is not None and token.expires <= self._clock():
            _logger.warning("token %s was used, but expired at %s", token.name, token.expires.isoformat())
            _refuse("the token is not valid; get a new one from the operator")
        return token


def read_tokens(text: str) -> tuple[Token, ...]:
    """Read the text of a file of tokens.

    Raises:
        InputError: the text is not TOML, a token cannot be used, or two have the same secret; the message names the token.
    """
    try:
        document = read_toml(text)
    except InputError as error:
        position = re.search(r"at line \d+, column \d+", str(error))  # the rest of the message may quote the text
        raise InputError(f"not TOML{f' ({position[0]})' if position else ''}") from None
    if document.keys() - {"tokens"}:
        raise InputError("expected only tables [tokens.NAME]")
    tables = toml_table(document.get("tokens", {}), "tokens")
    tokens = tuple(_read_token(name, table) for name, table in tables.items())
    names: dict[str, str] = {}
    for token in tokens:
        if token.hash in names:
            raise InputError(f"tokens {names[token.hash]} and {token.name} have the same hash; make a secret for each")
        names[token.hash] = token.name
    return tokens


def read_token_file(path: str) -> tuple[Token, ...]:
    """Read a file of tokens.

    Raises:
        InputError: the file cannot be read, or its text cannot be used.
    """
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would be read only once, and may never end
            raise InputError("it is not a regular file")  # noqa: TRY301 - told as the other errors of the file
        return read_tokens(Path(path).read_text(encoding="utf-8"))
    except InputError as error:
        raise InputError(f"the file of tokens cannot be used: {error}") from None
    except OSError as error:
        raise InputError(f"the file of tokens cannot be read: {reason(error)}") from None
    except ValueError:
        raise InputError("the file of tokens cannot be read: expected the path of a file with text in UTF-8") from None


def _read_token(name: str, table: object) -> Token:
    _check_name(None, attrs.fields(Token).name, name)
    try:
        return _from_table(name, toml_table(table, "the token"))
    except InputError as error:
        raise InputError(f"tokens.{name}: {error}") from None


def _from_table(name: str, table: Mapping[str, Any]) -> Token:
    if table.keys() - set(_KEYS):
        raise InputError(f"it has a key that is not known; known are {', '.join(_KEYS)}")
    if missing := [key for key in ("hash", "scope") if key not in table]:
        raise InputError(f"{missing[0]} is missing")
    return Token(
        name=name,
        hash=table["hash"],
        scope=_read_scope(table["scope"]),
        expires=table.get("expires"),
        requests_per_s=table.get("requests_per_s"),
    )


def scope_value(scope: Scope) -> str | list[dict[str, list[str]]]:
    """Return what the file of tokens holds of a scope: "everything", or a table of allowed values for each alternative."""
    if scope.is_everything:
        return _EVERYTHING
    tables = [{label: sorted(values) for label, values in conditions} for conditions in scope.alternatives]
    return sorted(tables, key=lambda table: [*table.items()])


def _read_scope(value: object) -> Scope:
    if value == _EVERYTHING:
        return Scope.everything()
    alternatives = cast("list[object]", value) if isinstance(value, list) else [value]
    return Scope.any_of([_read_alternative(toml_table(alternative, "scope")) for alternative in alternatives])


def _read_alternative(table: Mapping[str, Any]) -> Scope:
    if table.keys() - set(OWNER_LABELS):
        raise InputError(f"scope: it has a label that is not known; known are {', '.join(OWNER_LABELS)}")
    for label in filter(table.__contains__, OWNER_LABELS):
        try:
            Scope.of(**{label: table[label]})
        except InputError:  # its message quotes the value, which may be a secret in the wrong place
            kind = "the id of an agent" if label == "agent_id" else "a UUID such as 6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11"
            raise InputError(f"scope: {label} must be {kind}, or a list of such, in quotes") from None
    return Scope.of(**table)


def _refuse(message: str) -> NoReturn:
    raise RefusedError(401, "UnauthenticatedError", message, headers={"WWW-Authenticate": 'Bearer realm="statcore"'})
