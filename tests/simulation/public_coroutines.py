"""Finds every public coroutine of statcore: exported functions and methods, and methods of what implements a port."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from statcore import ports

PACKAGES: Final = (
    *("statcore", "statcore_memory", "statcore_valkey", "statcore_prometheus"),
    *("statcore_collector", "statcore_graphql", "statcore_web"),
)
WITHOUT_LIST: Final = frozenset({"statcore.concurrency", "statcore.runtime"})
"""Modules whose functions are public although nothing exports them."""
NOT_FOR_HOSTS: Final = "statcore.testing"


def public_coroutines() -> set[str]:
    """Return the names of all public coroutines, such as `statcore_memory.statistics.MemoryStatistics.ping`."""
    port_methods = [methods for name in ports.__all__ if (methods := _coroutines(getattr(ports, name)))]
    names: set[str] = set()
    for module in _modules():
        exported = set(getattr(module, "__all__", ()))
        for name in exported | vars(module).keys():
            value = getattr(module, name)
            home = str(getattr(value, "__module__", None))
            is_public = name in exported or (home == module.__name__ in WITHOUT_LIST and not name.startswith("_"))
            if not home.startswith("statcore") or home.startswith(NOT_FOR_HOSTS):
                continue
            if isinstance(value, type):
                own = _coroutines(value)
                implements_port = home == module.__name__ and any(methods <= own for methods in port_methods)
                if (is_public or implements_port) and not getattr(value, "_is_protocol", False):
                    names |= {f"{home}.{value.__qualname__}.{method}" for method in own}
            elif is_public and _is_coroutine(value):
                names.add(f"{home}.{value.__qualname__}")
    return names


def _modules() -> Iterator[ModuleType]:
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.startswith(NOT_FOR_HOSTS):
                yield importlib.import_module(found.name)


def _coroutines(kind: type) -> set[str]:
    """Return the public coroutine functions of a class that statcore defines."""
    members = {name: inspect.getattr_static(kind, name, None) for name in dir(kind) if not name.startswith("_")}
    return {
        name
        for name, value in members.items()
        if _is_coroutine(value) and str(getattr(value, "__module__", None)).startswith("statcore")
    }


def _is_coroutine(value: Any) -> bool:
    """Tell coroutine functions, and those of asynchronous generators and context managers."""
    function = getattr(value, "__func__", value)
    function = inspect.unwrap(function) if callable(function) else function
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
