"""Credentials of the Prometheus client: what is sent, from the URL, options and files, and what is refused."""

from __future__ import annotations

import base64
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.fake_prometheus import ANSWER, Reply, StartClient, StartFake, vector

from statcore.errors import AccessDeniedError, InputError, ProtocolError
from statcore_prometheus import PrometheusClient, PrometheusOptions

SECRET = "s3cr3t-wörd"  # noqa: S105 - the secret that must not show


def encoded(user: str, password: str) -> str:
    """Return the header of basic authentication."""
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
    fake_client: StartClient, http_reply: Reply, options: dict[str, Any], expected: dict[str, str | None]
) -> None:
    """Forms and GETs have the same credentials."""
    server, client = await fake_client(http_reply(ANSWER), http_reply('{"status":"success","data":["a"]}'), **options)
    await client.query("up")
    assert ["a"] == list(await client.label_values("job"))
    assert ["POST", "GET"] == [request.method for request in server.seen]
    for request in server.seen:
        assert expected == {name: request.headers.get(name) for name in expected}


async def test_a_url_may_carry_them(fake_prometheus: StartFake, http_reply: Reply) -> None:
    """Each URL of a pair has its own credentials, percent-encoded, which are not part of the address."""
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
    fake_client: StartClient, http_reply: Reply, options: dict[str, Any], challenge: str, words: str, status: int
) -> None:
    """The error names the missing or refused credential without its value; a 401 is final, a 403 is followed by one GET."""
    server, client = await fake_client(http_reply("denied", status=status, www_authenticate=challenge), **options)
    with pytest.raises(AccessDeniedError, match=f"{words}.* .HTTP {status}: denied") as caught:
        await client.query("up")
    assert SECRET not in str(caught.value)
    assert (["POST"] if status == 401 else ["POST", "GET"]) == [request.method for request in server.seen]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused(fake_prometheus: StartFake, http_reply: Reply, status: int) -> None:
    """No request, and so no credential, goes to the target of a redirect; the error names the target."""
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
    ("settings", "prefix"),
    [(["bearer_token_file"], "Bearer "), (["username", "password_file"], "Basic ")],
    ids=["token", "password"],
)
async def test_a_credential_in_a_file_is_read_again(
    fake_prometheus: StartFake,
    http_reply: Reply,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: list[str],
    prefix: str,
) -> None:
    """Each request sends the content of the file; while that cannot be used, the content before."""
    server = await fake_prometheus(http_reply(vector("7")))
    file = tmp_path / "secret"
    file.write_text("first-secret\n")
    given = {"username": "ann"} | {settings[-1]: str(file)} if len(settings) > 1 else {settings[-1]: str(file)}
    texts = ["second-secret", "", "two\nlines", "third-secret\r\n"]
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(**given))) as client:  # type: ignore[arg-type]
        await client.ping()
        for text in texts:
            file.write_text(text)
            await client.ping()
        file.unlink()
        await client.ping()
    sent = [request.headers["authorization"].removeprefix(prefix) for request in server.seen]
    if prefix == "Basic ":
        sent = [base64.b64decode(text).decode().removeprefix("ann:") for text in sent]
    assert ["first-secret", *["second-secret"] * 3, *["third-secret"] * 2] == sent
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("statcore")]
    assert 3 == len(lines)
    assert all(line.startswith(settings[-1]) for line in lines)
    assert "-secret" not in caplog.text


@pytest.mark.parametrize("setting", ["bearer_token_file", "password_file"])
@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff", b"x" * 100_000])
def test_a_file_that_cannot_be_used_is_named_at_the_beginning(tmp_path: Path, setting: str, content: bytes | None) -> None:
    """The constructor refuses it; the error names the setting and quotes nothing of the file."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    given: Any = {setting: str(file)} | ({"username": "ann"} if setting == "password_file" else {})
    with pytest.raises(InputError, match=f"^{setting} ") as caught:
        PrometheusClient("http://host", options=PrometheusOptions(**given))
    assert "lines" not in str(caught.value).removeprefix(f"{setting} must hold one line")


@pytest.mark.parametrize(
    "given",
    [
        {"bearer_token": "a", "bearer_token_file": "b"},
        {"username": "a", "password": "b", "password_file": "c"},
        {"password_file": "c"},
        {"username": "a", "password_file": "b", "bearer_token_file": "c"},
        {"bearer_token_file": "c", "headers": {"Authorization": "x"}},
    ],
)
def test_a_credential_has_one_place(given: Any) -> None:
    """A credential in a file excludes any other credential."""
    with pytest.raises(InputError, match=r"exclude each other|but username is not"):
        PrometheusOptions(**given)
