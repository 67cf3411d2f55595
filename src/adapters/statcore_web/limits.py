"""Limits: how large a request may be, how long it may take, and how many requests a token may make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from math import ceil
from time import monotonic
from typing import Any, Final, Self

import attrs

from statcore.model.validation import check_count, check_seconds, check_whole_number, from_settings
from statcore.promql import MAX_POINTS
from statcore_graphql.loaders import MAX_IDS
from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS
from statcore_web.refusal import RefusedError
from statcore_web.tokens import Token

_MIB: Final = 1024 * 1024


@attrs.frozen(kw_only=True)
class Limits:
    """The limits of requests. An error has the name of its limit in `extensions.limit`, and so has the metric.

    Args:
        body_bytes: the size of a request: its body, or its query string.
        response_bytes: the size of the body of a response.
        depth: how deeply the fields of a query may be nested.
        aliases: how many aliases a query may have.
        tokens: how many tokens the text of a query may have.
        ids: how many objects and ids a query may list and load, counted together.
        points: how many points each series of an answer may have.
        concurrent_requests: how many requests of one token, or of all callers without one, may run at once.
        request_s: how long a request may take, in seconds.

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


@attrs.define
class _Bucket:
    """The requests that a token may make at once; refilled at its rate, up to the requests of a second."""

    level: float
    filled_at: float


@attrs.define(eq=False)
class Admission:
    """Counts the running requests of each token and its rate, and refuses requests beyond its limits.

    Args:
        concurrent_requests: how many requests of one token may run at once.
        clock: returns seconds, and never goes back.
    """

    concurrent_requests: int
    clock: Callable[[], float] = monotonic
    _running: Counter[str | None] = attrs.field(factory=Counter[str | None], init=False)
    _buckets: dict[str, _Bucket] = attrs.field(factory=dict[str, _Bucket], init=False)

    @contextmanager
    def admit(self, token: Token | None) -> Generator[None]:
        """Count a request as running within the block.

        Args:
            token: the caller's; all callers without one are counted together, and have no rate.

        Raises:
            RefusedError: status 429: too many requests are running, or came within the last second.
        """
        name = None if token is None else token.name
        if self._running[name] >= self.concurrent_requests:
            message = f"{self.concurrent_requests} requests of this token are running already; wait for one of them"
            raise RefusedError(429, "LimitError", message, limit="concurrent_requests", headers={"Retry-After": "1"})
        if token is not None and token.requests_per_s is not None:
            self._take(token.name, token.requests_per_s)
        self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]

    def _take(self, name: str, rate: float) -> None:
        """Take a request out of a token's bucket."""
        now, most = self.clock(), max(rate, 1.0)
        bucket = self._buckets.setdefault(name, _Bucket(most, now))
        bucket.level = min(most, bucket.level + (now - bucket.filled_at) * rate)
        bucket.filled_at = now
        if bucket.level < 1:
            pause_s = ceil((1 - bucket.level) / rate)
            message = f"this token may make {rate:g} requests in a second; try again in {pause_s} s"
            raise RefusedError(429, "LimitError", message, limit="requests_per_s", headers={"Retry-After": f"{pause_s}"})
        bucket.level -= 1
