"""Imports on first use: of libraries that an extra installs, and of the modules of a package with public names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from statcore.errors import MissingExtraError


@contextmanager
def requires_extra(extra: str, *, requirement: str | None = None) -> Generator[None]:
    """Raise an error that says what to install if an import in the block fails.

    Args:
        extra: the extra of statcore that the block needs.
        requirement: what pip installs in place of that extra, such as the plugin's own distribution if the block imports
            more of what that depends on.

    Raises:
        MissingExtraError: a module that the block imports is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, module=error.name, requirement=requirement) from error


def on_demand(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions `__getattr__` and `__dir__` (PEP 562) of a package that imports each module on first use.

    Type checkers must not see the two functions, because a module with `__getattr__` has every name for them. So a package
    imports its names under `if TYPE_CHECKING`, and calls this under `else`.

    Args:
        package: the name of the package.
        homes: by module of the package, the public names that the module has, separated by spaces.

    Returns:
        `__getattr__` returns a public name or one of the modules, and raises `AttributeError` for any other name. `__dir__`
        lists the public names and what the package has beside them.
    """
    homes_by_name = {name: home for home, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
        from importlib import import_module  # noqa: PLC0415 - only this needs it

        if name in homes:  # the import makes it an attribute of the package
            return import_module(f"{package}.{name}")
        if name not in homes_by_name:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes_by_name[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next use does not come here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes_by_name})

    return load, names
