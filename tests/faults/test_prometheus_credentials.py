"""Who is asked with which credentials, and that nobody else ever sees them."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
import ssl
import subprocess
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from statcore.errors import (
    AccessDeniedError,
    InputError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    UnavailableError,
)
from statcore_prometheus import PrometheusClient, PrometheusOptions

Start = Callable[..., Awaitable[Any]]
Reply = Callable[..., bytes]

ANSWER = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}'
SECRET = "s3cr3t-wörd"  # noqa: S105 - the secret that must not show


def encoded(user: str, password: str) -> str:
    """Return what basic authentication sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"authorization": None}),
        ({"username": "ann", "password": SECRET}, {"authorization": encoded("ann", SECRET)}),
        ({"bearer_token": "abc.def"}, {"authorization": "Bearer abc.def"}),
        (
            {"headers": {"X-Scope-OrgID": "a|b", "Authorization": "Own x"}},
            {"x-scope-orgid": "a|b", "authorization": "Own x"},
        ),
    ],
)
async def test_credentials_are_sent_with_every_request(
    fake_prometheus: Start, http_reply: Reply, options: dict[str, Any], expected: dict[str, str | None]
) -> None:
    """With forms and with GETs alike."""
    server = await fake_prometheus(http_reply(ANSWER), http_reply('{"status":"success","data":["a"]}'))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(**options))) as client:
        await client.query("up")
        assert ["a"] == list(await client.label_values("job"))
    assert ["POST", "GET"] == [request.method for request in server.seen]
    for request in server.seen:
        assert expected == {name: request.headers.get(name) for name in expected}


async def test_a_url_may_carry_them(fake_prometheus: Start, http_reply: Reply) -> None:
    """Percent-encoded, each URL of a pair its own, and never sent as part of the address."""
    down = await fake_prometheus(http_reply(status=503))
    server = await fake_prometheus(http_reply(ANSWER))
    urls = [fake.url.replace("//", f"//{user}:p%40ss@") for fake, user in ((down, "ann"), (server, "bob"))]
    async with aclosing(PrometheusClient(urls[0], options=PrometheusOptions(fallback_urls=(urls[1],)))) as client:
        await client.query("up")
    assert encoded("ann", "p@ss") == down.seen[0].headers["authorization"]
    assert encoded("bob", "p@ss") == server.seen[0].headers["authorization"]
    assert "p%40ss" not in str(server.seen)


@pytest.mark.parametrize(
    ("options", "challenge", "words"),
    [
        ({}, 'Basic realm="x"', "password is missing; set username and password"),
        ({}, "Bearer", "token is missing; set bearer_token"),
        ({}, "", "credential is missing"),
        ({"username": "ann", "password": SECRET}, "Basic", "password of the user 'ann' is refused"),
        ({"bearer_token": SECRET}, "Bearer", "bearer_token is refused"),
        ({"headers": {"authorization": SECRET}}, "", "Authorization header is refused"),
    ],
)
@pytest.mark.parametrize("status", [401, 403])
async def test_denied_access_says_which_credential(
    fake_prometheus: Start, http_reply: Reply, options: dict[str, Any], challenge: str, words: str, status: int
) -> None:
    """Which is missing or refused, but not what it is; it is not tried again, but after 403 once with a GET."""
    server = await fake_prometheus(http_reply("denied", status=status, www_authenticate=challenge))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(**options))) as client:
        with pytest.raises(AccessDeniedError, match=f"{words}.* .HTTP {status}: denied") as caught:
            await client.query("up")
    assert SECRET not in str(caught.value)
    assert (["POST"] if status == 401 else ["POST", "GET"]) == [request.method for request in server.seen]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused(fake_prometheus: Start, http_reply: Reply, status: int) -> None:
    """Nothing goes to where it leads, above all no credential; the error says where that is."""
    thief = await fake_prometheus(http_reply(ANSWER))
    target = thief.url.replace("//", "//ann:hidden@") + "/api?token=hidden"
    server = await fake_prometheus(http_reply(status=status, location=target))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(bearer_token="abc"))) as client:  # noqa: S106
        with pytest.raises(
            ProtocolError, match=f"{server.url}: a redirect to {thief.url}/api, which is not followed"
        ) as caught:
            await client.query("up")
    assert "hidden" not in str(caught.value)
    assert (1, 0) == (len(server.seen), len(thief.seen))


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
    fake_prometheus: Start, caplog: pytest.LogCaptureFixture, reply: bytes
) -> None:
    """Neither in the text nor in the representation of an error or of what caused it, nor in any log."""
    caplog.set_level(logging.DEBUG)

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await fake_prometheus(answer)
    secret = "abcdefghijkl"  # noqa: S105 - the secret that must not show
    url = server.url.replace("//", f"//ann:{secret}@")
    client = PrometheusClient(url, options=PrometheusOptions(headers={"X-Key": secret}, attempts=2))
    async with aclosing(client):
        with pytest.raises(StatcoreError) as caught:
            await client.query("up")
    shown = [repr(client), caplog.text]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    hidden = (secret, base64.b64encode(f"ann:{secret}".encode()).decode())
    assert [] == [text for text in shown if any(word in text for word in hidden)]


async def test_a_session_handed_in_is_used_and_left_open(fake_prometheus: Start, http_reply: Reply) -> None:
    """With what the host set up in it, although it raises for a status, follows redirects and has a time-out itself."""
    redirect = http_reply(status=302, location="http://127.0.0.1:1/")
    server = await fake_prometheus(http_reply(ANSWER), redirect, http_reply("no", status=400))
    timeout = aiohttp.ClientTimeout(total=1e-6)
    async with aiohttp.ClientSession(headers={"X-Host": "yes"}, raise_for_status=True, timeout=timeout) as session:
        client = PrometheusClient(server.url, session=session)
        assert 1 == len((await client.query("up")).samples)
        with pytest.raises(ProtocolError, match="redirect"):
            await client.query("up")
        with pytest.raises(QueryRejectedError, match="no"):
            await client.query("up")
        await client.aclose()
        assert not session.closed
    assert "yes" == server.seen[0].headers["x-host"]
    with pytest.raises(InputError, match="closed"):
        await PrometheusClient(server.url, session=session).query("up")


async def test_two_credentials_are_a_mistake_of_the_host(fake_prometheus: Start, http_reply: Reply) -> None:
    """A session that has its own credentials cannot be asked with others."""
    server = await fake_prometheus(http_reply(ANSWER))
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        own = aiohttp.ClientSession(auth=aiohttp.BasicAuth("ann", "x"))
    async with own as session:
        client = PrometheusClient(server.url, session=session, options=PrometheusOptions(bearer_token="abc"))  # noqa: S106
        with pytest.raises(InputError, match="cannot be asked"):
            await client.query("up")
    assert [] == server.seen


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, and in the same file its key."""
    program = shutil.which("openssl")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("not found on PATH: openssl")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = [program, *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    both.write_text(key.read_text() + certificate.read_text())
    return both


async def test_tls_is_checked(fake_prometheus: Start, http_reply: Reply, certificate: Path) -> None:
    """A certificate that nobody vouches for is refused, unless it is named, or checking is switched off."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await fake_prometheus(http_reply(ANSWER), ssl=context)
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(attempts=1))) as client:
        with pytest.raises(UnavailableError, match=r"not trusted.*set tls_ca_file"):
            await client.query("up")
    assert [] == server.seen
    for options in (PrometheusOptions(tls_ca_file=str(certificate)), PrometheusOptions(tls_verify=False)):
        async with aclosing(PrometheusClient(server.url, options=options)) as client:
            assert 1 == len((await client.query("up")).samples)
    assert 2 == len(server.seen)


async def test_a_client_certificate_is_shown(fake_prometheus: Start, http_reply: Reply, certificate: Path) -> None:
    """A server that wants one refuses the connection without, and answers with it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate)
    server = await fake_prometheus(http_reply(ANSWER), ssl=context)
    own = {"tls_ca_file": str(certificate), "tls_cert_file": str(certificate)}
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(**own))) as client:
        assert 1 == len((await client.query("up")).samples)
    options = PrometheusOptions(tls_ca_file=str(certificate), attempts=1)
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(UnavailableError, match=server.url):
            await client.query("up")
    assert 1 == len(server.seen)


def test_an_encrypted_key_is_refused(certificate: Path) -> None:
    """Instead of a question for the passphrase on the terminal, at which a server would hang."""
    encrypted = certificate.with_name("encrypted.pem")
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:four", "-in", str(certificate), "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    options = PrometheusOptions(tls_cert_file=str(certificate), tls_key_file=str(encrypted))
    with pytest.raises(InputError, match="tls_key_file is encrypted"):
        PrometheusClient("https://host", options=options)
    assert b"ENCRYPTED" in encrypted.read_bytes()
