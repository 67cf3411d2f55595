"""Files that are replaced while a store is open: new connections use their new content, without a restart."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from redis import Redis
from tests.support.certificates import Authority

from statcore.errors import AccessDeniedError, UntrustedServerError
from statcore.testing.servers import Server
from statcore_valkey import ValkeyOptions, ValkeyStatistics

TIMEOUT_S = 3.0
DISCONNECT_ALL = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


NewAuthority = Callable[[str], Authority]
StartTls = Callable[..., tuple[Server, str]]


def replace(file: Path, content: Path) -> None:
    """Replace a file in one step, as programs that rotate files do."""
    new = file.with_suffix(".new")
    shutil.copy(content, new)
    os.replace(new, file)  # noqa: PTH105 - the same as Path.replace, by the name that readers know


async def test_rotated_certificates_are_used_by_new_connections(
    tmp_path: Path, new_authority: NewAuthority, start_tls_valkey: StartTls
) -> None:
    """The server changes to another authority; the open store follows through its files alone."""
    old, new = new_authority("old"), new_authority("new")
    ca_file, cert_file, key_file = tmp_path / "ca.crt", tmp_path / "client.crt", tmp_path / "client.pem"

    def rotate(authority: Authority, name: str) -> None:
        own = authority.issue(name)
        for file, content in ((ca_file, authority.certificate), (cert_file, own.certificate), (key_file, own.key)):
            replace(file, content)

    rotate(old, "client-1")
    options = ValkeyOptions(
        timeout_s=TIMEOUT_S, tls_ca_file=str(ca_file), tls_cert_file=str(cert_file), tls_key_file=str(key_file)
    )
    server, url = start_tls_valkey(old.certificate, old.issue("server-1"))
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        await store.ping()
        own = new.issue("server-2")
        with Redis(host="127.0.0.1", port=server.port) as admin:
            files = ("tls-ca-cert-file", new.certificate, "tls-cert-file", own.certificate, "tls-key-file", own.key)
            admin.execute_command("CONFIG", "SET", *map(str, files))
            admin.execute_command(*DISCONNECT_ALL)
        with pytest.raises(UntrustedServerError):
            await store.ping()
        rotate(new, "client-2")
        await store.ping()


async def test_the_former_content_of_a_file_is_used_while_it_cannot_be_read(
    tmp_path: Path, new_authority: NewAuthority, start_tls_valkey: StartTls, caplog: pytest.LogCaptureFixture
) -> None:
    """While a file is missing or half-written, new connections use the former content, and the log says so once."""
    authority = new_authority("authority")
    server, url = start_tls_valkey(authority.certificate, authority.issue("server"), "--tls-auth-clients", "no")
    ca_file = tmp_path / "ca.crt"
    replace(ca_file, authority.certificate)
    options = ValkeyOptions(timeout_s=TIMEOUT_S, tls_ca_file=str(ca_file))
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        await store.ping()
        for change in (ca_file.unlink, lambda: ca_file.write_text(authority.certificate.read_text()[:100])):
            change()
            with Redis(host="127.0.0.1", port=server.port) as admin:
                admin.execute_command(*DISCONNECT_ALL)
            await store.ping()
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("statcore")]
        assert 2 == len(lines)
        assert all(line.startswith("tls_ca_file cannot be used: ") for line in lines)


async def test_a_ca_file_stands_in_place_of_the_systems_certificates(
    new_authority: NewAuthority, start_tls_valkey: StartTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificates of the system are not trusted besides it."""
    systems, own = new_authority("systems"), new_authority("own")
    monkeypatch.setenv("SSL_CERT_FILE", str(systems.certificate))
    _, url = start_tls_valkey(systems.certificate, systems.issue("server"), "--tls-auth-clients", "no")
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=TIMEOUT_S))) as store:
        await store.ping()
    options = ValkeyOptions(timeout_s=TIMEOUT_S, tls_ca_file=str(own.certificate))
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(UntrustedServerError):
            await store.ping()


@pytest.mark.parametrize("user", ["", "reader@"])
async def test_a_rotated_password_is_used_by_new_connections(
    tmp_path: Path, start_valkey: Callable[..., Server], user: str
) -> None:
    """This holds for the default user and a user of the URL; no error shows the password."""
    server = start_valkey()
    name = user.strip("@") or "default"
    password_file = tmp_path / "password"
    password_file.write_text("hunter2-old\n")

    def set_password(password: str) -> None:
        with Redis(host="127.0.0.1", port=server.port, username="admin", password="admin") as admin:  # noqa: S106 - a test's
            admin.execute_command("ACL", "SETUSER", name, "on", "resetpass", f">{password}", "~*", "+@all")
            admin.execute_command(*DISCONNECT_ALL)

    with Redis(host="127.0.0.1", port=server.port) as default:
        default.execute_command("ACL", "SETUSER", "admin", "on", ">admin", "~*", "+@all")
    set_password("hunter2-old")
    options = ValkeyOptions(timeout_s=TIMEOUT_S, password_file=str(password_file))
    async with aclosing(ValkeyStatistics.from_url(f"valkey://{user}127.0.0.1:{server.port}", options=options)) as store:
        await store.ping()
        set_password("hunter2-new")
        with pytest.raises(AccessDeniedError, match=f"the user '{name}'") as error:
            await store.ping()
        assert "hunter2" not in str(error.value)
        password_file.write_text("hunter2-new\n")
        await store.ping()
        password_file.unlink()
        set_password("hunter2-new")
        await store.ping()
