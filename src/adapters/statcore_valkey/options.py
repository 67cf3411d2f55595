"""The settings of the Valkey store, checked; each error names the setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
from attrs.validators import optional

from statcore.model.validation import (
    check_count,
    check_line,
    check_seconds,
    check_truth,
    check_whole_number,
    from_settings,
)
from statcore_connection.tls import check_key_file

_MAX_DATABASE: Final = 2**31 - 1
_check_database: Final = check_whole_number(0, _MAX_DATABASE)


@attrs.frozen(kw_only=True)
class ValkeyOptions:
    """How to connect to a Valkey, and how to read its entries.

    Files are read again when they change, and new connections use the new content. While a changed file cannot be used,
    such as a new certificate whose key is not written yet, its earlier content stays in use, and a warning is logged.

    Args:
        timeout_s: the deadline of a call in seconds; it includes waiting for a connection, connecting, retries, and reading
            and checking the answer.
        pool_size: the most connections to a database of a server at once; further calls wait for a connection.
        statistics_db: the number of the database with statistics.
        live_db: the number of the database with the activity of sessions; on a cluster, which has only database 0, it must
            be set to 0. The keys of both kinds do not collide.
        freshness_s: read the age of every entry, and mark entries that are older than this many seconds *stale*, and
            entries of unknown age *undated*; with None no age is read. The age is computed from the remaining time to live,
            which costs one more command for each entry.
        ages: read the age of every entry even without `freshness_s`, and mark entries of unknown age *undated*.
        agent_interval_s: the collection interval that the agents are configured with, in seconds; without it the age of
            their entries is unknown.
        max_entry_bytes: larger entries are not decoded but reported as *oversized*. If such an entry has more than 1 MiB,
            the connection is closed before it has arrived, and the other entries are read again; this does not apply to
            clients that are handed in.
        read_from_replicas: read from replicas where a cluster or sentinels have any. A replica may be behind its primary by
            the time that replication takes, or by more while its link is down; the ages of entries show it. A key that a
            replica does not have is read from the primary. So are the keys of a replica that fails or takes longer than a
            fifth of the deadline, and for five seconds afterwards.
        password_file: the path of a file that holds the password, instead of one in the URL.
        sentinel_username: the name of the sentinels' ACL user; by default the sentinels need no user.
        sentinel_password_file: the path of a file that holds the password of the sentinels.
        tls_ca_file: certificates to trust instead of the system's, PEM; TLS itself comes from the URL.
        tls_cert_file: the client certificate, PEM.
        tls_key_file: its key, PEM.

    Raises:
        InputError: a setting cannot be used; the message names it.
    """

    timeout_s: float = attrs.field(default=5.0, validator=check_seconds)
    pool_size: int = attrs.field(default=16, validator=check_count)
    statistics_db: int = attrs.field(default=0, validator=_check_database)
    live_db: int = attrs.field(default=2, validator=_check_database)
    freshness_s: float | None = attrs.field(default=None, validator=optional(check_seconds))
    ages: bool = attrs.field(default=False, validator=check_truth)
    agent_interval_s: float | None = attrs.field(default=None, validator=optional(check_seconds))
    max_entry_bytes: int = attrs.field(default=256 * 1024, validator=check_count)
    read_from_replicas: bool = attrs.field(default=False, validator=check_truth)
    password_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    sentinel_username: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    sentinel_password_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    tls_ca_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    tls_cert_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    tls_key_file: str | None = attrs.field(default=None, validator=check_key_file, repr=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], /) -> Self:
        """Build options from settings by name, as a TOML table gives them.

        Raises:
            InputError: a setting does not exist or cannot be used; the message names it.
        """
        return from_settings(cls, settings, adapter="the Valkey store")


DEFAULTS: Final = ValkeyOptions()
