"""The project of a new plugin, from the templates in `templates/plugin`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from statcore.errors import InputError
from statcore.plugins.contributions import QuerierSpec
from statcore.plugins.registry import PluginRegistry
from statcore.queriers.container import ContainerMetricQuerier

_FILES: Final = (
    "README.md",
    "pyproject.toml",
    "src/statcore_NAME/__init__.py",
    "src/statcore_NAME/py.typed",
    "tests/test_NAME.py",
)


def check_kind(kind: str, registry: PluginRegistry) -> None:
    """Refuse what cannot be the name of a new kind of querier, or what is there already.

    Raises:
        InputError: the name is none, or is taken by a plugin or an import package.
    """
    # The class of the new plugin is contributed as it is: what that is called must be what users are to type.
    called = _name_given_by(_class_name(kind))
    if called != kind:
        instead = f"; {_class_name(kind)} would be called {called}" if called else ""
        raise InputError(f"a kind is called by lower-case words such as rack or tape-library, not {kind!r:.100}{instead}")
    for report in registry.reports:
        if f"querier {kind}" in report.offers:
            raise InputError(f"the querier {kind} is there already: it comes from {report.origin}")
        if report.name == kind:
            raise InputError(f"a plugin of the name {kind} is there already: {report.origin}")
    package = f"statcore_{_module_word(kind)}"
    if find_spec(package) is not None:
        raise InputError(f"a package of the name {package} is installed already")


def project_files(kind: str) -> Mapping[str, str]:
    """Return the text of each file of the project by its path."""
    name = _module_word(kind)
    words = {
        "kind": kind,
        "name": name,
        "words": kind.replace("-", " "),
        "querier": _class_name(kind),
        "version": version("statcore").partition("+")[0],
    }
    templates = resources.files("statcore_cli") / "templates" / "plugin"
    return {
        path.replace("NAME", name): Template((templates / f"{path}.template").read_text(encoding="utf-8")).substitute(words)
        for path in _FILES
    }


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files into a folder of their own: all of them, or none.

    Raises:
        InputError: the folder exists, or it cannot be written.
    """
    try:
        folder.mkdir()
        try:
            for path, text in files.items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except FileExistsError:
        raise InputError(f"{folder} exists already; nothing was written") from None
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
    return "".join(word.capitalize() for word in re.split("[-_]", kind)) + "MetricQuerier"


def _module_word(kind: str) -> str:
    return kind.replace("-", "_")
