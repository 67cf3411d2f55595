"""The HTTP server that Prometheus scrapes, with a health check."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector as PrometheusCollector

from statcore.errors import InputError, UnavailableError
from statcore_collector.collector import Collector

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_HIGHEST_PORT: Final = 65_535


class _MetricSource(PrometheusCollector):
    """Gives prometheus_client the collector's samples, every series as a gauge, and the collector's own metrics."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for name, labels, value in self._collector.samples():
            family = families.setdefault(name, Metric(name, "Raw values; counters are cumulative.", "gauge"))
            family.add_sample(name, dict(labels), value)
        yield from families.values()
        yield from self._own_metrics()

    def _own_metrics(self) -> Iterator[Metric]:
        health = self._collector.health
        rounds = CounterMetricFamily("statcore_collector_rounds", "Rounds that have ended.", labels=["outcome"])
        rounds.add_metric(["succeeded"], health.succeeded)
        rounds.add_metric(["failed"], health.failed)
        yield rounds
        yield SummaryMetricFamily(
            "statcore_collector_round_duration_seconds",
            "How long rounds took, from the first reading to the last write.",
            count_value=health.succeeded + health.failed,
            sum_value=health.duration_s,
        )
        failures = CounterMetricFamily(
            "statcore_collector_failures",
            "Failures in rounds: the machine cannot be read, an item cannot be read, the store cannot be written.",
            labels=["kind"],
        )
        for kind, count in health.failures.items():
            failures.add_metric([kind], count)
        yield failures
        if (age_s := self._collector.newest_age_s) is not None:
            yield GaugeMetricFamily(
                "statcore_collector_newest_sample_age_seconds", "How long ago the newest samples were taken.", age_s
            )


def _application(collector: Collector, metrics: WSGIApplication | None) -> WSGIApplication:
    """Return the WSGI application for all paths; `metrics` ignores the path, so it is called for /metrics only."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics" and metrics is not None:
            return metrics(environ, start_response)
        if path == "/healthz":
            problem = collector.problem()
            status, text = ("200 OK", "ok") if problem is None else ("503 Service Unavailable", problem)
        else:
            status, text = "404 Not Found", "not found; the paths are /metrics and /healthz"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    return answer


class Exporter:
    """A running HTTP server in a thread, until it is closed.

    Attributes:
        host: the address that it listens on.
        port: the port that it listens on.
    """

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        """Wrap a server and the thread that serves it."""
        self._server = server
        self._thread = thread
        self.host: str = str(server.server_address[0])
        self.port: int = server.server_port

    @property
    def address(self) -> str:
        """Host and port in the form of a Prometheus target."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """Stop serving and wait for the thread, at most half a second; closing twice is allowed."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def start_exporter(collector: Collector, *, host: str = "127.0.0.1", port: int = 0) -> Exporter:
    """Serve a collector's newest samples and its own metrics at `/metrics`, and its health at `/healthz`.

    `/healthz` answers 200, or 503 with the reason when the last round failed or is too long ago. The metrics have their own
    registry; metrics of the process that embeds the collector are not served.

    Args:
        collector: the collector, which is read for every request.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free port.

    Returns:
        The running server; the caller closes it.

    Raises:
        UnavailableError: the port is taken, or this machine does not have the address.
        InputError: the port is not from 0 to 65535, or the host is not a host name.
    """
    if not 0 <= port <= _HIGHEST_PORT:
        raise InputError(f"the port must be from 0 to {_HIGHEST_PORT}, not {port}")
    registry = CollectorRegistry()
    registry.register(_MetricSource(collector))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise UnavailableError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}", service=f"{host}:{port}"
        ) from error
    except UnicodeError:  # for example from a name that is too long
        raise InputError(f"cannot serve metrics on {host!r:.100}: expected the name or address of this machine") from None
    server.set_app(_application(collector, server.get_app()))
    return Exporter(server, thread)
