"""TLS of the Prometheus client: trusted certificates, client certificates, and files that are replaced meanwhile."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.faults.fake_prometheus import ANSWER, Reply, StartFake, vector

from statcore.errors import (
    InputError,
    UnavailableError,
)
from statcore_prometheus import PrometheusClient, PrometheusOptions


@pytest.fixture(scope="module")
def make_pair(
    tmp_path_factory: pytest.TempPathFactory, require_program: Callable[..., str]
) -> Callable[[str], tuple[str, str]]:
    """`make_pair(name)` returns a new key and its self-signed certificate of 127.0.0.1, in PEM."""
    program = require_program("openssl")
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
    """Return the context of a server with a key and certificate; with `client_ca` it requires client certificates."""
    both = folder / "server.pem"
    both.write_text("".join(pair))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    if client_ca is not None:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture(scope="module")
def certificate(make_pair: Callable[[str], tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, and in the same file its key."""
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    both.write_text("".join(make_pair("test")))
    return both


async def test_tls_is_checked(fake_prometheus: StartFake, http_reply: Reply, certificate: Path) -> None:
    """A self-signed certificate is refused, unless it is trusted by name or checks are switched off."""
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


async def test_a_client_certificate_is_shown(fake_prometheus: StartFake, http_reply: Reply, certificate: Path) -> None:
    """A server that requires one refuses connections without it, and answers with it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate)
    server = await fake_prometheus(http_reply(ANSWER), ssl=context)
    options = PrometheusOptions(tls_ca_file=str(certificate), tls_cert_file=str(certificate))
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        assert 1 == len((await client.query("up")).samples)
    options = PrometheusOptions(tls_ca_file=str(certificate), attempts=1)
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        with pytest.raises(UnavailableError, match=server.url):
            await client.query("up")
    assert 1 == len(server.seen)


def test_an_encrypted_key_is_refused(certificate: Path) -> None:
    """OpenSSL would ask for the passphrase on the terminal, and the program would hang."""
    encrypted = certificate.with_name("encrypted.pem")
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:four", "-in", str(certificate), "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    options = PrometheusOptions(tls_cert_file=str(certificate), tls_key_file=str(encrypted))
    with pytest.raises(InputError, match="tls_key_file is encrypted"):
        PrometheusClient("https://host", options=options)
    assert b"ENCRYPTED" in encrypted.read_bytes()


async def test_a_ca_that_is_replaced_is_read_again(
    fake_prometheus: StartFake, http_reply: Reply, make_pair: Callable[[str], tuple[str, str]], tmp_path: Path
) -> None:
    """The server's new certificate is trusted, and its old one no longer, without a restart."""
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
    fake_prometheus: StartFake,
    http_reply: Reply,
    make_pair: Callable[[str], tuple[str, str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_replaced: bool,  # noqa: FBT001
) -> None:
    """While one of the two files is old or cut off, requests use the old pair, and the log says so once."""
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
