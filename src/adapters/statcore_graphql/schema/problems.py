"""What a response says beside its data: which errors are whose, and which values are not to be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension

from statcore.errors import (
    ClosedError,
    InputError,
    MalformedEntryError,
    PartialAnswerError,
    PluginError,
    ProtocolError,
    QueryRejectedError,
    StatcoreError,
    TimedOutError,
    UnavailableError,
    UnsupportedError,
)
from statcore_graphql.context import GraphQueryContext

_UNEXPECTED: Final = "internal error; the server's log says more"
_CLIENTS_OWN: Final = (InputError, MalformedEntryError, QueryRejectedError, UnsupportedError)
_FAILURES: Final[Mapping[type[StatcoreError], str]] = {
    ClosedError: "the service that has this is closed here; the server's log says more",
    TimedOutError: "the service that has this did not answer in time",
    UnavailableError: "the service that has this cannot be read now; the server's log says more",
    PartialAnswerError: "the metric backend could not read all of its data; the server's log says more",
    ProtocolError: "the service that has this gave an answer that is none; the server's log says more",
    PluginError: "a plugin failed; the server's log says more",
}


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
    """Return what a client is told: of what it can do something about, everything; of all else, what kind of failure it is.

    What services and plugins say of their failures may tell too much; the log has it.
    """
    cause = error.original_error
    if cause is None or isinstance(cause, GraphQLError):
        return error
    extensions: dict[str, Any] = {"code": "InternalError"}
    message = _UNEXPECTED
    if isinstance(cause, StatcoreError):
        extensions = {"code": type(cause).__name__, "retryable": cause.retryable}
        # Of the input errors, this one is not about the query.
        is_clients_own = isinstance(cause, _CLIENTS_OWN) and not isinstance(cause, ClosedError)
        message = error.message if is_clients_own else _told(cause)
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions=extensions)


def _told(error: StatcoreError) -> str:
    return next((sentence for kind, sentence in _FAILURES.items() if isinstance(error, kind)), _UNEXPECTED)
