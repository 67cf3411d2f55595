"""The project of a new plugin, from the templates in `templates/plugin`."""

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
    """What a new plugin contributes, as the folder of its templates is called."""

    QUERIER = "querier"
    STORE = "store"
    BACKEND = "backend"

    @property
    def kind(self) -> str:
        """What messages and reports call it."""
        return _TITLES[self]

    def offer(self, name: str) -> str:
        """Return how reports list a contribution of this sort."""
        return f"{self.kind} {name}{'' if self is Part.QUERIER else ':'}"


_TITLES: Final = {Part.QUERIER: "querier", Part.STORE: "statistics store", Part.BACKEND: "metric backend"}


def check_name(name: str, registry: PluginRegistry, part: Part = Part.QUERIER) -> None:
    """Refuse what cannot be the name of a new contribution, or what is there already.

    Raises:
        InputError: the name is none, or is taken by a plugin or an import package.
    """
    # The class of a new querier is contributed as it is: what that is called must be what users are to type.
    called = _name_given_by(_class_name(name))
    if called != name:
        instead = f"; take {called}" if called else ""
        raise InputError(f"a name is made of lower-case words, such as rack or tape-library, not {name!r:.100}{instead}")
    for report in registry.reports:
        if part.offer(name) in report.offers:
            raise InputError(f"the {part.kind} {name} is there already: it comes from {report.origin}")
        if report.name == name:
            raise InputError(f"a plugin of the name {name} is there already: {report.origin}")
    package = f"statcore_{_module_word(name)}"
    if find_spec(package) is not None:
        raise InputError(f"a package of the name {package} is installed already")


def project_files(kind: str, part: Part = Part.QUERIER) -> Mapping[str, str]:
    """Return the text of each file of the project by its path."""
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
    """Write the files into a folder of their own: all of them, or none.

    They are written beside it, and moved there when all are complete.

    Raises:
        InputError: the folder exists, or it cannot be written.
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


def _name_given_by(class_name: str) -> str | None:
    if not (class_name.isascii() and class_name.isidentifier()):
        return None
    querier = type(class_name, (ContainerMetricQuerier,), {"__doc__": "A class of that name."})
    try:
        return QuerierSpec.of(querier).name
    except InputError:
        return None


def _class_name(kind: str) -> str:
    return "".join(word.capitalize() for word in re.split("[-_]", kind)) + _SUFFIX


def _module_word(kind: str) -> str:
    return kind.replace("-", "_")
