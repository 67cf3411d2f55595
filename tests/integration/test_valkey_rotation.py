"""Files that are replaced while a store is open: new connections use their new content, without a restart."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import attrs
import pytest
from redis import Redis

from statcore.errors import AccessDeniedError, UnavailableError
from statcore.testing.servers import Server, free_port
from statcore_valkey import ValkeyOptions, ValkeyStatistics

TIMEOUT_S = 3.0


@attrs.frozen
class Authority:
    """A certificate authority of the test's own.

    Args:
        folder: where its files are, and those that it makes.
        name: of the authority; its certificate is `NAME.pem`.
    """

    folder: Path
    name: str

    @classmethod
    def new(cls, folder: Path, name: str) -> Authority:
        """Make an authority with openssl."""
        authority = cls(folder, name)
        authority._openssl("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", *MAY_SIGN)
        return authority

    @property
    def certificate(self) -> Path:
        """Return the path of the certificate to trust."""
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """Return a certificate for 127.0.0.1 and its key."""
        signed = ("-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-addext", "subjectAltName=IP:127.0.0.1")
        self._openssl("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", *signed, *NO_AUTHORITY)
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def _openssl(self, *words: str) -> None:
        command = ["openssl", "req", "-x509", *EC_KEY, *words]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
MAY_SIGN = ("-addext", "keyUsage=critical,keyCertSign")
NO_AUTHORITY = ("-addext", "basicConstraints=critical,CA:FALSE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for certificates; openssl must be installed."""
    if shutil.which("openssl") is None:
        pytest.skip("not found on PATH: openssl")
    return tmp_path


def replace(file: Path, content: Path) -> None:
    """Replace a file in one step, as programs that rotate files do."""
    new = file.with_suffix(".new")
    shutil.copy(content, new)
    os.replace(new, file)  # noqa: PTH105 - the same as Path.replace, by the name that readers know


async def test_rotated_certificates_are_used_by_new_connections(folder: Path, start_valkey: Callable[..., Server]) -> None:
    """The server changes to another authority; the open store follows through its files alone."""
    old, new = Authority.new(folder, "old"), Authority.new(folder, "new")
    ca_file, cert_file, key_file = folder / "ca.crt", folder / "client.crt", folder / "client.pem"
    for file, content in zip((ca_file, cert_file, key_file), (old.certificate, *old.issue("client-1")), strict=True):
        replace(file, content)
    options = ValkeyOptions(
        timeout_s=TIMEOUT_S, tls_ca_file=str(ca_file), tls_cert_file=str(cert_file), tls_key_file=str(key_file)
    )
    tls_port = free_port()
    certificate, key = old.issue("server-1")
    server = start_valkey(
        arguments=[
            *("--tls-port", str(tls_port), "--tls-ca-cert-file", str(old.certificate)),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        ]
    )
    async with aclosing(ValkeyStatistics.from_url(f"valkeys://127.0.0.1:{tls_port}", options=options)) as store:
        await store.ping()
        certificate, key = new.issue("server-2")
        with Redis(host="127.0.0.1", port=server.port) as admin:
            files = {"tls-ca-cert-file": str(new.certificate), "tls-cert-file": str(certificate), "tls-key-file": str(key)}
            words = [word for pair in files.items() for word in pair]
            admin.execute_command("CONFIG", "SET", *words)
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with pytest.raises(UnavailableError, match=r"(?i)certificate.verify.failed"):
            await store.ping()
        for file, content in zip((ca_file, cert_file, key_file), (new.certificate, *new.issue("client-2")), strict=True):
            replace(file, content)
        await store.ping()


async def test_the_former_content_of_a_file_is_used_while_it_cannot_be_read(
    folder: Path, start_valkey: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    """While a file is missing or half-written, new connections use the former content, and the log says so once."""
    authority = Authority.new(folder, "authority")
    certificate, key = authority.issue("server")
    tls_port = free_port()
    server = start_valkey(
        arguments=[
            *("--tls-port", str(tls_port), "--tls-ca-cert-file", str(authority.certificate), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        ]
    )
    ca_file = folder / "ca.crt"
    replace(ca_file, authority.certificate)
    options = ValkeyOptions(timeout_s=TIMEOUT_S, tls_ca_file=str(ca_file))
    async with aclosing(ValkeyStatistics.from_url(f"valkeys://127.0.0.1:{tls_port}", options=options)) as store:
        await store.ping()
        for change in (ca_file.unlink, lambda: ca_file.write_text(authority.certificate.read_text()[:100])):
            change()
            with Redis(host="127.0.0.1", port=server.port) as admin:
                admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await store.ping()
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("statcore")]
        assert 2 == len(lines)
        assert all(line.startswith("tls_ca_file cannot be used: ") for line in lines)


async def test_a_ca_file_stands_in_place_of_the_systems_certificates(
    folder: Path, start_valkey: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificates of the system are not trusted besides it."""
    systems, own = Authority.new(folder, "systems"), Authority.new(folder, "own")
    monkeypatch.setenv("SSL_CERT_FILE", str(systems.certificate))
    certificate, key = systems.issue("server")
    tls_port = free_port()
    start_valkey(
        arguments=[
            *("--tls-port", str(tls_port), "--tls-ca-cert-file", str(systems.certificate), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        ]
    )
    url = f"valkeys://127.0.0.1:{tls_port}"
    async with aclosing(ValkeyStatistics.from_url(url, options=ValkeyOptions(timeout_s=TIMEOUT_S))) as store:
        await store.ping()
    options = ValkeyOptions(timeout_s=TIMEOUT_S, tls_ca_file=str(own.certificate))
    async with aclosing(ValkeyStatistics.from_url(url, options=options)) as store:
        with pytest.raises(UnavailableError, match=r"(?i)certificate.verify.failed"):
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
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

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
