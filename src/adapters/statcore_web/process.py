"""One process of the service: listens, serves an application until it is told to stop, and drains the open connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from statcore.concurrency import end_tasks
from statcore.errors import InputError, UnavailableError
from statcore_connection.files import FileValue
from statcore_connection.tls import load_certificate
from statcore_web.background import in_background
from statcore_web.connections import BACKLOG, Connections, allow_many_files
from statcore_web.limits import Limits

_logger: Final = logging.getLogger(__name__)

Announce: TypeAlias = Callable[[Literal["ready", "stopping"]], None]
"""Called once connections are accepted, and once the service begins to stop."""

_MAX_LINE_BYTES: Final = 64 * 1024
"""The longest request line and header: a query by GET is in the request line."""
_READ_S: Final = Limits().request_s
_IDLE_S: Final = 1.0
"""How long idle connections stay open after the stop: a request that is on its way is answered."""
_CLOSING_S: Final = 0.2
"""How long connections are kept after the socket is closed: other workers close it, too, before clients connect again."""
_CHECK_S: Final = 0.02
_CUT_OFF_S: Final = 0.5
"""How long a request that is cut off may take to end."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: a name or an address of this machine; `0.0.0.0` or `::` for all of its addresses.
        port: the port; 0 takes a free port.

    Raises:
        InputError: the host is not a name or an address.
        UnavailableError: the port is taken, may not be used, or this machine does not have the address.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise InputError(f"cannot listen on host {host!r:.100}: expected the name or the address of this machine") from None
    try:
        # Without dualstack_ipv6, "::" would leave out the IPv4 addresses of this machine.
        dualstack = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)
    except OSError as error:
        message = f"cannot listen on port {port} of host {host}: {os.strerror(error.errno or 0)}"
        raise UnavailableError(message, service=where) from error


def is_loopback(listener: socket.socket) -> bool:
    """Return whether only this machine can connect to a listening socket."""
    return ip_address(listener.getsockname()[0]).is_loopback


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def server_tls(cert_file: str, key_file: str | None) -> ssl.SSLContext:
    """Return the TLS context of a server, whose certificate is read again when its file changes.

    Args:
        cert_file: the path of the certificate and its chain, in PEM.
        key_file: the path of its key; None if the key is in the `cert_file`.

    Raises:
        InputError: a file cannot be used; the message names the setting.
    """
    files = [file for file in (cert_file, key_file) if file is not None]
    contexts = FileValue(files, partial(_context, cert_file, key_file))
    context = contexts.current()

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = contexts.current()

    context.sni_callback = choose  # OpenSSL calls it for each new connection
    return context


async def serve_until_stopped(
    app: web.Application,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    drain_s: float,
    announce: Announce,
    read_s: float = _READ_S,
) -> None:
    """Serve an application until an event is set; then finish the running requests.

    A connection is closed if its client sends no whole request, or does not read its response; see `Connections`.

    After the stop no connection is accepted, and each open connection is closed after its next response, or after a second
    without a request. Requests that run longer than `drain_s`, or until the event is set again, are cut off.

    Args:
        app: the application, which is started here and has ended at the end.
        listener: the listening socket, which is closed at the end.
        stop: the event.
        tls: the TLS context; None for plain HTTP.
        drain_s: how long running requests may take after the stop, in seconds.
        announce: called once connections are accepted, and at the stop.
        read_s: the time over which it is measured how fast a client reads its response, in seconds; see `Connections`.
    """
    allow_many_files()
    draining = False

    async def close_after_response(_: web.Request, response: web.StreamResponse) -> None:
        if draining:
            response.force_close()
            response.headers["Connection"] = "close"  # this hook runs after aiohttp has set its own headers

    async def drain() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while connections.number:
            duration_s = loop.time() - start
            if duration_s > drain_s or (duration_s > _IDLE_S and not connections.unfinished):
                return
            await asyncio.sleep(_CHECK_S)

    app.on_response_prepare.append(close_after_response)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_http_logger(),
        handler_cancellation=True,
        shutdown_timeout=_CUT_OFF_S,
        max_line_size=_MAX_LINE_BYTES,
    )
    connections = Connections(runner, listener, tls, read_s)
    app.middlewares.insert(0, connections.count)
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await stack.enter_async_context(connections.accepting())
        await stack.enter_async_context(in_background(connections.close_unused(), name="closing unused connections"))
        gc.collect()
        gc.freeze()  # later collections, which delay requests, leave out modules and plugins
        announce("ready")
        await stop.wait()
        announce("stopping")
        stop.clear()
        await connections.stop_accepting()
        await asyncio.sleep(_CLOSING_S)
        draining = True
        ending = [asyncio.ensure_future(drain()), asyncio.ensure_future(stop.wait())]
        try:
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(ending)
        if number := connections.unfinished:
            _logger.warning("%d requests were not finished and are cut off", number)


def _http_logger() -> logging.Logger:
    """Return the logger for what aiohttp says about requests."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_fault_of_service)
    return logger


def _is_fault_of_service(record: logging.LogRecord) -> bool:
    """Return whether aiohttp logs an error that a client has not caused; another is logged here, without a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError | web.RequestPayloadError):
        return True
    # Its text quotes the request, in which there may be a secret.
    _logger.info("a request cannot be read: %s", type(error).__name__)
    return False


def _context(cert_file: str, key_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificate(context, cert_file, key_file)
    return context


def notify_systemd(state: str) -> None:
    """Send a state such as `READY=1` to systemd, where it has started this process as a unit of `Type=notify`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.connect(address)
            notifications.sendall(state.encode())
    except OSError as error:
        _logger.warning("cannot notify systemd: %s", error)
