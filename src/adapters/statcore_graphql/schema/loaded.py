"""Fields with values from a loader, and reading ahead what the items of a list need of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias, cast

import strawberry
from strawberry.scalars import JSON
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.nodes import SelectedField, Selection

from statcore.concurrency import run_concurrently
from statcore.model.statistics import Problem, decode_entry, shown_value
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.outcomes import Outcome, Outcomes

LOADER: Final = "statcore.loader"
"""The key of the loader's name in a field's metadata."""
RESOLVE: Final = "statcore.resolve"
KEYS: Final = "statcore.keys"
"""The key, in a field's metadata, of a function that returns the loader's keys for an object."""

Show: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]
"""Returns a decoded entry in the form that clients see."""
_Info: TypeAlias = strawberry.Info[GraphQueryContext]


def shown_metrics(metrics: Mapping[str, object]) -> dict[str, object]:
    """Return the metrics of a kernel, session or node as clients see them, without numbers that mean nothing."""
    return {metric: shown_value(metric, value) for metric, value in metrics.items()}


def statistics_field(
    loader: str,
    *,
    key: Callable[[Any], Hashable],
    description: str,
    show: Show = dict,
) -> Any:  # noqa: ANN401 - Strawberry's
    """Return a field with the statistics of an object, which a loader loads.

    Args:
        loader: the loader's name.
        key: returns the loader's key for the object.
        description: the field's description in the schema.
        show: converts a decoded entry to what clients see; by default nothing is changed.
    """

    def answer(_: object, outcomes: Sequence[Outcome], info: _Info) -> dict[str, object] | None:
        ((value, problem),) = outcomes
        if isinstance(value, BaseException):
            raise value
        return None if value is None else read_entry(value, problem, info, show)

    return loaded_field(loader, keys=lambda root: (key(root),), description=description, answer=answer)


def loaded_field(
    loader: str,
    *,
    keys: Callable[[Any], Sequence[Hashable]],
    description: str,
    answer: Callable[[Any, Sequence[Outcome], _Info], dict[str, object] | None],
) -> Any:  # noqa: ANN401 - Strawberry's
    """Return a field whose value is made of what a loader loads for an object's keys.

    Args:
        loader: the loader's name.
        keys: returns the loader's keys for the object.
        description: the field's description in the schema.
        answer: returns the field's value from the object, the outcomes of its keys, and the field.
    """

    # Not a coroutine function: without look-ahead, its keys are requested while the answer is walked, so that one read
    # loads all keys. With look-ahead the values are there, and no coroutine is needed.
    def resolve(root: Any, info: Any) -> Any:  # noqa: ANN401 - Strawberry's or graphql-core's info
        context, object_keys = info.context, keys(root)
        batch_loader = context.dataloader_manager.get_loader(context, loader)
        outcomes = [batch_loader.loaded(key) for key in object_keys]
        if None in outcomes:
            return later(batch_loader.outcomes(object_keys), root, info)
        return answer(root, outcomes, info)

    async def later(outcomes: Awaitable[Outcomes], root: object, info: Any) -> dict[str, object] | None:
        return answer(root, list(await outcomes), info)

    def strawberry_resolver(root: strawberry.Parent[Any], info: _Info) -> JSON | None:
        return cast("JSON", resolve(root, info))

    return strawberry.field(
        resolver=strawberry_resolver,
        description=description,
        metadata={LOADER: loader, KEYS: keys, RESOLVE: resolve},
    )


def resolve_directly(schema: strawberry.Schema) -> None:
    for known in schema.schema_converter.type_map.values():
        if isinstance(known.definition, StrawberryObjectDefinition):
            for field in known.definition.fields:
                graphql_field = known.implementation.fields.get(field.python_name)
                if graphql_field is None:
                    continue
                if RESOLVE in field.metadata:
                    graphql_field.resolve = field.metadata[RESOLVE]
                elif field.is_basic_field:
                    graphql_field.resolve = (lambda get: lambda source, info: get(source))(attrgetter(field.python_name))


async def read_ahead(items: Sequence[object], info: _Info, *, path: str = "items") -> None:
    """Load what the selected fields of all items need, with one read for each loader.

    Args:
        items: objects of one GraphQL type.
        info: the field that returns an object with the list.
        path: the name of the list in that object.
    """
    keys_of: dict[str, list[Hashable]] = {}
    selections = [selection for field in info.selected_fields for selection in field.selections]
    _collect(items, [below for field in _fields(selections) if field.name == path for below in field.selections], keys_of)
    manager, context = info.context.dataloader_manager, info.context

    async def load(name: str, keys: Sequence[Hashable]) -> None:
        await manager.get_loader(context, name).outcomes(keys)

    await run_concurrently(load(name, keys) for name, keys in keys_of.items())


def _collect(items: Sequence[object], selections: Iterable[Selection], keys_of: dict[str, list[Hashable]]) -> None:
    if not items:
        return
    definition: StrawberryObjectDefinition = type(items[0]).__strawberry_definition__  # type: ignore[attr-defined]
    fields = {field.python_name: field for field in definition.fields}
    for selected in _fields(selections):
        field = fields.get(selected.name)
        if field is None:
            continue
        if KEYS in field.metadata:
            keys = field.metadata[KEYS]
            keys_of.setdefault(field.metadata[LOADER], []).extend(key for item in items for key in keys(item))
        elif selected.selections and field.is_basic_field:
            children = [child for item in items for child in getattr(item, selected.name) or ()]
            _collect(children, selected.selections, keys_of)


def _fields(selections: Iterable[Selection]) -> Iterable[SelectedField]:
    """Return the selected fields, those of fragments included, without what a directive leaves out."""
    for selection in selections:
        if isinstance(selection, SelectedField):
            skip, include = selection.directives.get("skip"), selection.directives.get("include")
            if not (skip and skip.get("if")) and (include is None or include.get("if")):
                yield selection
        else:
            yield from _fields(selection.selections)


def loader_names(schema: strawberry.Schema) -> set[str]:
    """Return the names of the loaders that the fields of a schema need."""
    types = (known.definition for known in schema.schema_converter.type_map.values())
    fields = (field for type_ in types if isinstance(type_, StrawberryObjectDefinition) for field in type_.fields)
    return {field.metadata[LOADER] for field in fields if LOADER in field.metadata}


def read_entry(
    entry: Mapping[str, Any], remark: Problem | None, info: strawberry.Info[GraphQueryContext], show: Show
) -> dict[str, object]:
    """Return an entry decoded, as clients see it, and add what is wrong with it to the problems of the context.

    Args:
        entry: the entry; decoding it now may show that some of its metrics are malformed.
        remark: what is wrong with it according to the loader, or None.
        info: the field.
        show: converts the decoded entry to what clients see.
    """
    value, problems = decode_entry(entry)
    if remark or problems:
        context, path = info.context, info.path.as_list()
        if remark:
            context.problems.append((path, remark))
        context.problems.extend(([*path, *inner], problem) for inner, problem in problems)
    return show(value)
