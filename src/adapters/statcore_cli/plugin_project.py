"""The project that `statcore plugins new` writes, from the folders in `templates`: its name, its files, writing them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Final

from statcore.errors import InputError
from statcore.plugins.hooks import QuerierSpec
from statcore.plugins.registry import PluginRegistry
from statcore.queriers.container import ContainerMetricQuerier

_SUFFIX: Final = "MetricQuerier"
_FILES: Final = (
    "README.md",
    "pyproject.toml",
    "src/statcore_NAME/__init__.py",
    "src/statcore_NAME/py.typed",
    "tests/test_NAME.py",
)


class Part(StrEnum):
    """What a new plugin contributes; the value is the name of its folder of templates."""

    QUERIER = "querier"
    STORE = "store"
    BACKEND = "backend"

    @property
    def kind(self) -> str:
        """The word for it in messages and reports."""
        return _TITLES[self]

    def offer(self, name: str) -> str:
        """Return the text that lists such a contribution in a plugin report."""
        return f"{self.kind} {name}{'' if self is Part.QUERIER else ':'}"


_TITLES: Final = {Part.QUERIER: "querier", Part.STORE: "statistics store", Part.BACKEND: "metric backend"}


def check_name(name: str, registry: PluginRegistry, part: Part = Part.QUERIER) -> None:
    """Check that a new contribution can have this name.

    Raises:
        InputError: the name is not made of lower-case words, or belongs to another plugin or an installed package.
    """
    # Users type the name that statcore derives from the class of the new querier; it must be the name given here.
    derived = _derived_name(_class_name(name))
    if derived != name:
        instead = f"; take {derived}" if derived else ""
        raise InputError(f"a name is made of lower-case words, such as rack or tape-library, not {name!r:.100}{instead}")
    for report in registry.reports:
        if part.offer(name) in report.offers:
            raise InputError(f"the {part.kind} {name} exists already, in {report.origin}; take another name")
        if report.name == name:
            raise InputError(f"a plugin with the name {name} exists already: {report.origin}; take another name")
    package = f"statcore_{_module_word(name)}"
    if find_spec(package) is not None:
        raise InputError(f"a package with the name {package} is installed already; take another name")


def project_files(kind: str, part: Part = Part.QUERIER) -> Mapping[str, str]:
    """Return the text of each file of a project by its path.

    Args:
        kind: a name that `check_name` accepts.
        part: what the plugin contributes.
    """
    name = _module_word(kind)
    querier = _class_name(kind)
    words = {
        "kind": kind,
        "name": name,
        "words": kind.replace("-", " "),
        "part": part.kind,
        "querier": querier,
        "name_class": querier.removesuffix(_SUFFIX),
        "version": version("statcore").partition("+")[0],
    }
    templates = resources.files("statcore_cli") / "templates"

    def template(path: str) -> Template:
        files = [templates / folder / f"{path}.template" for folder in (part.value, "plugin")]
        return Template(next(file for file in files if file.is_file()).read_text(encoding="utf-8"))

    return {path.replace("NAME", name): template(path).substitute(words) for path in _FILES}


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files into a new folder: either all of them or none.

    They are written to a temporary folder, which is renamed when it is complete.

    Raises:
        InputError: the folder exists already, or cannot be written.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder} exists already; nothing was written")
    try:
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:50]}-") as beside:
            whole = Path(beside, folder.name)
            for path, text in files.items():
                file = whole / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            whole.rename(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from error


def _derived_name(class_name: str) -> str | None:
    """Return the name that statcore derives from a querier class, or None where it derives none."""
    if not (class_name.isascii() and class_name.isidentifier()):
        return None
    querier = type(class_name, (ContainerMetricQuerier,), {"__doc__": "A querier class with this name."})
    try:
        return QuerierSpec.of(querier).name
    except InputError:
        return None


def _class_name(kind: str) -> str:
    return "".join(word.capitalize() for word in re.split("[-_]", kind)) + _SUFFIX


def _module_word(kind: str) -> str:
    return kind.replace("-", "_")
