"""The boundary of an adapter: every exception that is not ours becomes a `ProtocolError`."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from statcore.errors import ProtocolError, StatcoreError

_Method = TypeVar("_Method", bound=Callable[..., Coroutine[Any, Any, Any]])


def only_our_errors(method: _Method) -> _Method:
    """Return a method that raises only errors of statcore and `asyncio.CancelledError`.

    A call with a wrong number or wrong names of arguments still raises `TypeError`. An unexpected error is not retryable:
    nothing shows that the service is unavailable, and the same call would most likely fail in the same way.
    """

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the arguments of the method
        coroutine = method(*args, **kwargs)
        try:
            return await coroutine
        except StatcoreError:
            raise
        except Exception as error:
            raise ProtocolError(f"{method.__name__} failed: {describe_unforeseen(error)}") from error

    return cast("_Method", call)


def describe_unforeseen(error: Exception) -> str:
    """Return the type of an error and the place where it was raised; its text is left out, since it may hold a secret."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    code = frame.f_code
    return f"unexpected {type(error).__name__} in {code.co_name}, line {line} of {Path(code.co_filename).name}"
