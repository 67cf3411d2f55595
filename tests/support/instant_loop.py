"""An event loop whose time passes at once, for tests of deadlines and pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class InstantLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        """Start at 0 s."""
        super().__init__()
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def jump(timeout: float | None) -> Any:
            if timeout is None or (ready := select(0)):
                return select(timeout) if timeout is None else ready
            self._now += timeout
            return []

        selector.select = jump

    def time(self) -> float:
        """Return the seconds that timers have taken."""
        return self._now


def run_instantly(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine on an `InstantLoop`."""
    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        return runner.run(coroutine)


def seconds() -> float:
    """Return the time of the event loop."""
    return asyncio.get_running_loop().time()
