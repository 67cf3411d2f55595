"""Maps errors of valkey-glide to our most specific errors.

The text of a server may quote a command. Only texts with a known wording are shown.
"""

from __future__ import annotations

import re
from typing import Final

from glide import ClosingError, RequestError
from glide import TimeoutError as GlideTimeoutError

from statcore import ClosedError, StatcoreError, UnavailableError, UnsupportedError
from statcore_valkey import error_from_reply

_REPLY: Final = re.compile(r"(?:An error was signalled by the server: - ([A-Za-z]+)|([A-Z]+)): (.*)", re.DOTALL)
"""How glide writes an error that a server answered: some kinds by a name of its own, the others by the server's word."""
_WORDS: Final = {
    "AuthenticationFailed": "WRONGPASS",
    "BusyLoading": "LOADING",
    "BusyLoadingError": "LOADING",
    "PermissionDenied": "NOPERM",
    "ResponseError": "ERR",
}
"""The server's words for the names that are not the same word in other letters."""
_DENIED: Final = re.compile(r"\b(?:WRONGPASS|NOAUTH|NOPERM): .*", re.DOTALL)
"""An answer to the commands with which glide connects."""
_REDIRECTS: Final = ("ASK", "MOVED", "CROSSSLOT")
_REASONS: Final = re.compile(
    "timed out|Connection refused|Connection reset|Failed to create initial connections|No topology views found"
    "|invalid peer certificate: [A-Za-z]{1,32}"
)
"""Texts of glide about connections; they never quote a command."""


def from_driver(error: ClosingError | RequestError, /, *, service: str, user: str, is_cluster: bool) -> StatcoreError:
    """Return our error for an error that glide raised, or answered in the place of a command's answer.

    Args:
        error: the error.
        service: the server's address, without credentials.
        user: the name of the ACL user.
        is_cluster: whether the client is one of a cluster, which follows redirects.
    """
    text = str(error)
    if isinstance(error, ClosingError):
        return ClosedError(f"the client of {service} is closed; make a new one")
    if isinstance(error, GlideTimeoutError):
        return UnavailableError(f"{service} did not answer within the client's request_timeout", service=service)
    reply = _REPLY.fullmatch(text) or _REPLY.fullmatch(denied.group() if (denied := _DENIED.search(text)) else "")
    if reply is None:
        known = _REASONS.search(text)
        reason = known.group() if known else f"{type(error).__name__}, whose text is not shown"
        return UnavailableError(f"{service} cannot be reached: {reason}", service=service)
    name, word, rest = reply.groups()
    word = word or _WORDS.get(name, name.upper())
    if word not in _REDIRECTS:
        return error_from_reply(f"{word} {rest}", service=service, user=user)
    if is_cluster:
        return UnavailableError(
            f"{service} cannot answer now: the client does not reach the new owner of a key", service=service
        )
    return UnsupportedError(f"{service} is part of a cluster; expected a GlideClusterClient or a URL glide+cluster://…")
