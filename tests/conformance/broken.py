"""Adapters that are broken on purpose: a right one, some of whose methods are called through a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from statcore.errors import UnavailableError

Call = Callable[..., Awaitable[Any]]
Fault = Callable[..., Coroutine[Any, Any, Any]]


class Broken:
    """A right adapter, of which each method whose name starts with a prefix is called through a fault.

    The fault is called with this object, the right method and the arguments. It keeps what it has to remember in `memo`.
    """

    def __init__(self, right: Any, fault: Fault, *, prefix: str) -> None:
        """Wrap an adapter."""
        self.right = right
        self.fault = fault
        self.prefix = prefix
        self.memo: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        """Return the right method, or the fault."""
        method = getattr(self.right, name)
        return partial(self.fault, self, method) if name.startswith(self.prefix) else method


def answering(change: Callable[..., Any]) -> Fault:
    """Return a fault that changes what the right method answers; the change gets the arguments, too."""

    async def fault(_: Broken, call: Call, *arguments: Any, **options: Any) -> Any:
        return change(await call(*arguments, **options), *arguments)

    return fault


def calling(change: Callable[[Any], Any]) -> Fault:
    """Return a fault that changes the first argument of a call."""

    async def fault(_: Broken, call: Call, first: Any, *arguments: Any, **options: Any) -> Any:
        return await call(change(first), *arguments, **options)

    return fault


async def is_down(*_: Any) -> None:
    """Raise whatever is called."""
    raise UnavailableError("refused")


async def closes_once(broken: Broken, close: Call) -> None:
    """Raise when it is closed already; the right adapter stays open."""
    if close in broken.memo:
        raise UnavailableError("closed already")
    broken.memo.append(close)


async def confuses_concurrent_calls(broken: Broken, call: Call, *arguments: Any, **options: Any) -> Any:
    """Answer every call with the arguments of the newest call of the same method."""
    broken.memo.append((call, arguments, options))
    await asyncio.sleep(0)
    _, arguments, options = next(called for called in reversed(broken.memo) if called[0] == call)
    return await call(*arguments, **options)


async def keeps_the_reply_of_a_cancelled_call(broken: Broken, call: Call, *arguments: Any, **options: Any) -> Any:
    """Give the reply of a cancelled call to the next call of the same method."""
    broken.memo.append((call, arguments, options))
    await asyncio.sleep(0)
    oldest = next(called for called in broken.memo if called[0] == call)
    broken.memo.remove(oldest)
    return await call(*oldest[1], **oldest[2])


async def swallows_cancellation(_: Broken, call: Call, *arguments: Any, **options: Any) -> Any:
    """Return a result where `CancelledError` is due."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)
    return await call(*arguments, **options)


def checks_defined_in(package: ModuleType) -> list[Any]:
    """Return every check that a module of a package of `statcore.testing` defines."""
    return [
        found
        for name, module in vars(package).items()
        if isinstance(module, ModuleType)
        for attribute, found in vars(module).items()
        if attribute.startswith("check_") and found.__module__ == f"{package.__name__}.{name}"
    ]


def assert_each_is_listed_documented_and_caught(package: ModuleType, caught: Iterable[object]) -> None:
    """Assert that `CHECKS` of a package has each of its checks once, each with a docstring, and a fault that it catches."""
    checks: Sequence[Any] = vars(package)["CHECKS"]
    assert sorted(map(repr, checks_defined_in(package))) == sorted(map(repr, checks))
    assert all(check.__doc__ for check in checks)
    assert set(checks) == set(caught)


def cases(caught: Mapping[Any, Iterable[tuple[str, str, Fault]]]) -> list[Any]:
    """Return a case for each fault that a check must catch: the check, a prefix of methods, and the fault."""
    return [
        pytest.param(check, prefix, fault, id=f"{check.__name__}: {prefix or 'any method'}: {name}")
        for check, faults in caught.items()
        for prefix, name, fault in faults
    ]
