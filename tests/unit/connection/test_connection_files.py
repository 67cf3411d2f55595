"""Values and secrets that are read from files: when they are read again, and what is refused."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from statcore.errors import InputError
from statcore_connection.files import FileValue, read_secret
from statcore_prometheus import PrometheusClient, PrometheusOptions
from statcore_valkey import ValkeyOptions, ValkeyStatistics


def test_a_rotated_link_is_a_change(tmp_path: Path) -> None:
    """A cluster mounts secrets as links; the new target may have the same length and time as the old one."""
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
    """Each call looks at the file, and reads it only after a change."""
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


def test_a_file_that_cannot_be_used_leaves_the_last_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each call reads it again, and each of its states is logged once. The value before a change is known."""
    file = tmp_path / "file"
    file.write_text("one")
    reads: list[str] = []

    def read() -> str:
        reads.append(file.read_text())
        return read_secret(str(file), setting="x")

    value = FileValue([str(file)], read)
    states = ["two\nlines", "", "three\nmore\nlines"]
    for number, text in enumerate(states, 1):
        file.write_text(text)
        assert ["one", "one"] == [value.current() for _ in range(2)]
        assert number == len(caplog.messages)
    assert ["one", *(text for text in states for _ in range(2))] == reads
    assert caplog.messages[0].endswith("; the value that was read before stays in use")
    file.write_text("four")
    assert ("four", "one") == (value.current(), value.previous)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "cannot be read: expected the path of a file with text in UTF-8"),
        *((content, "must hold one line of text ") for content in (b"", b"\n", b"a\nb\n", b"a\0", b"x" * 65_537)),
    ],
)
def test_a_secret_is_one_line_of_at_most_64_kib(tmp_path: Path, content: bytes | None, message: str) -> None:
    """Another file is refused; the error shows neither its content nor its path, which may be a secret."""
    file = tmp_path / "hunter2"
    for good in (b"x" * 65_536, b"one line\n", b"one line\r\n"):
        file.write_bytes(good)
        assert good.decode().strip() == read_secret(str(file), setting="token_file")
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(InputError, match=f"^token_file {message}") as caught:
        read_secret(str(file), setting="token_file")
    assert "xx" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "connect",
    [
        lambda settings: PrometheusClient("https://host", options=PrometheusOptions(**settings)),
        lambda settings: ValkeyStatistics.from_url("valkeys://store", options=ValkeyOptions(**settings)),
    ],
    ids=["Prometheus", "Valkey"],
)
@pytest.mark.parametrize("setting", ["tls_ca_file", "tls_cert_file"])
def test_a_tls_file_that_cannot_be_used_is_named_at_once(connect: Any, setting: str, tmp_path: Path) -> None:
    """Both adapters refuse a missing file, and one that is no certificate; the path is not shown."""
    garbage = tmp_path / "hunter2.pem"
    garbage.write_text("garbage")
    for path in (tmp_path / "hunter2-missing.pem", garbage, "hunter2", "hunter2/", "hunter2" * 1000):
        with pytest.raises(InputError, match=f"{setting}.* cannot be used: .*; expected") as error:
            connect({setting: str(path)})
        assert "hunter2" not in "".join(traceback.format_exception(error.value))
