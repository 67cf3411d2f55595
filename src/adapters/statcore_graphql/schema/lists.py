"""Executes lists: loads at once what the items of a list need, and completes the items without a task for each value.

graphql-core completes a list field by field, with a coroutine for each value that is loaded. Here the fields that are
selected below a list become a plan, once for all items. A plan has attributes, loaded fields, and lists of objects that
have a plan themselves; a loaded field may have an object, or objects, with attributes alone. Any other selection is left to
graphql-core. An item that its plan cannot complete, for example because a field has an error, is left to it too: the rules
for errors and null stay in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from functools import partial
from inspect import iscoroutine
from itertools import chain
from operator import attrgetter
from typing import Any, Final, TypeAlias, cast

import attrs
import msgspec
from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    Undefined,
    is_leaf_type,
)
from graphql.execution import get_argument_values
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from statcore.concurrency import give_way, in_turns, run_concurrently
from statcore_graphql.batch_loader import BatchLoader, Request
from statcore_graphql.context import FieldProblem, GraphQueryContext
from statcore_graphql.schema.encoding import encode_response
from statcore_graphql.schema.execution import CancellableExecutor
from statcore_graphql.schema.loaded import LOADED, LoadedField

_OBJECTS_PER_TURN: Final = 64
"""How many objects are completed in one turn of the event loop: items of a list, and objects in them."""
_ITEMS_PER_REQUEST: Final = 1_000
"""The keys of how many items are listed in one turn of the event loop."""
_TYPENAME: Final = "__typename"

_OutputType: TypeAlias = Any
"""A GraphQL type of values; graphql-core's own name for it is not completely typed."""
_Place: TypeAlias = tuple[Any, str | int] | None
"""The place of a value in the answer: the place of its object or list, and its name or position there."""
_Keys: TypeAlias = dict[BatchLoader[Any], list[Hashable]]
_Complete: TypeAlias = "Callable[[Any, _Place, _Tally], object]"
"""Returns a field's value for an item that is at a place, and adds its problems and its objects to a tally."""


class _LeftToGraphQLCoreError(Exception):
    """The plan cannot complete an item."""


@attrs.define
class _Tally:
    """What was found while items were completed.

    Attributes:
        objects: how many objects were completed.
        problems: the problems of their values.
    """

    objects: int = 0
    problems: list[FieldProblem] = attrs.field(factory=list[FieldProblem], init=False)


@attrs.frozen
class _Plan:
    """How objects of one type are completed.

    Args:
        fields: by response name, how the field is completed.
        loads: the loaded fields with their loaders.
        lists: the lists of objects, each with the function that reads it and the plan of its items.
    """

    fields: dict[str, _Complete] = attrs.field(factory=dict[str, _Complete], init=False)
    loads: list[tuple[LoadedField, BatchLoader[Any]]] = attrs.field(factory=list[Any], init=False)
    lists: list[tuple[Callable[[Any], Any], _Plan]] = attrs.field(factory=list[Any], init=False)

    def complete(self, item: object, place: _Place, tally: _Tally) -> dict[str, object]:
        """Return the selected fields of an item."""
        tally.objects += 1
        return {name: complete(item, (place, name), tally) for name, complete in self.fields.items()}

    def keys_of(self, items: Sequence[Any]) -> _Keys:
        """Return the keys that the items need from each loader; an item or a list that is None needs none."""
        keys_of: _Keys = {}
        present = [item for item in items if item is not None]
        for field, loader in self.loads:
            keys_of.setdefault(loader, []).extend(key for item in present for key in field.keys(item))
        for read, plan in self.lists:
            for loader, keys in plan.keys_of([child for item in present for child in read(item) or ()]).items():
                keys_of.setdefault(loader, []).extend(keys)
        return keys_of


class ListExecutor(CancellableExecutor):
    """Completes lists by plans where their items have one, and gives way to the event loop after every 64 objects."""

    def complete_list_item_value(
        self,
        item: object,
        complete_results: list[Any],
        item_type: _OutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[GraphQueryContext],
        item_path: Path,
        position_context: Any,  # noqa: ANN401 - graphql-core's, passed on
    ) -> bool:
        """Complete an item as graphql-core does, and note the coroutine of its value, which it asks nobody about."""
        core: Any = super()
        is_pending: bool = core.complete_list_item_value(
            item, complete_results, item_type, field_details_list, info, item_path, position_context
        )
        if is_pending and iscoroutine(complete_results[-1]):
            self._coroutines.append(complete_results[-1])
        return is_pending

    def complete_iterable_value(
        self,
        item_type: _OutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[GraphQueryContext],
        path: Path,
        items: Iterable[Any],
        position_context: Any,  # noqa: ANN401 - graphql-core's, passed on
    ) -> Any:  # noqa: ANN401 - a list, or a coroutine that returns one
        """Complete a list by its plan, or as graphql-core does."""
        core: Any = super()  # its types are not complete
        complete_list = partial(
            core.complete_iterable_value, item_type, field_details_list, info, path, items, position_context
        )

        async def complete_item(item: object, position: int) -> object:
            arguments = (item_type, field_details_list, info, path.add_key(position, None), position_context)
            if core.is_awaitable(item):
                return await core.complete_awaitable_list_item_value(item, *arguments)
            completed: list[Any] = []
            is_pending = core.complete_list_item_value(item, completed, *arguments)
            return await completed[0] if is_pending else completed[0]

        plan = self._plan_of_items(item_type, field_details_list) if isinstance(items, list) and items else None
        if plan is None:
            return complete_list()
        listed = cast("list[Any]", items)
        try:
            # The keys of short lists are requested at once, so that one read loads what all lists of an answer need.
            requests = _request(plan.keys_of(listed)) if len(listed) <= _ITEMS_PER_REQUEST else None
        except Exception:  # noqa: BLE001 - graphql-core meets it again, and makes it the error of its field
            return complete_list()
        if requests is not None:
            return self._complete_in_turns(plan, requests, listed, path, complete_item)

        async def complete_long_list() -> Any:  # noqa: ANN401 - a list
            try:
                requested = await _request_in_turns(plan, listed)
            except Exception:  # noqa: BLE001 - graphql-core meets it again
                completed = complete_list()
                return await completed if core.is_awaitable(completed) else completed
            return await self._complete_in_turns(plan, requested, listed, path, complete_item)

        return complete_long_list()

    async def _complete_in_turns(
        self,
        plan: _Plan,
        requests: Sequence[Request],
        items: Sequence[Any],
        path: Path,
        complete_item: Callable[[object, int], Coroutine[Any, Any, object]],
    ) -> list[Any] | msgspec.Raw:
        await run_concurrently(request.ended() for request in requests)
        list_place: _Place = None
        for key in path.as_list():
            list_place = (list_place, key)
        in_lists, in_text = list[list[Any]](), list[bytes]()
        tally = _Tally()
        position = 0
        while position < len(items):
            if position:
                await give_way()
            completed = await self._complete_turn(plan, items, position, list_place, complete_item, tally)
            position += len(completed)
            if self.context_value.encoded:
                in_text.append(encode_response(completed)[1:-1])
            else:
                in_lists.append(completed)
        self.context_value.problems.extend(tally.problems)  # not before, because an error may make the list null
        return msgspec.Raw(b"[%b]" % b",".join(in_text)) if self.context_value.encoded else list(chain(*in_lists))

    async def _complete_turn(
        self,
        plan: _Plan,
        items: Sequence[object],
        first: int,
        list_place: _Place,
        complete_item: Callable[[object, int], Coroutine[Any, Any, object]],
        tally: _Tally,
    ) -> list[Any]:
        """Return the completed items from the position `first` on, as many as one turn has."""
        completed: list[Any] = []
        incomplete: list[int] = []
        last_object = tally.objects + _OBJECTS_PER_TURN
        for position in range(first, len(items)):
            known = len(tally.problems)
            try:
                completed.append(plan.complete(items[position], (list_place, position), tally))
            except Exception:  # noqa: BLE001 - graphql-core meets it again, and makes it the error of its field
                del tally.problems[known:]
                completed.append(None)
                incomplete.append(position)
            if tally.objects >= last_object:
                break
        values = await run_concurrently(complete_item(items[position], position) for position in incomplete)
        for position, value in zip(incomplete, values, strict=True):
            completed[position - first] = value
        return completed

    def _plan_of_items(self, item_type: _OutputType, details: FieldDetailsList) -> _Plan | None:
        type_, _ = _nullable(item_type)
        has_middleware = self.middleware_manager is not None and self.middleware_manager.middlewares
        if not isinstance(type_, GraphQLObjectType) or type_.is_type_of or has_middleware or self.abort_signal is not None:
            return None
        plan = _Plan()
        for name, field_details in self.collect_subfields(type_, details).grouped_field_set.items():
            complete = self._plan_field(type_, field_details, plan)
            if complete is None:
                return None
            plan.fields[name] = complete
        return plan

    def _plan_field(self, parent: GraphQLObjectType, details: FieldDetailsList, plan: _Plan) -> _Complete | None:
        node = details[0].node
        if node.name.value == _TYPENAME:
            return lambda _item, _place, _tally: parent.name
        graphql_field = parent.fields[node.name.value]
        field: StrawberryField | None = graphql_field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        if field is None or field.extensions:
            return None
        if LOADED in field.metadata:
            return self._plan_loaded(field.metadata[LOADED], graphql_field, details, plan)
        return self._plan_attribute(field, graphql_field.type, details, plan) if field.is_basic_field else None

    def _plan_loaded(
        self, loaded: LoadedField, graphql_field: GraphQLField, details: FieldDetailsList, plan: _Plan
    ) -> _Complete | None:
        try:
            arguments = get_argument_values(graphql_field, details[0].node, self.variable_values)
        except GraphQLError:
            return None
        inner = self._plan_objects(cast("Any", graphql_field).type, details)
        if inner is None:
            return None
        loader = self.context_value.dataloader_manager.get_loader(self.context_value, loaded.loader)
        plan.loads.append((loaded, loader))
        return _loaded(loaded, loader, arguments, inner, encoded=self.context_value.encoded)

    def _plan_objects(self, output_type: _OutputType, details: FieldDetailsList) -> _Complete | None:
        """Return how a loaded value is completed: a leaf stays as it is, an object or a list of objects has a plan."""
        type_, _ = _nullable(output_type)
        is_list = isinstance(type_, GraphQLList)
        if is_leaf_type(type_):
            return lambda value, _place, _tally: value
        plan = self._plan_of_items(_inner(type_) if is_list else type_, details)
        if plan is None or plan.loads or plan.lists:  # what is loaded for a loaded object is left to graphql-core
            return None
        return _objects(lambda value: value, plan) if is_list else plan.complete

    def _plan_attribute(
        self, field: StrawberryField, output_type: _OutputType, details: FieldDetailsList, plan: _Plan
    ) -> _Complete | None:
        type_, required = _nullable(output_type)
        read: Callable[[Any], Any] = attrgetter(field.python_name)
        if is_leaf_type(type_):
            return _attribute(read, type_, required=required)
        of_items = self._plan_of_items(_inner(type_), details) if isinstance(type_, GraphQLList) else None
        if of_items is None:
            return None
        plan.lists.append((read, of_items))
        return _objects(read, of_items)


def _nullable(type_: _OutputType) -> tuple[_OutputType, bool]:
    """Return a type without its `!`, and whether it had one."""
    return (_inner(type_), True) if isinstance(type_, GraphQLNonNull) else (type_, False)


def _inner(type_: _OutputType) -> _OutputType:
    return type_.of_type


def _request(keys_of: _Keys) -> list[Request]:
    return [loader.request(keys) for loader, keys in keys_of.items()]


async def _request_in_turns(plan: _Plan, items: Sequence[Any]) -> list[Request]:
    """Request the keys of all items at once, but list them in several turns of the event loop."""
    keys_of: _Keys = {}
    async for part in in_turns(items, size=_ITEMS_PER_REQUEST):
        for loader, keys in plan.keys_of(part).items():
            keys_of.setdefault(loader, []).extend(keys)
    return _request(keys_of)


def _attribute(read: Callable[[Any], Any], leaf: GraphQLLeafType, *, required: bool) -> _Complete:
    def complete(item: object, _place: _Place, _tally: _Tally) -> object:
        value = read(item)
        if value is None and not required:
            return None
        coerced: object = None if value is None else leaf.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise _LeftToGraphQLCoreError
        return coerced

    return complete


def _loaded(
    field: LoadedField, loader: BatchLoader[Any], arguments: dict[str, Any], inner: _Complete, *, encoded: bool
) -> _Complete:
    def complete(item: object, place: _Place, tally: _Tally) -> object:
        outcomes = [loader.loaded(key) for key in field.keys(item)]
        if None in outcomes:
            raise _LeftToGraphQLCoreError
        value, found = field.show(item, cast("Any", outcomes), encoded=encoded, **arguments)
        if found:
            path = _path(place)
            tally.problems.extend(([*path, *part], problem) for part, problem in found)
        return None if value is None else inner(value, place, tally)

    return complete


def _objects(read: Callable[[Any], Any], plan: _Plan) -> _Complete:
    def complete(item: object, place: _Place, tally: _Tally) -> object:
        return [plan.complete(child, (place, position), tally) for position, child in enumerate(read(item))]

    return complete


def _path(place: _Place) -> list[str | int]:
    path: list[str | int] = []
    while place is not None:
        place, key = place
        path.append(key)
    return path[::-1]
