"""Errors of the driver, the interpreter and the host's code: they leave the client as errors of ours."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest
from tests.faults.fake_prometheus import RANGE, Reply, StartFake, values, vector

from statcore.errors import InputError, ProtocolError, StatcoreError, UnavailableError
from statcore.promql import Selector
from statcore_prometheus import PrometheusClient, PrometheusOptions

DEAD = "http://127.0.0.1:1"
UNFORESEEN = [
    MemoryError(),
    RecursionError("maximum recursion depth exceeded"),
    RuntimeError("attached to a different loop"),
    OverflowError("int too large to convert to float"),
    AssertionError(),
    AttributeError("'NoneType' object has no attribute 'transport'"),
    ExceptionGroup("several", [ValueError("x"), OSError("y")]),
    StopAsyncIteration(),
]
FOREIGN = [
    *UNFORESEEN,
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ssl.SSLError(1, "bad record"),
    aiohttp.ClientError("anything"),
    ValueError("Newline in header"),
    OSError(24, "Too many open files"),
]


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
async def test_any_error_of_a_request_is_ours(error: Exception) -> None:
    """The error comes from the host's middleware inside the driver; ours names the server.

    An unforeseen one is no outage: the request is not sent again, and the error is not retryable.
    """
    attempts = 0

    async def fail(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal attempts
        attempts += 1
        raise error

    async with aiohttp.ClientSession(middlewares=(fail,)) as session:
        client = PrometheusClient(DEAD, session=session)
        for ask in (client.ping, lambda: client.query_range("up", RANGE), lambda: client.series(Selector("up"))):
            attempts = 0
            with pytest.raises(StatcoreError, match=DEAD) as caught:
                await ask()
            if error in UNFORESEEN:
                assert (ProtocolError, False, 1) == (caught.type, caught.value.retryable, attempts)
                assert type(error).__name__ in str(caught.value)
            else:
                assert isinstance(caught.value, UnavailableError | ProtocolError | InputError)


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
async def test_any_error_beside_a_request_is_ours(
    fake_prometheus: StartFake, http_reply: Reply, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The error of our own code names the method and the line, and shows no text of the cause."""

    def fail(*_: object) -> Any:
        raise error

    server = await fake_prometheus(http_reply('{"status":"success","data":["a"]}'))
    monkeypatch.setattr("statcore_prometheus.client.sorted", fail, raising=False)
    async with aclosing(PrometheusClient(server.url)) as client:
        place = rf"unexpected {type(error).__name__} in fail, line \d+ of test_prometheus_unforeseen.py$"
        with pytest.raises(ProtocolError, match=f"^label_values failed: {place}"):
            await client.label_values("job")


async def test_any_error_of_one_member_is_followed_by_the_other(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """Any error of a request to one member of an HA pair sends it to the other."""
    first, second = [await fake_prometheus(http_reply(vector(value))) for value in ("1", "2")]

    async def fail_first(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if str(request.url).startswith(first.url):
            raise RuntimeError("anything")
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(fail_first,)) as session:
        client = PrometheusClient(first.url, options=PrometheusOptions(fallback_urls=(second.url,)), session=session)
        assert [2.0] == await values(client)


async def test_a_cancellation_inside_the_driver_is_not_an_error_of_ours() -> None:
    """CancelledError leaves the client unchanged, even where nobody cancelled this task."""

    async def cancel(_: aiohttp.ClientRequest, __: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise asyncio.CancelledError

    async with aiohttp.ClientSession(middlewares=(cancel,)) as session:
        with pytest.raises(asyncio.CancelledError):
            await PrometheusClient(DEAD, session=session).ping()


async def test_a_call_with_wrong_arguments_stays_a_type_error() -> None:
    """Python itself raises it."""
    client: Any = PrometheusClient(DEAD)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        await client.query("up", at=1)


async def test_a_host_name_that_is_too_long_is_the_callers_mistake() -> None:
    """The driver notices it when it connects."""
    async with aclosing(PrometheusClient("http://" + "h" * 100_000)) as client:
        with pytest.raises(InputError, match="cannot get the request"):
            await client.ping()
