"""Arguments that may be left out are keyword-only: another one can be added, or the order changed, without harm."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

ADAPTERS = ["statcore_collector", "statcore_memory", "statcore_prometheus", "statcore_valkey"]


def public_calls(package: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions, constructors and methods of a package by name."""
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            yield name, value
        if inspect.isclass(value):
            for method in vars(value):
                if not method.startswith("_") and callable(getattr(value, method)):
                    yield f"{name}.{method}", getattr(value, method)


@pytest.mark.parametrize("package", ADAPTERS)
def test_optional_arguments_of_adapters_are_keyword_only(package: str) -> None:
    """This holds for each public function, constructor and method."""
    optional = [
        (name, parameter.name, parameter.kind)
        for name, call in public_calls(package)
        for parameter in inspect.signature(call).parameters.values()
        if parameter.default is not parameter.empty
    ]
    assert optional
    assert [] == [(name, argument) for name, argument, kind in optional if kind is not inspect.Parameter.KEYWORD_ONLY]
