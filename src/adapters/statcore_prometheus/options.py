"""The settings of the Prometheus adapter, checked; each error names the setting, and no `repr` shows a secret."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self, cast

import attrs
from attrs.validators import optional

from statcore.errors import InputError
from statcore.model.validation import (
    NOT_A_SETTING,
    check_count,
    check_line,
    check_mapping,
    check_seconds,
    check_truth,
    from_settings,
    read_only,
)
from statcore.promql.range_splitting import MAX_POINTS, MAX_RANGE_POINTS, MAX_RANGE_REQUESTS
from statcore.promql.utilization import NORMALIZATION_INTERVAL_S
from statcore_connection.tls import check_key_file

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS: Final = frozenset(
    ["accept-encoding", "content-encoding", "content-length", "content-type", "transfer-encoding"]
)

# Parameters that a call sets itself, or leaves out on purpose. `step` is allowed: some servers use it in instant queries.
_OWN_PARAMETERS: Final = frozenset(["end", "query", "start", "time"])


def _parameter_texts(_: object, attribute: attrs.Attribute[Any], value: Mapping[object, object]) -> None:
    if not all(_is_text(name) and _is_text(text) for name, text in value.items()):
        raise InputError(f"{attribute.name} must map names to texts without control characters, none of them empty")
    if own := sorted(_OWN_PARAMETERS.intersection(value)):
        raise InputError(f"{attribute.name} must not hold {', '.join(own)}, which each call sets itself")


def _urls(_: object, attribute: attrs.Attribute[Any], value: Sequence[object]) -> None:
    if not all(map(_is_text, value)):
        raise InputError(f"{attribute.name} must be a list of URLs")


def _header_texts(_: object, attribute: attrs.Attribute[Any], value: Mapping[object, object]) -> None:
    for name, text in value.items():
        _check_header_name(name, attribute.name)
        if not _is_text(text):
            raise InputError(f"{attribute.name}: {name} must be text without control characters, and not empty")


def _tenant_header(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    _check_header_name(value, attribute.name)
    if str(value).lower() == "authorization":
        raise InputError(f"{attribute.name} must not be {value}; give each tenant's credentials to a client of its own")


def _check_header_name(name: object, setting: str) -> None:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise InputError(f"{setting} holds a name that is not one of a header, such as X-Scope-OrgID")
    if name.lower() in _OWN_HEADERS:
        raise InputError(f"{setting} must not hold {name}, which the adapter sets itself")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _tuple(value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(cast("object", value), Sequence):
        raise InputError("fallback_urls must be a list of URLs")
    return tuple(value)


@attrs.frozen(kw_only=True)
class PrometheusOptions:
    """How to send requests to a Prometheus, or to a server with its API.

    Files are read again when they change. While a changed file cannot be used, such as a new certificate whose key is not
    written yet, its earlier content stays in use, and a warning is logged.

    Args:
        timeout_s: the deadline of a call in seconds, with all its requests and retries; the server gets it as a parameter.
        attempts: the most attempts of a request to a server that cannot be reached or cannot answer now. In each, aiohttp
            sends a GET once more if the connection is lost.
        fallback_urls: the other members of an HA pair; the next member gets the request when one fails, or takes more than
            an equal share of the remaining time.
        failback_s: the seconds until a call tries `url` first again, counted from when another member answered.
        username: the user of basic authentication; a URL may hold the user and the password instead.
        password: the password of basic authentication.
        password_file: the path of a file that holds the password.
        bearer_token: the token of an Authorization header.
        bearer_token_file: the path of a file that holds the token.
        headers: headers of every request, for example `X-Scope-OrgID`.
        tenant_header: the header in which `PrometheusClient.for_tenant` sends the tenant's name: by default that of Mimir
            and Cortex; Thanos expects `THANOS-TENANT`, unless it is started with `--query.tenant-header`.
        dedup: whether Thanos merges the series of replicas; None leaves it to the server.
        partial_response: whether Thanos may answer without the stores that fail; None leaves it to the server.
        parameters: parameters of every request that does not set them itself, for example `max_source_resolution` of
            Thanos; `query`, `time`, `start` and `end` are refused, since each call sets them.
        tls_ca_file: certificates to trust instead of the system's, PEM.
        tls_cert_file: the client certificate, PEM.
        tls_key_file: its key, PEM.
        tls_verify: whether the server's certificate is checked.
        gzip: whether answers may be compressed; None means yes, except over loopback, where it costs more than it saves.
        strict: whether an answer that is partial or has warnings is an error; of an HA pair, only if no member gives a
            complete answer. A list that is partial is an error without it, too; other warnings about a list are logged.
        max_answer_bytes: the most bytes of one answer, decompressed.
        max_points: the most points per series of one request; longer ranges are split.
        max_range_points: the most points per series of a range query in all its requests; a longer range is refused.
        max_range_requests: the most requests of a range query; a longer range is refused.
        max_connections: the most connections to one server at once; a session handed in has its own limit.
        normalization_interval_s: what `rate_normalized` divides by, 1 by default: the collection interval in seconds of
            agents that export amounts per interval instead of cumulative counters.
        clock: returns monotonic seconds, by which `failback_s` is counted; a file cannot set it.

    Raises:
        InputError: a setting cannot be used; the message names it.
    """

    timeout_s: float = attrs.field(default=30.0, validator=check_seconds)
    attempts: int = attrs.field(default=3, validator=check_count)
    fallback_urls: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=_urls, repr=False)
    failback_s: float = attrs.field(default=60.0, validator=check_seconds)
    username: str | None = attrs.field(default=None, validator=optional(check_line))
    password: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    password_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    bearer_token: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    bearer_token_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    headers: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=read_only, validator=[check_mapping, _header_texts], repr=False, hash=False
    )
    tenant_header: str = attrs.field(default="X-Scope-OrgID", validator=_tenant_header)
    dedup: bool | None = attrs.field(default=None, validator=optional(check_truth))
    partial_response: bool | None = attrs.field(default=None, validator=optional(check_truth))
    parameters: Mapping[str, str] = attrs.field(
        factory=dict[str, str], converter=read_only, validator=[check_mapping, _parameter_texts], repr=False, hash=False
    )
    tls_ca_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    tls_cert_file: str | None = attrs.field(default=None, validator=optional(check_line), repr=False)
    tls_key_file: str | None = attrs.field(default=None, validator=check_key_file, repr=False)
    tls_verify: bool = attrs.field(default=True, validator=check_truth)
    gzip: bool | None = attrs.field(default=None, validator=optional(check_truth))
    strict: bool = attrs.field(default=False, validator=check_truth)
    max_answer_bytes: int = attrs.field(default=256 * 2**20, validator=check_count)
    max_points: int = attrs.field(default=MAX_POINTS, validator=check_count)
    max_range_points: int = attrs.field(default=MAX_RANGE_POINTS, validator=check_count)
    max_range_requests: int = attrs.field(default=MAX_RANGE_REQUESTS, validator=check_count)
    max_connections: int = attrs.field(default=16, validator=check_count)
    normalization_interval_s: float = attrs.field(default=NORMALIZATION_INTERVAL_S, validator=check_seconds)

    clock: Callable[[], float] = attrs.field(default=time.monotonic, metadata=NOT_A_SETTING, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check the settings that depend on each other."""
        for name in sorted(self.engine_parameters.keys() & self.parameters.keys()):
            raise InputError(f"{name} is an option and among the parameters; set one of them")
        for text, file in (("password", "password_file"), ("bearer_token", "bearer_token_file")):
            if getattr(self, text) is not None and getattr(self, file) is not None:
                raise InputError(f"{text} and {file} exclude each other; set one of them")
        has_password = self.password is not None or self.password_file is not None
        if has_password and self.username is None:
            raise InputError("password is set but username is not")
        if self.username is not None and (":" in self.username or not has_password):
            raise InputError("username must not hold a colon, and needs password or password_file")
        if len(self.authentication) > 1:
            raise InputError("bearer_token, username and an Authorization among the headers exclude each other")

    @property
    def engine_parameters(self) -> dict[str, str]:
        """The parameters of `dedup` and `partial_response`, for each that is set."""
        options = {"dedup": self.dedup, "partial_response": self.partial_response}
        return {name: str(value).lower() for name, value in options.items() if value is not None}

    @property
    def authentication(self) -> list[str]:
        """The settings that are used to authenticate: username, bearer_token, headers."""
        ways = {
            "username": self.username is not None,
            "bearer_token": self.bearer_token is not None or self.bearer_token_file is not None,
            "headers": any(name.lower() == "authorization" for name in self.headers),
        }
        return [name for name, is_set in ways.items() if is_set]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Build options from settings by name, as a TOML table gives them.

        Raises:
            InputError: a setting does not exist or cannot be used; the message names it.
        """
        return from_settings(cls, settings, adapter="prometheus")
