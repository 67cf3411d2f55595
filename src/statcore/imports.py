"""Imports on first use: of libraries that an extra installs, and of the modules of an adapter's package."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from statcore.errors import MissingExtraError


@contextmanager
def requires_extra(extra: str) -> Generator[None]:
    """Raise an error that names the extra to install if an import in the block fails.

    Raises:
        MissingExtraError: a module that the block imports is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, module=error.name) from error


def on_demand(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` (PEP 562) for a package, so that loading its plugin does not import its other modules.

    Args:
        package: the name of the package.
        homes: each public name, and the module of the package that has it.

    Returns:
        The function; it raises `AttributeError` for any other name.
    """

    def load(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
        from importlib import import_module  # noqa: PLC0415 - only this needs it

        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load
