"""The two databases of the wire format, opened and closed together."""

from __future__ import annotations

from typing import Self

import attrs
from redis.asyncio import Redis

from statcore.errors import InputError
from statcore_connection.lifetime import Lifetime
from statcore_valkey.address import Address
from statcore_valkey.database import Database
from statcore_valkey.options import ValkeyOptions


@attrs.frozen(eq=False)
class Databases:
    """Statistics, and the live activity of sessions."""

    statistics: Database
    live: Database

    @classmethod
    def from_url(cls, url: str, /, *, options: ValkeyOptions) -> Self:
        """Return the databases that the options number, of the server at a URL; nothing is sent yet.

        Raises:
            InputError: the URL or an option cannot be used, or they contradict each other.
        """
        address = Address.from_url(url)
        if address.db not in (None, options.statistics_db):
            raise InputError(f"the URL names database {address.db}, but statistics_db is {options.statistics_db}")
        lifetime = Lifetime()
        statistics, live = address.pools(options.statistics_db, options.live_db, options=options)
        return cls(
            Database.own(statistics, options=options, lifetime=lifetime),
            Database.own(live, options=options, lifetime=lifetime),
        )

    @classmethod
    def from_clients(cls, statistics: Redis, live: Redis, /, *, options: ValkeyOptions) -> Self:
        """Return the databases that clients handed in talk to.

        Raises:
            InputError: one of them is not a client that can be used.
        """
        lifetime = Lifetime()
        return cls(
            Database.of(statistics, name="statistics", options=options, lifetime=lifetime),
            Database.of(live, name="live", options=options, lifetime=lifetime),
        )

    async def aclose(self) -> None:
        """Close what is ours."""
        try:
            await self.statistics.aclose()
        finally:
            await self.live.aclose()
