"""Browsers: which pages of other origins may read answers, and under which names of the service pages may reach it.

A browser sends the requests of any page to any server. It lets the page read the answer only if the page is of the same
origin, or if the answer allows its origin (CORS). A page can also make its own host name lead to a service on the browser's
machine (DNS rebinding), and is of the same origin then. So a service without tokens checks the header `Host`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from statcore.errors import InputError
from statcore_web.refusal import RefusedError

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names under which a service that listens on loopback is reached."""
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match, X-Request-Id, traceparent",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = "ETag, Retry-After, X-Request-Id"
_ORIGIN: Final = re.compile(r"(?P<scheme>https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
_PORTS: Final = {"http": "80", "https": "443"}
"""The port of each scheme, which browsers leave out."""


def read_origins(origins: Iterable[str]) -> frozenset[str]:
    """Check the origins that may read answers.

    Args:
        origins: such as `https://dashboard.example`: a scheme, a host, and a port that is not the scheme's own.

    Raises:
        InputError: a text is not an origin as browsers write it.
    """
    checked: set[str] = set()
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        if found is None or found["port"] == _PORTS[found["scheme"]]:
            raise InputError(f"expected an origin such as https://dashboard.example, not {origin!r:.200}")
        checked.add(origin)
    return frozenset(checked)


@attrs.frozen(kw_only=True)
class BrowserRules:
    """What pages of browsers may do.

    Args:
        origins: the other origins whose pages may read answers.
        hosts: the host names, without ports, that requests may name; None for any.
    """

    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] | None = None

    def check_host(self, request: web.Request) -> None:
        """Check the host name of a request.

        Raises:
            RefusedError: status 421: it is another one.
        """
        host = request.headers.get("Host")  # browsers always send it; without it, `request.host` would ask a name server
        if self.hosts is not None and host is not None and _host_name(host) not in self.hosts:
            message = (
                f"this service needs no token and answers only under {', '.join(sorted(self.hosts))}; "
                "start it with a file of tokens, or as insecure, to use it under other names"
            )
            raise RefusedError(421, "InputError", message)

    def allow(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page that has sent a request read the response, if its origin is allowed."""
        if not self.origins:
            return
        varying = response.headers.get("Vary")
        response.headers["Vary"] = f"{varying}, Origin" if varying else "Origin"
        origin = request.headers.get("Origin")
        if origin in self.origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED

    async def preflight(self, _: web.Request) -> web.Response:
        """Answer what a page may send; `allow` says whether it may."""
        return web.Response(status=204, headers=_PREFLIGHT)


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
