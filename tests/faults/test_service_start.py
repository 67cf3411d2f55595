"""Fault 32: a port that is taken, or a setting that cannot be used, is one line that names the setting."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import pytest
from tests.e2e.program import statcore
from tests.support.service import NO_STORES

NO_TOML: Final = "no.toml"
WRONG: Final = [
    ("--host", "no.such.host.invalid", "host"),
    ("--host", "192.0.2.1", "host"),
    ("--drain-s", "nan", "drain_s"),
    ("--tls-cert", NO_TOML, "tls_cert_file"),
    ("--token-file", NO_TOML, "--token-file"),
    ("--config", NO_TOML, NO_TOML),
    ("--metrics-url", "http://127.0.0.1:x", "--metrics-url"),
]


def error_of(*arguments: str, **settings: str) -> str:
    """Return the one line of an error that ends the service at its start."""
    ended = statcore("serve", *arguments, **{**NO_STORES, "port": "0", **settings})
    assert "" == ended.stdout
    assert ended.returncode in {1, 2}
    (line,) = ended.stderr.splitlines()
    assert line.startswith("statcore: ")
    return line


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service ends at once, with one line and without a traceback."""
    monkeypatch.chdir(tmp_path)
    Path(NO_TOML).write_text("[unfinished")
    for option, value, named in WRONG:
        line = error_of(option, value)
        assert named in line, line


def test_a_port_that_is_taken_is_named() -> None:
    """It is named with the host, and the system says why."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = error_of("--workers", "2", port=str(port))
    assert f"port {port} of host 127.0.0.1" in line
    assert line.endswith("Address already in use")
