"""Fields with values from a loader; a field's metadata names its loader, which is checked at start-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Final, TypeAlias, cast

import strawberry
from strawberry.scalars import JSON
from strawberry.types.base import StrawberryObjectDefinition

from statcore.model.statistics import Problem, decode_entry, shown_value
from statcore_graphql.context import GraphQueryContext

LOADER: Final = "statcore.loader"
"""The key of the loader's name in a field's metadata."""

Show: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]
"""Returns a decoded entry in the form that clients see."""


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

    # Not a coroutine function: its key is requested while the answer is walked, so that one read loads all keys.
    def resolve(root: strawberry.Parent[Any], info: strawberry.Info[GraphQueryContext]) -> JSON | None:
        context, object_key = info.context, key(root)
        loading = context.dataloader_manager.get_loader(context, loader).load(object_key)
        return cast("JSON", _loaded(loading, loader, object_key, info, show))

    return strawberry.field(resolver=resolve, description=description, metadata={LOADER: loader})


def loader_names(schema: strawberry.Schema) -> set[str]:
    """Return the names of the loaders that the fields of a schema need."""
    types = (known.definition for known in schema.schema_converter.type_map.values())
    fields = (field for type_ in types if isinstance(type_, StrawberryObjectDefinition) for field in type_.fields)
    return {field.metadata[LOADER] for field in fields if LOADER in field.metadata}


async def _loaded(
    loading: Awaitable[Mapping[str, Any] | None],
    loader: str,
    key: Hashable,
    info: strawberry.Info[GraphQueryContext],
    show: Show,
) -> dict[str, object] | None:
    entry = await loading
    if entry is None:
        return None
    remark = info.context.dataloader_manager.get_remark(info.context, loader, key)
    return read_entry(entry, remark, info, show)


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
    context, path = info.context, info.path.as_list()
    if remark:
        context.problems.append((path, remark))
    value, problems = decode_entry(entry)
    context.problems.extend(([*path, *inner], problem) for inner, problem in problems)
    return show(value)
