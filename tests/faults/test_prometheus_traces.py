"""Traces: taken over from a request's headers, passed on to a server, and gone afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import aclosing, suppress

import pytest
from tests.faults.fake_prometheus import ANSWER, FakePrometheus, Reply

from statcore_connection import tracing
from statcore_connection.tracing import taking_over_trace, trace_headers, trace_id
from statcore_prometheus import PrometheusClient

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}


async def test_a_trace_is_passed_on_to_the_metric_backend(http_reply: Reply) -> None:
    """Its requests have the header within the trace, and none outside."""
    fake = FakePrometheus([http_reply(ANSWER)])
    async with fake.running(), aclosing(PrometheusClient(fake.url)) as client:
        with taking_over_trace(PARENT):
            await client.query("up")
        await client.query("up")
    assert [PARENT["traceparent"], None] == [request.headers.get("traceparent") for request in fake.seen]


@pytest.mark.parametrize(
    "given", [{}, {"traceparent": "garbage"}, {"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}]
)
def test_without_a_valid_header_there_is_no_trace(given: dict[str, str]) -> None:
    """What is called is then not part of any trace."""
    with taking_over_trace(given):
        assert (None, {}) == (trace_id(), trace_headers())


@pytest.fixture
def without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Its API cannot be imported."""
    tracing._opentelemetry.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    yield
    tracing._opentelemetry.cache_clear()


@pytest.mark.usefixtures("without_opentelemetry")
def test_without_opentelemetry_nothing_is_passed_on() -> None:
    """It is not a dependency."""
    with taking_over_trace(PARENT):
        assert (None, {}) == (trace_id(), trace_headers())


def test_the_trace_ends_with_its_block() -> None:
    """An error of the block ends it, too."""
    with suppress(KeyError), taking_over_trace(PARENT):
        assert (TRACE_ID, PARENT) == (trace_id(), trace_headers())
        raise KeyError
    assert trace_id() is None
