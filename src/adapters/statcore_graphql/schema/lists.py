"""Executes lists: what the items of a list need is loaded at once, and its items are completed without a task for each.

graphql-core resolves and completes field by field, with a coroutine for each value that is loaded. Here the fields that are
selected below a list become a plan. If the plan has only attributes, loaded fields, and lists of objects with such a plan,
the items are completed by the plan; every other list is left to graphql-core. So is an item whose completion fails in any
way, which keeps the rules for errors and null in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias, cast

import attrs
from graphql import (
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from statcore.concurrency import in_turns, run_concurrently
from statcore_graphql.batch_loader import BatchLoader, Request
from statcore_graphql.context import FieldProblem, GraphQueryContext
from statcore_graphql.schema.loaded import LOADED, LoadedField

_ITEMS_PER_TURN: Final = 64
"""How many items of a list are completed in one turn of the event loop."""
_TYPENAME: Final = "__typename"

_Path: TypeAlias = list[str | int]


class UnusualError(Exception):
    """An item cannot be completed by its plan."""


@attrs.frozen
class _Attribute:
    """A field that is an attribute of the object."""

    read: Callable[[object], object]
    leaf: GraphQLLeafType
    required: bool

    def complete(self, item: object, path: _Path, problems: list[FieldProblem]) -> object:
        value = self.read(item)
        if value is None:
            if self.required:
                raise UnusualError
            return None
        return self.leaf.coerce_output_value(value)


@attrs.frozen
class _Loaded:
    """A field whose value a loader loads."""

    field: LoadedField
    loader: BatchLoader[Any]

    def complete(self, item: object, path: _Path, problems: list[FieldProblem]) -> object:
        loaded = self.loader.loaded
        outcomes = [loaded(key) for key in self.field.keys(item)]
        if None in outcomes:
            raise UnusualError
        value, found = self.field.show(item, cast("Any", outcomes))
        if found:
            problems.extend(([*path, *inner], problem) for inner, problem in found)
        return value


@attrs.frozen
class _TypeName:
    name: str

    def complete(self, item: object, path: _Path, problems: list[FieldProblem]) -> object:
        return self.name


@attrs.frozen
class _Objects:
    """A field that is a list of objects, which are attributes of the object."""

    read: Callable[[object], object]
    plan: _Plan

    def complete(self, item: object, path: _Path, problems: list[FieldProblem]) -> object:
        items = self.read(item)
        if not isinstance(items, list):
            raise UnusualError
        plan = self.plan
        return [
            plan.complete(child, [*path, position], problems) for position, child in enumerate(cast("list[object]", items))
        ]


@attrs.frozen
class _Plan:
    """How objects of one type are completed: by response name, how each field is."""

    fields: Mapping[str, _Attribute | _Loaded | _TypeName | _Objects]

    def complete(self, item: object, path: _Path, problems: list[FieldProblem]) -> dict[str, object]:
        return {name: field.complete(item, [*path, name], problems) for name, field in self.fields.items()}

    def add_keys(self, items: Iterable[object], keys_of: dict[BatchLoader[Any], list[Hashable]]) -> None:
        """Add what the items need from each loader."""
        for field in self.fields.values():
            if isinstance(field, _Loaded):
                keys = field.field.keys
                keys_of.setdefault(field.loader, []).extend(key for item in items for key in keys(item))
            elif isinstance(field, _Objects):
                children = [child for item in items for child in cast("Iterable[object]", field.read(item))]
                field.plan.add_keys(children, keys_of)


class ListExecutor(StrawberryGraphQLCoreExecutionContext):
    """Completes lists by their plans."""

    context_value: GraphQueryContext

    def complete_iterable_value(
        self,
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo,
        path: Path,
        items: Iterable[Any],
        position_context: Any,
    ) -> Any:
        """Complete a list by a plan if there is one for its items."""
        object_type = item_type.of_type if is_non_null_type(item_type) else item_type
        plan = None
        if isinstance(items, list) and items and is_object_type(object_type) and not self.abort_signal:
            plan = self._plan(object_type, field_details_list)
        if plan is None:
            return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)
        keys_of: dict[BatchLoader[Any], list[Hashable]] = {}
        plan.add_keys(items, keys_of)
        # Now, not in the coroutine, so that one read loads what all lists of an answer need.
        requests = [loader.request(keys) for loader, keys in keys_of.items()]
        return self._complete_page(plan, requests, item_type, field_details_list, info, path, items, position_context)

    async def _complete_page(
        self,
        plan: _Plan,
        requests: Sequence[Request],
        item_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo,
        path: Path,
        items: Sequence[object],
        position_context: Any,
    ) -> list[Any]:
        for request in requests:
            await request.outcomes()
        list_path, completed, pending = path.as_list(), list[Any](), list[int]()
        problems = self.context_value.problems
        async for turn in in_turns(items, size=_ITEMS_PER_TURN):
            for item in turn:
                position = len(completed)
                found: list[FieldProblem] = []
                try:
                    completed.append(plan.complete(item, [*list_path, position], found))
                except Exception:  # noqa: BLE001 - graphql-core finds it again, with its path
                    item_path = path.add_key(position, None)
                    if self.complete_list_item_value(
                        item, completed, item_type, field_details_list, info, item_path, position_context
                    ):
                        pending.append(position)
                else:
                    problems.extend(found)
        for position, value in zip(
            pending, await run_concurrently(completed[position] for position in pending), strict=True
        ):
            completed[position] = value
        return completed

    def _plan(self, object_type: GraphQLObjectType, field_details_list: FieldDetailsList) -> _Plan | None:
        if object_type.is_type_of or (self.middleware_manager and self.middleware_manager.middlewares):
            return None
        fields: dict[str, Any] = {}
        for name, details in self.collect_subfields(object_type, field_details_list).grouped_field_set.items():
            field = self._field(object_type, details)
            if field is None:
                return None
            fields[name] = field
        return _Plan(fields)

    def _field(
        self, object_type: GraphQLObjectType, details: FieldDetailsList
    ) -> _Attribute | _Loaded | _TypeName | _Objects | None:
        field_name = details[0].node.name.value
        if field_name == _TYPENAME:
            return _TypeName(object_type.name)
        graphql_field = object_type.fields[field_name]
        field: StrawberryField | None = graphql_field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if field is None:
            return None
        if LOADED in field.metadata:
            loaded: LoadedField = field.metadata[LOADED]
            manager = self.context_value.dataloader_manager
            return _Loaded(loaded, manager.get_loader(self.context_value, loaded.loader))
        if not field.is_basic_field:
            return None
        read, required = attrgetter(field.python_name), is_non_null_type(graphql_field.type)
        type_ = graphql_field.type.of_type if required else graphql_field.type
        if is_leaf_type(type_):
            return _Attribute(read, type_, required)
        if is_list_type(type_):
            inner = type_.of_type.of_type if is_non_null_type(type_.of_type) else type_.of_type
            plan = self._plan(inner, details) if is_object_type(inner) else None
            return None if plan is None else _Objects(read, plan)
        return None
