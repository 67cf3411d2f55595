"""Secrets in the wrong place, and secrets that servers or drivers repeat: no error and no log shows them."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import traceback
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from tests.faults.fake_prometheus import RANGE, Reply, StartClient, StartFake, breaking_off, refusal

from statcore.errors import AccessDeniedError, InputError, StatcoreError, UnavailableError
from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_metrics
from statcore_prometheus import PrometheusClient, PrometheusOptions

SECRET = "eyJhbGciOi.J9s3cr3t/+0w=="  # noqa: S105 - the secret that must not show
SETTINGS = [field.name for field in attrs.fields(PrometheusOptions) if field.name not in {"clock", "username"}]


def shown_of(error: BaseException) -> str:
    """Return everything that a log of an error would show."""
    return "".join([repr(error), repr(vars(error)), *traceback.format_exception(error)]).replace(__file__, "")


@pytest.mark.parametrize("secret", [SECRET, f"/{SECRET}"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [text], lambda text: {text: text}, str.encode])
async def test_a_secret_in_the_wrong_setting_is_not_shown(setting: str, wrap: Callable[[str], object], secret: str) -> None:
    """No error and no `repr` shows it, in any setting and any shape."""
    url = "http://127.0.0.1:1"
    try:
        options = PrometheusOptions.from_settings({"attempts": 1, setting: wrap(secret)})
        shown = repr(options)
        async with aclosing(PrometheusClient(url, options=options)) as client:
            shown += repr(client)
            await client.ping()
    except StatcoreError as error:
        shown = f"{error}{error!r}{vars(error)}"
    assert secret not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "url", [SECRET, f"Bearer {SECRET}", f"http://{SECRET}@host", f"http://ann:{SECRET}", f"http://h/?token={SECRET}"]
)
async def test_a_secret_in_the_place_of_the_url_is_not_shown(url: str) -> None:
    """The errors of the client and of the runtime do not show it."""
    with pytest.raises(InputError, match=r"^url ") as caught:
        PrometheusClient(url)
    assert SECRET not in shown_of(caught.value)
    with pytest.raises(InputError, match=r"^fallback_urls ") as caught:
        PrometheusClient("http://host", options=PrometheusOptions(fallback_urls=(url,)))
    assert SECRET not in shown_of(caught.value)
    with pytest.raises(InputError) as caught:
        async with open_metrics(Settings(metrics_url=url), PluginRegistry.discover()):
            pass
    assert SECRET not in shown_of(caught.value)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 500])
@pytest.mark.parametrize("kind", ["json", "text", "partial json"])
@pytest.mark.parametrize(
    "given",
    [
        {"bearer_token": SECRET},
        {"username": "ann", "password": SECRET},
        {"headers": {"X-Key": SECRET}},
        {"headers": {"Authorization": SECRET}},
    ],
    ids=["token", "password", "header", "authorization"],
)
async def test_a_secret_that_a_server_repeats_is_not_shown(
    fake_client: StartClient,
    http_reply: Reply,
    caplog: pytest.LogCaptureFixture,
    given: dict[str, Any],
    kind: str,
    status: int,
) -> None:
    """The error of any status hides the secret, also in the form in which it was sent."""
    caplog.set_level(logging.DEBUG)
    sent = base64.b64encode(f"ann:{SECRET}".encode()).decode() if "password" in given else SECRET
    text = f"unknown credential {SECRET} in {sent}"
    body = {"json": refusal("bad", text), "text": text, "partial json": f'{{"status":"{text}'}[kind]
    _, client = await fake_client(http_reply(body, status=status, location=f"http://other/{SECRET}?x={SECRET}"), **given)
    for ask in (lambda: client.query_range("up", RANGE), lambda: client.label_values("job")):
        with pytest.raises(StatcoreError) as caught:
            await ask()
        assert SECRET not in shown_of(caught.value)
        assert sent not in shown_of(caught.value)
    assert SECRET not in caplog.text


async def test_a_secret_that_is_replaced_during_a_request_is_not_shown(
    fake_client: StartClient, http_reply: Reply, tmp_path: Path
) -> None:
    """The server repeats the old token; the file already holds a new one."""
    file = tmp_path / "token"
    file.write_text(SECRET)

    async def replace_and_refuse(writer: asyncio.StreamWriter) -> None:
        file.write_text("another-token")
        writer.write(http_reply(refusal("bad", f"{SECRET} and another-token"), status=401))
        await writer.drain()

    _, client = await fake_client(replace_and_refuse, bearer_token_file=str(file))
    with pytest.raises(AccessDeniedError, match=re.escape("*** and ***")) as caught:
        await client.label_values("job")
    assert SECRET not in shown_of(caught.value)


@pytest.mark.parametrize("end", [b"", b"\r\nX: 1"])
async def test_headers_of_an_answer_that_breaks_off_are_not_shown(fake_client: StartClient, end: bytes) -> None:
    """The driver's error holds them, but ours does not."""
    head = f"HTTP/1.1 200 OK\r\nSet-Cookie: session={SECRET}".encode()
    _, client = await fake_client(breaking_off(head + end), attempts=1)
    with pytest.raises(UnavailableError, match="the server closed the connection") as caught:
        await client.query("up")
    assert SECRET not in shown_of(caught.value)


@pytest.mark.parametrize("url", ["http://a..b", "http://256.1.1.1", "http://h\\x", "http://127.0.0.1:1"])
async def test_a_secret_among_the_parameters_is_not_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The driver's error may hold the whole URL, but ours does not."""
    caplog.set_level(logging.DEBUG)
    options = PrometheusOptions(parameters={"token": SECRET}, attempts=1)
    async with aclosing(PrometheusClient(url, options=options)) as client:
        with pytest.raises(StatcoreError) as caught:
            await client.label_values("job")
    assert "s3cr3t" not in shown_of(caught.value) + caplog.text


async def test_a_secret_that_the_driver_repeats_is_not_shown() -> None:
    """No error of the driver is shown with its text or as a cause."""

    async def fail(request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise errors.pop()(f"bad header {request.headers['Authorization']}")

    errors: list[type[Exception]] = [ValueError, OSError, aiohttp.ClientError, RuntimeError, KeyError, aiohttp.InvalidURL]
    async with aiohttp.ClientSession(middlewares=(fail,)) as session:
        options = PrometheusOptions(bearer_token=SECRET, attempts=1)
        client = PrometheusClient("http://127.0.0.1:1", session=session, options=options)
        for _ in range(len(errors)):
            with pytest.raises(StatcoreError) as caught:
                await client.ping()
            assert SECRET not in shown_of(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_secrets_are_in_no_error_and_no_log(
    fake_prometheus: StartFake, caplog: pytest.LogCaptureFixture, reply: bytes
) -> None:
    """Errors with their causes and attributes, and logs do not show them."""
    caplog.set_level(logging.DEBUG)
    server = await fake_prometheus(breaking_off(reply))
    secret = "abcdefghijkl"  # noqa: S105 - the secret that must not show
    url = server.url.replace("//", f"//ann:{secret}@")
    client = PrometheusClient(url, options=PrometheusOptions(headers={"X-Key": secret}, attempts=2))
    async with aclosing(client):
        with pytest.raises(StatcoreError) as caught:
            await client.query("up")
    shown = repr(client) + caplog.text + shown_of(caught.value)
    assert secret not in shown
    assert base64.b64encode(f"ann:{secret}".encode()).decode() not in shown
