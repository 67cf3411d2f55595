"""Limits: how large a request may be, how long it may take, and how many requests of a token may run at once."""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Self, TypeVar

import attrs

from statcore.concurrency import Deadline, deadlines_within
from statcore.model.validation import check_count, check_seconds, check_whole_number, from_settings
from statcore.promql import MAX_POINTS
from statcore_graphql.request_loaders import MAX_IDS
from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS

_T = TypeVar("_T")

_MIB: Final = 1024 * 1024
_request: Final[ContextVar[Deadline | None]] = ContextVar("statcore_request", default=None)
_REST_SHARE: Final = 0.05
"""The share of the remaining time of a request that a call of a port leaves for the answer."""


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of requests. An error has the name of its limit in `extensions.limit`, and so has the metric.

    Args:
        body_bytes: the size of a request: its body, or its query string. A server's own limit of a request line may be
            lower; that of aiohttp is 8,190 bytes, and that of `statcore serve` is 64 KiB.
        response_bytes: the size of the body of a response.
        depth: how deeply the fields of a query may be nested.
        aliases: how many aliases a query may have.
        tokens: how many tokens the text of a query may have.
        ids: how many objects and ids a query may list and load, counted together.
        points: how many points each series of an answer may have.
        concurrent_requests: how many requests of one token, or of all callers without one, may run at once.
        request_s: how long a request may take, its body included, in seconds. A call of the store or the metric backend
            ends shortly before, so that one that hangs costs only the fields that need it. In `statcore serve`, a client
            must also read 64 KiB a second of a response that waits for it, measured over this time.

    Raises:
        InputError: a limit cannot be used; the message names it.
    """

    body_bytes: int = attrs.field(default=_MIB, validator=check_count)
    response_bytes: int = attrs.field(default=64 * _MIB, validator=check_count)
    depth: int = attrs.field(default=MAX_DEPTH, validator=check_count)
    aliases: int = attrs.field(default=MAX_ALIASES, validator=check_count)
    tokens: int = attrs.field(default=MAX_TOKENS, validator=check_count)
    ids: int = attrs.field(default=MAX_IDS, validator=check_count)
    points: int = attrs.field(default=MAX_POINTS, validator=check_whole_number(1, MAX_POINTS))
    concurrent_requests: int = attrs.field(default=64, validator=check_count)
    request_s: float = attrs.field(default=30.0, validator=check_seconds)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], /) -> Self:
        """Build the limits from settings by name, as a table of a TOML file gives them.

        Raises:
            InputError: a setting that is not known, or a value that cannot be used; the message names it.
        """
        return from_settings(cls, settings, adapter="limits")


@contextmanager
def request_ends_with(deadline: Deadline) -> Generator[None]:
    """Let `within_request` know within the block when the request ends."""
    before = _request.set(deadline)
    try:
        yield
    finally:
        _request.reset(before)


async def within_request(call: Awaitable[_T], *, port: str) -> _T:
    """Return the result of a call of a port, whose deadlines end shortly before the request that makes it.

    Raises:
        TimedOutError: the port has not ended by itself.
    """
    request = _request.get()
    if request is None:
        return await call
    remaining_s = request.remaining_s()
    async with Deadline(remaining_s * (1 - _REST_SHARE / 2), waiting_for=f"{port} to answer"):
        with deadlines_within(remaining_s * (1 - _REST_SHARE)):
            return await call
