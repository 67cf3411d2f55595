"""Values that are read from files: when they are read again."""

from __future__ import annotations

import os
from pathlib import Path

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
