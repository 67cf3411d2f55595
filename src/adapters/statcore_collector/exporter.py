"""The HTTP endpoint that Prometheus scrapes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector as PrometheusCollector

from statcore.errors import InputError, UnavailableError
from statcore_collector.collector import Collector

_HIGHEST_PORT: Final = 65_535


class _Families(PrometheusCollector):
    """What the collector has now, as prometheus_client wants it; every series is a gauge on the wire."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for name, labels, value in self._collector.samples():
            family = families.setdefault(name, Metric(name, "Raw values; counters are cumulative.", "gauge"))
            family.add_sample(name, dict(labels), value)
        yield from families.values()


class Exporter:
    """A running endpoint: `/metrics` on `host` and `port`, served by a thread until it is closed."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        """Take over a server that its thread is serving."""
        self._server = server
        self._thread = thread
        self.host = str(server.server_address[0])
        self.port = server.server_port

    @property
    def address(self) -> str:
        """Host and port, as Prometheus wants a target."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """Stop serving and wait for the thread, half a second at most; closing twice is allowed."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def start_exporter(collector: Collector, *, host: str = "127.0.0.1", port: int = 0) -> Exporter:
    """Serve what a collector has found last, in a registry of its own.

    Args:
        collector: asked anew with every scrape.
        host: the address to listen on.
        port: 0 takes a free one.

    Raises:
        UnavailableError: the port is taken, or this machine has no such address.
        InputError: no such port can exist.
    """
    if not 0 <= port <= _HIGHEST_PORT:
        raise InputError(f"metrics port must be from 0 to {_HIGHEST_PORT}, not {port}")
    registry = CollectorRegistry()
    registry.register(_Families(collector))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UnavailableError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}", service=f"{host}:{port}"
        ) from error
    return Exporter(server, thread)
