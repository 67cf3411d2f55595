"""Errors that a client may see, and problems of doubtful values: the parts of a response beside its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from graphql import GraphQLError
from strawberry.extensions import SchemaExtension

from statcore.concurrency import in_turns
from statcore.errors import (
    ClosedError,
    InputError,
    LimitError,
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
from statcore_graphql.schema.limits import exceeds_tokens

_UNEXPECTED: Final = "internal error; the server's log says more"
_CLIENT_ERRORS: Final = (InputError, MalformedEntryError, QueryRejectedError, UnsupportedError)
_GENERAL_MESSAGES: Final[Mapping[type[StatcoreError], str]] = {
    ClosedError: "the connection to the store or backend of this field is closed; the server's log says more",
    TimedOutError: "the store or backend of this field did not answer in time",
    UnavailableError: "the store or backend of this field is unavailable; the server's log says more",
    PartialAnswerError: "the metric backend could not read all of its data; the server's log says more",
    ProtocolError: "the store or backend of this field gave an invalid answer; the server's log says more",
    PluginError: "a plugin failed; the server's log says more",
}


class ProblemsExtension(SchemaExtension):
    """Adds `extensions.problems` to a response: what is wrong with values in its data, each with its path."""

    async def get_results(self) -> dict[str, Any]:
        """Return the extensions of the response."""
        context: GraphQueryContext = self.execution_context.context
        problems: list[dict[str, Any]] = []
        async for part in in_turns(context.problems):
            problems += [{"path": path, "kind": problem.kind.value, "message": problem.message} for path, problem in part]
        return {"problems": problems} if problems else {}


def is_expected(error: GraphQLError) -> bool:
    """Return whether the error is in the query itself, or is a `StatcoreError`."""
    cause = error.original_error
    return cause is None or isinstance(cause, GraphQLError | StatcoreError) or _is_too_deep(error)


def shown_error(error: GraphQLError) -> GraphQLError:
    """Return the error as the client sees it: with its message if the client can correct it, or with a general message.

    Messages of services and plugins may contain secrets or addresses; only the log shows them.
    """
    if _is_too_deep(error):
        refusal = LimitError("the document is nested too deeply", limit="depth")
        error = GraphQLError(str(refusal), original_error=refusal)
    cause = error.original_error
    if exceeds_tokens(error):
        cause = LimitError(error.message, limit="tokens")
    if cause is None or isinstance(cause, GraphQLError):
        return error
    extensions: dict[str, Any] = {"code": "InternalError"}
    message = _UNEXPECTED
    if isinstance(cause, StatcoreError):
        extensions = {"code": type(cause).__name__, "retryable": cause.retryable}
        if isinstance(cause, LimitError):
            extensions["limit"] = cause.limit
        # A ClosedError is an InputError, but not caused by the query.
        is_client_error = isinstance(cause, _CLIENT_ERRORS) and not isinstance(cause, ClosedError)
        message = error.message if is_client_error else _general_message(cause)
    return GraphQLError(message, error.nodes, error.source, error.positions, error.path, extensions=extensions)


def _is_too_deep(error: GraphQLError) -> bool:
    """Return whether a document is nested too deeply for graphql-core 3.2, which refuses none; no field has run yet."""
    return isinstance(error.original_error, RecursionError) and error.path is None


def _general_message(error: StatcoreError) -> str:
    return next((message for kind, message in _GENERAL_MESSAGES.items() if isinstance(error, kind)), _UNEXPECTED)
