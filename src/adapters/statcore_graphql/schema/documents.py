"""Documents by their text: a query that recurs is neither parsed nor validated again. Checks of documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

import attrs
from graphql import ASTValidationRule, DocumentNode, GraphQLError, OperationDefinitionNode, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

_KEPT_DOCUMENTS: Final = 128
_LONGEST_TEXT: Final = 10_000
"""How many characters the text of a kept document may have; a text of few tokens may be megabytes long."""
_MAX_DIGITS: Final = 1_000
_LONG_NUMBER: Final = re.compile(rf"(?<![\w\"])-?[0-9]{{{_MAX_DIGITS + 1}}}")
"""Python converts no number of more than 4,300 digits. graphql-core would raise its error as one of the server."""

_Rules: TypeAlias = tuple[type[ASTValidationRule], ...]


@attrs.define(eq=False)
class Document:
    """A parsed document.

    Attributes:
        node: its syntax tree.
        rules: the rules of its validation.
        errors: what validation found, None before the first validation.
    """

    node: DocumentNode
    rules: _Rules
    errors: list[GraphQLError] | None = None


Documents: TypeAlias = Callable[..., Document]
"""Returns the document of a text for validation rules and options of the parser; raises `GraphQLError` if it has none."""


def new_documents() -> Documents:
    """Return the documents of one schema: a function that keeps the documents that were used last."""

    @lru_cache(maxsize=_KEPT_DOCUMENTS)
    def document(text: str, rules: _Rules, /, **parse_options: Any) -> Document:  # noqa: ANN401 - the parser's
        return Document(parse(text, **parse_options), rules)

    return document


class DocumentCache(SchemaExtension):
    """Takes the document of a request, and what validation found in it, from the documents of its schema."""

    def __init__(self, documents: Documents) -> None:
        """Keep the documents."""
        self._documents = documents
        self._known: Document | None = None

    def on_parse(self) -> Iterator[None]:
        """Set the document of the request."""
        context = self.execution_context
        if context.query and len(context.query) <= _LONGEST_TEXT:
            self._known = self._documents(context.query, context.validation_rules, **context.parse_options)
            context.graphql_document = self._known.node
        yield

    def on_validate(self) -> Iterator[None]:
        """Set what validation found, unless another extension has decided already or has changed the rules."""
        context, known = self.execution_context, self._known
        if known is not None and known.rules == context.validation_rules and context.pre_execution_errors is None:
            if known.errors is None:
                schema: Any = context.schema
                known.errors = validate_document(schema._schema, known.node, known.rules)  # noqa: SLF001 - as Strawberry
            context.pre_execution_errors = list(known.errors)
        yield


class DocumentCheck(SchemaExtension):
    """Refuses what the libraries let pass: numbers that Python cannot convert, and several operations without a name."""

    def on_parse(self) -> Iterator[None]:
        """Look for a long number."""
        query = self.execution_context.query
        if query and _LONG_NUMBER.search(query):
            raise GraphQLError(f"the document has a number of more than {_MAX_DIGITS} digits")
        yield

    def on_validate(self) -> Iterator[None]:
        """Count the operations: Strawberry executes the first if the request names none."""
        context: Any = self.execution_context
        document = context.graphql_document
        if document is not None and context._provided_operation_name is None:  # noqa: SLF001 - the public name is the first's
            count = sum(isinstance(definition, OperationDefinitionNode) for definition in document.definitions)
            if count > 1:
                error = GraphQLError(f"the document has {count} operations; name one of them in operationName")
                context.pre_execution_errors = [*(context.pre_execution_errors or ()), error]
        yield
