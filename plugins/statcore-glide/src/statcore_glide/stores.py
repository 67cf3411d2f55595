"""Readers and writers of statistics over glide clients, which a host holds or which are made for a URL."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, TypeAlias

from glide import (
    AdvancedGlideClientConfiguration,
    AdvancedGlideClusterClientConfiguration,
    ByAddressRoute,
    ClosingError,
    ConfigurationError,
    GlideClient,
    GlideClientConfiguration,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    Logger,
    LogLevel,
    NodeAddress,
    RandomNode,
    ServerCredentials,
    TlsAdvancedConfiguration,
)

from statcore import InputError
from statcore_glide.node import Client, GlideNode
from statcore_valkey import Address, Keyspace, ServerUrl, ValkeyOptions, ValkeyStatistics, ValkeyStatisticsSink

Pair: TypeAlias = tuple[Keyspace, Keyspace]

DEFAULTS: Final = ValkeyOptions()
_ATTEMPTS: Final = 4
"""How often a server is tried before the deadline of a call, if it never answers."""
_TLS_FILES: Final = ("tls_ca_file", "tls_cert_file", "tls_key_file")
_REFUSED_OPTIONS: Final = (
    "pool_size",
    "read_from_replicas",
    "password_file",
    "sentinel_username",
    "sentinel_password_file",
)
_USER: Final = "[user:password@]"
_FORM: Final = (
    f"expected glide://{_USER}host[:port][/database] or glide+cluster://{_USER}host[:port],…, each with glides for TLS"
)


def statistics_from_clients(statistics: Client, live: Client, /, *, options: ValkeyOptions = DEFAULTS) -> ValkeyStatistics:
    """Return a reader through a host's own glide clients; the host closes them.

    Args:
        statistics: a client of the database with the statistics of kernels, sessions, agents, endpoints and replicas.
        live: a client of the database with the activity of sessions; on a cluster the same client.
        options: deadlines, freshness and limits; options about connecting are ignored.

    Raises:
        InputError: a client of another kind; the message says what can be used.
    """
    return ValkeyStatistics.from_keyspaces(*_of_clients(statistics, live, options), options=options)


def sink_from_clients(statistics: Client, live: Client, /, *, options: ValkeyOptions = DEFAULTS) -> ValkeyStatisticsSink:
    """Return a writer through a host's own glide clients, as `statistics_from_clients` returns a reader.

    Raises:
        InputError: a client of another kind; the message says what can be used.
    """
    return ValkeyStatisticsSink.from_keyspaces(*_of_clients(statistics, live, options), options=options)


async def statistics_from_url(url: str, /, *, options: ValkeyOptions = DEFAULTS) -> ValkeyStatistics:
    """Return a reader of the servers at a URL; its clients connect when they are first used.

    Raises:
        InputError: the URL or an option cannot be used.
    """
    return ValkeyStatistics.from_keyspaces(*await _of_url(url, options), options=options)


async def sink_from_url(url: str, /, *, options: ValkeyOptions = DEFAULTS) -> ValkeyStatisticsSink:
    """Return a writer to the servers at a URL; its clients connect when they are first used.

    Raises:
        InputError: the URL or an option cannot be used.
    """
    return ValkeyStatisticsSink.from_keyspaces(*await _of_url(url, options), options=options)


def _of_clients(statistics: Client, live: Client, options: ValkeyOptions) -> Pair:
    clients: dict[str, object] = {"statistics": statistics, "live": live}  # callers may be untyped
    for name, client in clients.items():
        if not isinstance(client, GlideClient | GlideClusterClient):
            kind = f"{type(client).__module__}.{type(client).__qualname__}"
            raise InputError(f"{name} cannot be {kind}; expected glide.GlideClient or glide.GlideClusterClient")
    first = _keyspace(statistics, options)
    return first, first if live is statistics else _keyspace(live, options)


async def _of_url(url: str, options: ValkeyOptions) -> Pair:
    server = _server(url)
    numbers = server.databases(options)
    settings, advanced = _settings(server, options)
    Logger.init(LogLevel.OFF)  # glide writes to standard output, unless the host has set up its logger before
    try:
        if server.cluster:
            places = [NodeAddress(*address) for address in server.cluster]
            more = AdvancedGlideClusterClientConfiguration(**advanced)
            config = GlideClusterClientConfiguration(places, advanced_config=more, **settings)
            both = _keyspace(await GlideClusterClient.create(config), options, owned=True)
            return both, both
        first, second = [
            await GlideClient.create(
                GlideClientConfiguration(
                    [NodeAddress(*server.address)],
                    database_id=number,
                    advanced_config=AdvancedGlideClientConfiguration(**advanced),
                    **settings,
                )
            )
            for number in numbers
        ]
    except (ClosingError, ConfigurationError):
        raise InputError("glide refuses the options; expected tls_cert_file together with tls_key_file") from None
    return _keyspace(first, options, owned=True), _keyspace(second, options, owned=True)


def _keyspace(client: Client, options: ValkeyOptions, *, owned: bool = False) -> Keyspace:
    places = [Address(address.host, address.port) for address in client.config.addresses]
    names = ", ".join(map(str, places))
    if isinstance(client, GlideClient):
        service = f"Valkey at {names}, database {client.config.database_id or 0}, through glide"
        return Keyspace.of_one(GlideNode(client=client, service=service, owned=owned))

    def new_node(address: Address, _: bool) -> GlideNode:  # noqa: FBT001 - the keyspace calls it
        host = address.host or places[0].host
        service = f"Valkey at {address}, a node of a cluster, through glide"
        return GlideNode(client=client, service=service, route=ByAddressRoute(host, address.port))

    service = f"the Valkey cluster of {names}, through glide"
    any_server = GlideNode(client=client, service=service, route=RandomNode(), owned=owned)
    return Keyspace.of_cluster([], new_node, timeout_s=options.timeout_s, any_server=any_server)


def _server(url: str) -> ServerUrl:
    scheme, _, rest = url.partition(":")
    kind, _, many = scheme.lower().partition("+")
    if kind not in ("glide", "glides") or many not in ("", "cluster"):
        raise InputError(f"the URL of the glide store cannot be used; {_FORM}")
    try:
        return ServerUrl.from_url(f"{scheme.lower().replace('glide', 'valkey')}:{rest}")
    except InputError:
        raise InputError(f"the URL of the glide store cannot be used; {_FORM}") from None


def _settings(server: ServerUrl, options: ValkeyOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return glide's settings of a client, and its advanced settings.

    Raises:
        InputError: an option cannot be used.
    """
    if server.username and not server.password:
        raise InputError(f"the URL of the glide store has a user without a password; {_FORM}")
    for name in _REFUSED_OPTIONS:
        if getattr(options, name) != getattr(DEFAULTS, name):
            raise InputError(f"{name} cannot be used with glide; make a client with glide's own settings, and hand it in")
    timeout_ms = max(1, round(options.timeout_s * 1000 / _ATTEMPTS))
    settings = {
        "credentials": ServerCredentials(server.password, server.username) if server.password else None,
        "lazy_connect": True,  # connecting at once would stop the event loop
        "request_timeout": timeout_ms,
        "use_tls": server.tls,
    }
    return settings, {"connection_timeout": timeout_ms, "tls_config": _tls(server, options)}


def _tls(server: ServerUrl, options: ValkeyOptions) -> TlsAdvancedConfiguration | None:
    if not server.tls:
        for name in _TLS_FILES:
            if getattr(options, name) is not None:
                raise InputError(f"{name} needs TLS: a URL with glides://")
        return None
    certificates: bytes | None = None
    if options.tls_ca_file is not None:
        try:
            certificates = Path(options.tls_ca_file).read_bytes()
            ssl.create_default_context(cadata=certificates.decode())  # glide looks at them only when it connects
        except OSError as error:
            raise InputError(f"tls_ca_file cannot be used: {error.strerror}") from None
        except ValueError:
            raise InputError("tls_ca_file cannot be used: expected certificates in PEM") from None
    return TlsAdvancedConfiguration(
        root_pem_cacerts=certificates, client_cert_path=options.tls_cert_file, client_key_path=options.tls_key_file
    )
