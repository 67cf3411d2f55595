"""Installed distributions for tests of plugins and of what reads them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Install distributions: `install("acme-nodes", nodes=SOURCE)` is an entry point and a module of each name.

    The folder returned is on `sys.path`, and can be put on another process's; at the end all of it is gone.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    before = set(sys.modules)

    def write(distribution: str, *, version: str = "1.0", entry_points: str | None = None, **modules: str) -> Path:
        folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nName: not this\n"
        )
        prefix = distribution.replace("-", "_")
        lines = [f"{name} = {prefix}_{name}" for name in modules]
        (folder / "entry_points.txt").write_text(entry_points or "\n".join(["[statcore]", *lines, ""]))
        for name, source in modules.items():
            (site / f"{prefix}_{name}.py").write_text(source)
        return site

    yield write
    for name in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
