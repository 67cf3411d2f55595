"""TLS of the Prometheus client: trusted certificates, client certificates, and files that are replaced meanwhile."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.faults.fake_prometheus import ANSWER, Reply, StartFake, vector
from tests.support.certificates import Authority, Pair

from statcore.errors import InputError, UnavailableError, UntrustedServerError
from statcore_prometheus import PrometheusClient, PrometheusOptions

NewAuthority = Callable[[str], Authority]


def server_context(own: Pair, *, client_ca: Authority | None = None) -> ssl.SSLContext:
    """Return the context of a server with a key and certificate; with `client_ca` it requires client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    if client_ca is not None:
        context.load_verify_locations(client_ca.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def authority(new_authority: NewAuthority) -> Authority:
    """An authority that no system trusts."""
    return new_authority("authority")


async def test_tls_is_checked(fake_prometheus: StartFake, http_reply: Reply, authority: Authority) -> None:
    """The certificate of an unknown authority is refused, unless it is trusted by name or checks are switched off."""
    server = await fake_prometheus(http_reply(ANSWER), ssl=server_context(authority.issue("server")))
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(attempts=1))) as client:
        with pytest.raises(UntrustedServerError, match=r"certificate is refused.*set tls_ca_file"):
            await client.query("up")
    assert [] == server.seen
    for options in (PrometheusOptions(tls_ca_file=str(authority.certificate)), PrometheusOptions(tls_verify=False)):
        async with aclosing(PrometheusClient(server.url, options=options)) as client:
            assert 1 == len((await client.query("up")).samples)
    assert 2 == len(server.seen)


async def test_a_trusted_certificate_of_another_host_is_refused(
    fake_prometheus: StartFake, http_reply: Reply, authority: Authority
) -> None:
    """The certificate is of 127.0.0.1, and the URL names localhost."""
    server = await fake_prometheus(http_reply(ANSWER), ssl=server_context(authority.issue("server")))
    url = server.url.replace("127.0.0.1", "localhost")
    options = PrometheusOptions(attempts=1, tls_ca_file=str(authority.certificate))
    async with aclosing(PrometheusClient(url, options=options)) as client:
        with pytest.raises(UntrustedServerError, match="connect by a host name"):
            await client.query("up")
    assert [] == server.seen


async def test_the_end_of_the_certificate_is_known(
    fake_prometheus: StartFake, http_reply: Reply, authority: Authority
) -> None:
    """`statcore doctor` shows it; it is not known if certificates are not checked."""
    before_s = time.time()
    server = await fake_prometheus(http_reply(ANSWER), ssl=server_context(authority.issue("server", days=3)))
    checked = PrometheusOptions(tls_ca_file=str(authority.certificate))
    async with aclosing(PrometheusClient(server.url, options=checked)) as client:
        (facts,) = await client.server_facts()
    assert facts.certificate_expires_s is not None
    assert before_s - 1 <= facts.certificate_expires_s - 3 * 86_400 <= time.time() + 1
    async with aclosing(PrometheusClient(server.url, options=PrometheusOptions(tls_verify=False))) as client:
        assert [None] == [facts.certificate_expires_s for facts in await client.server_facts()]


async def test_a_client_certificate_may_be_in_one_file_with_its_key(
    fake_prometheus: StartFake, http_reply: Reply, authority: Authority
) -> None:
    """The server, which requires one, answers."""
    context = server_context(authority.issue("server"), client_ca=authority)
    server = await fake_prometheus(http_reply(ANSWER), ssl=context)
    own = authority.issue("client")
    own.certificate.write_text(own.key.read_text() + own.certificate.read_text())
    options = PrometheusOptions(tls_ca_file=str(authority.certificate), tls_cert_file=str(own.certificate))
    async with aclosing(PrometheusClient(server.url, options=options)) as client:
        assert 1 == len((await client.query("up")).samples)


def test_an_encrypted_key_is_refused(authority: Authority) -> None:
    """OpenSSL would ask for the passphrase on the terminal, and the program would hang."""
    own = authority.issue("client")
    options = PrometheusOptions(tls_cert_file=str(own.certificate), tls_key_file=str(authority.encrypt(own.key)))
    with pytest.raises(InputError, match="tls_key_file is encrypted"):
        PrometheusClient("https://host", options=options)


async def test_a_ca_that_is_replaced_is_read_again(
    fake_prometheus: StartFake, http_reply: Reply, new_authority: NewAuthority, tmp_path: Path
) -> None:
    """The server's new certificate is trusted, and its old one no longer, without a restart."""
    authorities = [new_authority(name) for name in ("old", "new")]
    contexts = [server_context(authority.issue(f"of-{authority.name}")) for authority in authorities]
    old, new = [await fake_prometheus(http_reply(vector("7")), ssl=context) for context in contexts]
    ca = tmp_path / "ca.pem"
    ca.write_text(authorities[0].certificate.read_text())
    options = PrometheusOptions(tls_ca_file=str(ca), attempts=1)
    async with (
        aclosing(PrometheusClient(old.url, options=options)) as to_old,
        aclosing(PrometheusClient(new.url, options=options)) as to_new,
    ):
        await to_old.ping()
        with pytest.raises(UntrustedServerError, match="certificate is refused"):
            await to_new.ping()
        ca.write_text(authorities[1].certificate.read_text())
        await to_new.ping()
        with pytest.raises(UntrustedServerError, match="certificate is refused"):
            await to_old.ping()


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "written over"])
async def test_a_client_certificate_is_read_again_once_its_pair_is_whole(
    fake_prometheus: StartFake,
    http_reply: Reply,
    authority: Authority,
    new_authority: NewAuthority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_replaced: bool,  # noqa: FBT001
) -> None:
    """While one of the two files is old or cut off, requests use the old pair, and the log says so once.

    One server accepts the old certificate alone, the other the new one.
    """
    authorities = [new_authority(name) for name in ("old", "new")]
    old, new = [authority.issue(f"of-{authority.name}") for authority in authorities]
    contexts = [server_context(authority.issue("server"), client_ca=client_ca) for client_ca in authorities]
    wants_old, wants_new = [await fake_prometheus(http_reply(vector("7")), ssl=context) for context in contexts]
    key, certificate = tmp_path / "own.key", tmp_path / "own.pem"
    new_text = new.certificate.read_text()

    def write(path: Path, text: str) -> None:
        if is_replaced:
            beside = path.with_suffix(".new")
            beside.write_text(text)
            beside.replace(path)
        else:
            path.write_text(text)

    write(key, old.key.read_text())
    write(certificate, old.certificate.read_text())
    options = PrometheusOptions(
        tls_ca_file=str(authority.certificate), tls_cert_file=str(certificate), tls_key_file=str(key), attempts=1
    )
    async with (
        aclosing(PrometheusClient(wants_old.url, options=options)) as to_old,
        aclosing(PrometheusClient(wants_new.url, options=options)) as to_new,
    ):
        await to_old.ping()
        for text in (new_text[: len(new_text) // 2], new_text):
            write(certificate, text)
            await to_old.ping()
            await to_old.ping()
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("statcore")]
        assert 2 == len(lines)
        assert all(line.startswith("tls_cert_file or tls_key_file cannot be used") for line in lines)
        write(key, new.key.read_text())
        await to_new.ping()
        with pytest.raises(UnavailableError):
            await to_old.ping()
