"""Comparisons that raise an `AssertionError` that says what was expected, without pytest and under `python -O`, too."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import cast


def expect(expected: object, actual: object, about: str) -> None:
    """Fail unless both are equal; `about` says what is compared."""
    if expected != actual:
        raise AssertionError(f"{about}: expected {expected!r:.2000}, got {actual!r:.2000}")


@contextmanager
def expect_error(*kinds: type[Exception], about: str) -> Generator[None]:
    """Fail unless the block raises an error of one of these kinds; `about` says what is tried."""
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield
    except kinds:
        return
    except Exception as error:
        raise AssertionError(f"{about}: expected {names}, got {error!r}") from error
    raise AssertionError(f"{about}: expected {names}, but nothing was raised")


def plain(value: object) -> object:
    """Return a value in which every mapping, of any class, is a dict, to compare and to print it."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in cast("Mapping[object, object]", value).items()}
    return value
