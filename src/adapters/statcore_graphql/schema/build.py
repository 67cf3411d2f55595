"""Building the schema: everything that can be found wrong is found wrong now, and not by a query."""

from __future__ import annotations

import logging
from typing import Final

import strawberry
from graphql import GraphQLError
from strawberry.extensions import AddValidationRules, MaxTokensLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from statcore.model.text import describe
from statcore_graphql.loaders import DataLoaderManager
from statcore_graphql.schema.limits import MAX_TOKENS, SizeRule
from statcore_graphql.schema.loaded import loader_names
from statcore_graphql.schema.problems import ProblemsExtension, is_expected, shown
from statcore_graphql.schema.query import Query

_LOGGER: Final = logging.getLogger("statcore_graphql")


class StatcoreSchema(strawberry.Schema):
    """A schema that logs errors of ours in one line, all others with their traceback, and tells clients only of ours."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log the errors of a request, those that are alike once, and put what is shown in their place."""
        ours: dict[object, list[GraphQLError]] = {}
        others: dict[int, GraphQLError] = {}
        for error in errors:
            if is_expected(error):
                field = tuple(step for step in error.path or () if isinstance(step, str))
                ours.setdefault((type(error.original_error), field), []).append(error)
            else:
                others.setdefault(id(error.original_error), error)
        for first, *more in ours.values():
            said = first.original_error or GraphQLError(first.message)
            where = ".".join(map(str, first.path or ["query"])) + (f" and {len(more)} others" if more else "")
            _LOGGER.warning("%s: %s", where, describe(said))
        super().process_errors(list(others.values()), execution_context)
        errors[:] = map(shown, errors)


def build_schema(manager: DataLoaderManager, *, query: type = Query) -> strawberry.Schema:
    """Return the schema, whose requests are executed with a `GraphQueryContext` that has the same manager.

    Args:
        manager: the loaders that there are.
        query: `Query`, or the host's subclass of it with more fields.

    Raises:
        InputError: a field wants a loader that the manager does not have; the message lists those that it has.
    """
    schema = StatcoreSchema(
        query,
        config=StrawberryConfig(auto_camel_case=False),
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
            lambda: AddValidationRules([SizeRule]),
            ProblemsExtension,
        ],
    )
    manager.check(loader_names(schema))
    return schema
