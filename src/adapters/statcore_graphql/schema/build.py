"""Builds the schema and checks it at start-up; logs the errors of each request."""

from __future__ import annotations

import logging
from typing import Final

import strawberry
from graphql import GraphQLError, version_info
from strawberry.extensions import AddValidationRules, MaxTokensLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from statcore.model.text import describe
from statcore_graphql.loaders import DataLoaderManager
from statcore_graphql.schema.documents import DocumentCache, DocumentCheck, new_documents
from statcore_graphql.schema.execution import CancellableExecutor
from statcore_graphql.schema.limits import MAX_ALIASES, MAX_DEPTH, MAX_TOKENS, size_rule
from statcore_graphql.schema.loaded import loader_names
from statcore_graphql.schema.problems import ProblemsExtension, is_expected, shown_error
from statcore_graphql.schema.query import Query

_logger: Final = logging.getLogger("statcore_graphql")


class StatcoreSchema(strawberry.Schema):
    """A schema that logs a `StatcoreError` in one line and any other error with its traceback.

    A client sees only errors that it can correct; it gets a general message for all others.
    """

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors of a request, each kind once per field, and replace them by what the client sees."""
        expected: dict[object, list[GraphQLError]] = {}
        unexpected: dict[int, GraphQLError] = {}
        for error in errors:
            if is_expected(error):
                field = tuple(step for step in error.path or () if isinstance(step, str))
                expected.setdefault((type(error.original_error), field), []).append(error)
            else:
                unexpected.setdefault(id(error.original_error), error)
        for first, *more in expected.values():
            cause = first.original_error or GraphQLError(first.message)
            where = ".".join(map(str, first.path or ["query"]))
            others = f" and {len(more)} others" if more else ""
            _logger.warning("%.200s%s: %.1000s", where, others, describe(cause))  # a client may have written both
        super().process_errors(list(unexpected.values()), execution_context)
        errors[:] = map(shown_error, errors)


def build_schema(
    manager: DataLoaderManager,
    *,
    query: type = Query,
    max_depth: int = MAX_DEPTH,
    max_aliases: int = MAX_ALIASES,
    max_tokens: int = MAX_TOKENS,
) -> strawberry.Schema:
    """Return the schema.

    Args:
        manager: the loaders by name; the `GraphQueryContext` of every request must have the same manager.
        query: `Query`, or the host's subclass of it with more fields.
        max_depth: how deeply the fields of a query may be nested; introspection has a limit of its own.
        max_aliases: how many aliases a query may have.
        max_tokens: how many tokens the text of a query may have.

    Raises:
        InputError: a field needs a loader that the manager does not have; the message lists the known loaders.
    """
    documents = new_documents()
    rule = size_rule(max_depth=max_depth, max_aliases=max_aliases)
    schema = StatcoreSchema(
        query,
        execution_context_class=_executor(),
        config=StrawberryConfig(auto_camel_case=False),
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=max_tokens),
            lambda: AddValidationRules([rule]),
            lambda: DocumentCache(documents),
            DocumentCheck,
            ProblemsExtension,
        ],
    )
    manager.check(loader_names(schema))
    return schema


def _executor() -> type[CancellableExecutor]:
    """Return what executes operations. Completing lists by plans needs methods that graphql-core has since 3.3."""
    if version_info < (3, 3):
        return CancellableExecutor
    from statcore_graphql.schema.lists import ListExecutor  # noqa: PLC0415

    return ListExecutor
