"""Public names of a package that are loaded when they are first asked for, so that finding its plugin loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def on_demand(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` (PEP 562); `homes` says in which of its modules each name is."""

    def load(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
        from importlib import import_module  # noqa: PLC0415 - only this needs it

        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load
