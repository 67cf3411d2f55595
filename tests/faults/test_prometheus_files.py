"""Certificates, keys, passwords and tokens in files that are replaced while the client runs."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tests.faults.prometheus_json import vector

from statcore.errors import InputError, UnavailableError
from statcore_connection.files import FileValue, read_secret
from statcore_prometheus import PrometheusClient, PrometheusOptions

pytestmark = pytest.mark.usefixtures("no_pauses")

Start = Callable[..., Awaitable[Any]]
Reply = Callable[..., bytes]


@pytest.fixture(scope="module")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, str]]:
    """`make_pair(name)` returns a new key and its self-signed certificate of 127.0.0.1, in PEM."""
    program = shutil.which("openssl")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("not found on PATH: openssl")
    folder = tmp_path_factory.mktemp("pairs")

    def make(name: str) -> tuple[str, str]:
        key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
        kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        command = [program, *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return key.read_text(), certificate.read_text()

    return make


def server_context(folder: Path, pair: tuple[str, str], *, client_ca: str | None = None) -> ssl.SSLContext:
    """Return the context of a server with a key and certificate, which wants one of `client_ca` from clients."""
    both = folder / "server.pem"
    both.write_text("".join(pair))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_ca_that_is_replaced_is_read_again(
    fake_prometheus: Start, http_reply: Reply, make_pair: Callable[[str], tuple[str, str]], tmp_path: Path
) -> None:
    """The server's new certificate is trusted, and its old one no more, without a restart."""
    pairs = [make_pair("old"), make_pair("new")]
    old, new = [await fake_prometheus(http_reply(vector("7")), ssl=server_context(tmp_path, pair)) for pair in pairs]
    ca = tmp_path / "ca.pem"
    ca.write_text(pairs[0][1])
    options = PrometheusOptions(tls_ca_file=str(ca), attempts=1)
    async with (
        aclosing(PrometheusClient(old.url, options=options)) as to_old,
        aclosing(PrometheusClient(new.url, options=options)) as to_new,
    ):
        await to_old.ping()
        with pytest.raises(UnavailableError, match="not trusted"):
            await to_new.ping()
        ca.write_text(pairs[1][1])
        await to_new.ping()
        with pytest.raises(UnavailableError, match="not trusted"):
            await to_old.ping()


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "written over"])
async def test_a_client_certificate_is_read_again_once_its_pair_is_whole(
    fake_prometheus: Start,
    http_reply: Reply,
    make_pair: Callable[[str], tuple[str, str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_replaced: bool,  # noqa: FBT001
) -> None:
    """While only one of the two is there, or half of it, requests go on with the old pair, and one line says so."""
    own, old, new = make_pair("server"), make_pair("old"), make_pair("new")
    contexts = [server_context(tmp_path, own, client_ca=pair[1]) for pair in (old, new)]
    wants_old, wants_new = [await fake_prometheus(http_reply(vector("7")), ssl=context) for context in contexts]
    ca, key, certificate = tmp_path / "ca.pem", tmp_path / "own.key", tmp_path / "own.pem"

    def write(path: Path, text: str) -> None:
        if is_replaced:
            beside = path.with_suffix(".new")
            beside.write_text(text)
            beside.replace(path)
        else:
            path.write_text(text)

    for path, text in ((ca, own[1]), (key, old[0]), (certificate, old[1])):
        write(path, text)
    options = PrometheusOptions(tls_ca_file=str(ca), tls_cert_file=str(certificate), tls_key_file=str(key), attempts=1)
    async with (
        aclosing(PrometheusClient(wants_old.url, options=options)) as to_old,
        aclosing(PrometheusClient(wants_new.url, options=options)) as to_new,
    ):
        await to_old.ping()
        for text in (new[1][: len(new[1]) // 2], new[1]):
            write(certificate, text)
            await to_old.ping()
            await to_old.ping()
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("statcore")]
        assert 2 == len(lines)
        assert all(line.startswith("tls_cert_file or tls_key_file cannot be used") for line in lines)
        write(key, new[0])
        await to_new.ping()
        with pytest.raises(UnavailableError):
            await to_old.ping()


@pytest.mark.parametrize(
    ("settings", "prefix"),
    [(["bearer_token_file"], "Bearer "), (["username", "password_file"], "Basic ")],
    ids=["token", "password"],
)
async def test_a_credential_in_a_file_is_read_again(
    fake_prometheus: Start,
    http_reply: Reply,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: list[str],
    prefix: str,
) -> None:
    """Each request sends what the file holds; while it holds nothing of use, what it held before."""
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


def test_a_rotated_link_is_a_change(tmp_path: Path) -> None:
    """As a cluster mounts secrets: of the same length, and as old as the one before."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(0, 0))
    link = tmp_path / "link"
    link.symlink_to("one")
    value = FileValue([str(link)], lambda: read_secret(str(link), setting="x"))
    assert "one" == value.current()
    (tmp_path / "beside").symlink_to("two")
    (tmp_path / "beside").replace(link)
    assert "two" == value.current()


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    """Looking is done for each request, and reading only where something is new."""
    file = tmp_path / "file"
    file.write_text("text")
    reads: list[str] = []
    value = FileValue([str(file)], lambda: reads.append(file.read_text()))
    for _ in range(3):
        value.current()
    assert ["text"] == reads
    file.write_text("other")
    value.current()
    value.current()
    assert ["text", "other"] == reads


@pytest.mark.parametrize("setting", ["bearer_token_file", "password_file"])
@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff", b"x" * 100_000])
def test_a_file_that_cannot_be_used_is_named_at_the_beginning(tmp_path: Path, setting: str, content: bytes | None) -> None:
    """By its setting, and nothing of it is shown."""
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
    """As without files."""
    with pytest.raises(InputError, match=r"exclude each other|but username is not"):
        PrometheusOptions(**given)


def test_a_url_with_a_password_excludes_files() -> None:
    """As it excludes all other credentials."""
    files: list[Any] = [{"username": "bob", "password_file": "x"}, {"bearer_token_file": "x"}]
    for options in (PrometheusOptions(**given) for given in files):
        with pytest.raises(InputError, match="url holds credentials"):
            PrometheusClient("http://ann:x@host", options=options)
