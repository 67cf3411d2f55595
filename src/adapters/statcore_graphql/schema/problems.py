"""What a response says beside its data: which errors are whose, and which values are not to be trusted."""

from __future__ import annotations

from typing import Any, Final

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension

from statcore.errors import StatcoreError
from statcore_graphql.context import GraphQueryContext

_UNEXPECTED: Final = "internal error; the server's log says more"


class ProblemsExtension(SchemaExtension):
    """Puts the problems of values that are answered all the same into `extensions.problems`, each with its path."""

    def get_results(self) -> dict[str, Any]:
        """Return what is added to the response."""
        context: GraphQueryContext = self.execution_context.context
        problems = [
            {"path": path, "kind": problem.kind.value, "message": problem.message} for path, problem in context.problems
        ]
        return {"problems": problems} if problems else {}


def is_expected(error: GraphQLError) -> bool:
    """Return whether the query is wrong, or an error of ours came of it."""
    cause = error.original_error
    return cause is None or isinstance(cause, GraphQLError | StatcoreError)


def shown(error: GraphQLError) -> GraphQLError:
    """Return what a client is told: errors of ours have a code, all others, which may tell too much, no message."""
    cause = error.original_error
    if isinstance(cause, StatcoreError):
        extensions = {"code": type(cause).__name__, "retryable": cause.retryable}
        return GraphQLError(error.message, nodes=error.nodes, path=error.path, extensions=extensions)
    if is_expected(error):
        return error
    return GraphQLError(_UNEXPECTED, nodes=error.nodes, path=error.path, extensions={"code": "InternalError"})
