"""Executes operations: a cancelled one leaves no coroutine that was never awaited, and no read."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from types import CoroutineType
from typing import Any

from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from statcore_graphql.context import GraphQueryContext


class CancellableExecutor(StrawberryGraphQLCoreExecutionContext):
    """Ends everything that a cancelled operation has begun."""

    context_value: GraphQueryContext

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - graphql-core's
        """Take graphql-core's arguments."""
        super().__init__(*arguments, **named)
        core: Any = self
        coroutines: list[CoroutineType[Any, Any, Any]] = []
        is_awaitable: Callable[[object], bool] = core.is_awaitable

        def noting(value: object) -> bool:
            if iscoroutine(value):
                coroutines.append(value)
            return is_awaitable(value)

        core.is_awaitable = noting  # graphql-core calls it with each value that may be a coroutine
        self._coroutines = coroutines

    def execute_operation(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - graphql-core's
        """Execute the operation; if it is cancelled, close the coroutines that were not started, and end all reads.

        graphql-core runs the fields of a selection as tasks. If a task is cancelled before its first step, nobody awaits
        the coroutines that were passed to it, such as that of the field's resolver, which has requested its keys already.
        """
        core: Any = super()
        result = core.execute_operation(*arguments, **named)

        async def execute() -> Any:  # noqa: ANN401 - graphql-core's result
            try:
                return await result
            except CancelledError:
                for coroutine in self._coroutines:
                    if getcoroutinestate(coroutine) == CORO_CREATED:
                        coroutine.close()
                self.context_value.loaders.cancel()
                raise

        return execute() if core.is_awaitable(result) else result
