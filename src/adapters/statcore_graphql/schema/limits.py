"""Limits on the size of a query: tokens, depth, aliases.

Each fragment is measured once. Following every spread again could take exponential time.
"""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple, cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)

from statcore.errors import LimitError

MAX_TOKENS: Final = 1_000
MAX_DEPTH: Final = 8
MAX_ALIASES: Final = 50


class _Size(NamedTuple):
    depth: int = 0
    aliases: int = 0


class SizeRule(ValidationRule):
    """Rejects an operation that is nested too deeply or has too many aliases; `size_rule` makes one with other limits."""

    max_depth: ClassVar[int] = MAX_DEPTH
    max_aliases: ClassVar[int] = MAX_ALIASES

    def __init__(self, context: ValidationContext) -> None:
        """Start with no fragment measured."""
        super().__init__(context)
        self._measured: dict[str, _Size] = {}

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: object) -> None:
        """Measure an operation, and report an error when it is too large."""
        size = self._measure(node.selection_set)
        if size.depth > self.max_depth:
            self._refuse(f"the query is nested {size.depth} deep, more than {self.max_depth}", node, limit="depth")
        if size.aliases > self.max_aliases:
            self._refuse(f"the query has {size.aliases} aliases, more than {self.max_aliases}", node, limit="aliases")

    def _refuse(self, message: str, node: OperationDefinitionNode, *, limit: str) -> None:
        self.report_error(GraphQLError(message, node, original_error=LimitError(message, limit=limit)))

    def _measure(self, selections: SelectionSetNode | None) -> _Size:
        sizes: list[_Size] = []
        for selection in selections.selections if selections else ():
            if isinstance(selection, FragmentSpreadNode):
                sizes.append(self._fragment(selection.name.value))
            elif not isinstance(selection, FieldNode):
                sizes.append(self._measure(cast("InlineFragmentNode", selection).selection_set))
            elif selection.name.value.startswith("__"):  # introspection has its own limit of depth
                sizes.append(_Size(0, int(bool(selection.alias))))
            else:
                within = self._measure(selection.selection_set)
                sizes.append(_Size(within.depth + 1, within.aliases + bool(selection.alias)))
        return _Size(max((size.depth for size in sizes), default=0), sum(size.aliases for size in sizes))

    def _fragment(self, name: str) -> _Size:
        if name not in self._measured:
            self._measured[name] = _Size()  # other rules reject a fragment that spreads itself or is missing
            fragment = self.context.get_fragment(name)
            if fragment is not None:
                self._measured[name] = self._measure(fragment.selection_set)
        return self._measured[name]


def size_rule(*, max_depth: int, max_aliases: int) -> type[SizeRule]:
    """Return a rule with limits of its own; graphql-core makes an object of it for each validation."""
    return type("SizeRule", (SizeRule,), {"max_depth": max_depth, "max_aliases": max_aliases})


def exceeds_tokens(error: GraphQLError) -> bool:
    """Return whether the parser gave up because of its limit of tokens, for which it has no error of its own."""
    return isinstance(error, GraphQLSyntaxError) and error.message.endswith("tokens. Parsing aborted.")
