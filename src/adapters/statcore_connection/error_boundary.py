"""The boundary of an adapter: every exception that is not ours becomes a `ProtocolError`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from statcore.errors import ProtocolError, StatcoreError

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def only_our_errors(method: Callable[_P, Coroutine[Any, Any, _Result]]) -> Callable[_P, Coroutine[Any, Any, _Result]]:
    """Return a method that raises nothing but errors of statcore, and `asyncio.CancelledError`.

    Wrong arguments in the call itself stay a `TypeError`. An error that nobody foresaw is not retryable: nothing says that
    the service is unavailable, and the same call would most likely fail in the same way.
    """

    @wraps(method)
    async def call(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
        coroutine = method(*args, **kwargs)
        try:
            return await coroutine
        except StatcoreError:
            raise
        except Exception as error:
            raise ProtocolError(f"{method.__name__} failed: {describe_unforeseen(error)}") from error

    return call


def describe_unforeseen(error: Exception) -> str:
    """Return the type of an error that was raised, and where; its text may hold a secret, and is left out."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    code = frame.f_code
    return f"unexpected {type(error).__name__} in {code.co_name}, line {line} of {Path(code.co_filename).name}"
