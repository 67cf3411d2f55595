"""Stand-ins for vLLM servers, which need accelerators: names, labels, buckets and the library that exports are theirs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)

from statcore.testing.servers import LOOPBACK

pytest_plugins = ["statcore.testing.fixtures"]
FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640),
    2560,
)
INTER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
REASONS = ("stop", "length", "abort", "error")


def serve_as_vllm(registry: CollectorRegistry) -> ThreadingHTTPServer:
    """Serve text to every request, as vLLM does: the library's own server would negotiate, and escape the colon."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer."""
            body = generate_latest(registry)
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class StandIn:
    """A server of one model with one or more engines.

    Args:
        model: its name.
        engines: how many engines there are.
        old: whether it has the names of before 0.9.2, and does not answer itself but through a server that negotiates.
    """

    def __init__(self, model: str, *, engines: int = 1, old: bool = False) -> None:
        """Serve zeros."""
        self.model = model
        self._engines = [str(number) for number in range(engines)]
        registry = CollectorRegistry()
        common: Mapping[str, Any] = {"labelnames": ("model_name", "engine"), "registry": registry}
        self._metrics: dict[str, Any] = {
            "running": Gauge("vllm:num_requests_running", "Requests in execution batches.", **common),
            "waiting": Gauge("vllm:num_requests_waiting", "Requests that wait.", **common),
            "cache": Gauge("vllm:gpu_cache_usage_perc" if old else "vllm:kv_cache_usage_perc", "1 is all.", **common),
            "prompt": Counter("vllm:prompt_tokens", "Prefill tokens.", **common),
            "generation": Counter("vllm:generation_tokens", "Generation tokens.", **common),
            "first": Histogram("vllm:time_to_first_token_seconds", "Times.", buckets=FIRST_TOKEN, **common),
            "inter": Histogram(
                "vllm:time_per_output_token_seconds" if old else "vllm:inter_token_latency_seconds",
                "Times.",
                buckets=INTER_TOKEN,
                **common,
            ),
            "request": Histogram("vllm:e2e_request_latency_seconds", "Times.", buckets=REQUEST, **common),
        }
        labels = (*common["labelnames"], "finished_reason")
        self._ended = Counter("vllm:request_success", "Ended requests.", labelnames=labels, registry=registry)
        for engine in self._engines:
            for metric in self._metrics.values():
                metric.labels(model, engine)
            for reason in REASONS:
                self._ended.labels(model, engine, reason)
        self._server = start_http_server(0, LOOPBACK, registry)[0] if old else serve_as_vllm(registry)
        self.address = f"{LOOPBACK}:{self._server.server_port}"

    def set(self, name: str, values: Sequence[float]) -> None:
        """Set a gauge, or add to a counter, of each engine."""
        for engine, value in zip(self._engines, values, strict=True):
            metric = self._metrics[name].labels(self.model, engine)
            (metric.set if isinstance(metric, Gauge) else metric.inc)(value)

    def observe(self, name: str, times_s: Sequence[float]) -> None:
        """Let the engines take turns in seeing times."""
        for number, time_s in enumerate(times_s):
            self._metrics[name].labels(self.model, self._engines[number % len(self._engines)]).observe(time_s)

    def end(self, requests: Mapping[str, int]) -> None:
        """End so many requests for each reason."""
        for reason, count in requests.items():
            self._ended.labels(self.model, self._engines[-1], reason).inc(count)

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def stand_ins() -> Iterator[dict[str, StandIn]]:
    """Two servers of one model, of which one has two engines; one of another; one that is idle; and an old one."""
    with ExitStack() as stack:
        servers = {
            "big": StandIn("acme/chat-70b", engines=2),
            "small": StandIn("acme/chat-70b"),
            "other": StandIn('acme/"code"\\7b'),
            "idle": StandIn("acme/chat-70b"),
            "old": StandIn("acme/chat-1b", old=True),
        }
        for server in servers.values():
            stack.callback(server.close)
        yield servers


@pytest.fixture(scope="session")
def bounds() -> dict[str, Sequence[float]]:
    """The bounds of the histograms."""
    return {"time_to_first_token": FIRST_TOKEN, "inter_token_latency": INTER_TOKEN, "request_latency": REQUEST}
