"""Values and secrets that are read from files: when they are read again, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from statcore.errors import InputError
from statcore_connection.files import FileValue, read_secret


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


def test_a_secret_has_at_most_64_kib(tmp_path: Path) -> None:
    """A longer file is refused, and nothing of it is shown."""
    file = tmp_path / "secret"
    file.write_text("x" * 65_536)
    assert "x" * 65_536 == read_secret(str(file), setting="token_file")
    file.write_text("x" * 65_537)
    with pytest.raises(InputError, match=r"^token_file must hold one line") as caught:
        read_secret(str(file), setting="token_file")
    assert "xx" not in str(caught.value)


def test_a_missing_secret_says_what_is_wrong(tmp_path: Path) -> None:
    """The error has the reason of the system, and not the path, which may be a secret."""
    with pytest.raises(InputError, match=r"^token_file cannot be read: No such file or directory$"):
        read_secret(str(tmp_path / "missing"), setting="token_file")
