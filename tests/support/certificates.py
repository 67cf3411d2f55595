"""Certificates for tests of TLS, made with openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import attrs

_EC_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_MAY_SIGN: Final = ("-addext", "keyUsage=critical,keyCertSign")
_NO_AUTHORITY: Final = ("-addext", "basicConstraints=critical,CA:FALSE")
_EXPIRED: Final = """
[ca]
default_ca = authority
[authority]
database = issued
new_certs_dir = .
rand_serial = yes
policy = policy
default_md = sha256
x509_extensions = extensions
[policy]
commonName = supplied
[extensions]
subjectAltName = IP:127.0.0.1
"""
"""The settings of `openssl ca`, which alone takes the dates of a certificate."""


@attrs.frozen
class Pair:
    """The files of a certificate and of its key."""

    certificate: Path
    key: Path


@attrs.frozen
class Authority:
    """A certificate authority of the test's own.

    Args:
        openssl: the program.
        folder: where its files are, and those that it makes.
        name: of the authority; its certificate is `NAME.pem`.
    """

    openssl: str
    folder: Path
    name: str

    @classmethod
    def new(cls, openssl: str, folder: Path, name: str) -> Authority:
        """Make an authority."""
        authority = cls(openssl, folder, name)
        authority._request(name, *_MAY_SIGN)
        return authority

    @property
    def certificate(self) -> Path:
        """The certificate to trust."""
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str, *, days: int = 30) -> Pair:
        """Make a certificate for 127.0.0.1, which expires after some days."""
        signed = ("-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-addext", "subjectAltName=IP:127.0.0.1")
        self._request(name, *signed, *_NO_AUTHORITY, days=days)
        return Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def issue_expired(self, name: str) -> Pair:
        """Make a certificate for 127.0.0.1 that expired years ago."""
        pair = self.issue(name)
        (self.folder / "issued").touch()
        (self.folder / "expired.cnf").write_text(_EXPIRED)
        self._run("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        signed = ("-cert", f"{self.name}.pem", "-keyfile", f"{self.name}.key", "-in", f"{name}.csr", "-out", f"{name}.pem")
        validity = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
        self._run("ca", "-batch", "-notext", "-config", "expired.cnf", *signed, *validity)
        return pair

    def encrypt(self, key: Path) -> Path:
        """Return a file with the key behind a passphrase."""
        path = key.with_suffix(".encrypted")
        self._run("pkey", "-in", str(key), "-aes256", "-passout", "pass:four", "-out", str(path))
        return path

    def _request(self, name: str, *words: str, days: int = 30) -> None:
        made = ("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", str(days))
        self._run("req", "-x509", *_EC_KEY, *made, *words)

    def _run(self, *words: str) -> None:
        subprocess.run([self.openssl, *words], cwd=self.folder, check=True, capture_output=True, timeout=60)
