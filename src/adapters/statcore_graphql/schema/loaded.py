"""Fields whose value a loader brings: which loader that is stands in the field's metadata, to be checked at start-up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Final, TypeAlias, cast

import strawberry
from strawberry.scalars import JSON
from strawberry.types.base import StrawberryObjectDefinition

from statcore.model.batch import Problem, decode_entry
from statcore.model.statistics import shown_value
from statcore_graphql.context import GraphQueryContext

LOADER: Final = "statcore.loader"
"""The key of the loader's name in a field's metadata."""

Show: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]
"""Returns a decoded entry as it may be shown."""


def shown_metrics(metrics: Mapping[str, object]) -> dict[str, object]:
    """Return the metrics of a kernel, a session or a node as they may be shown."""
    return {metric: shown_value(metric, value) for metric, value in metrics.items()}


def statistics_field(
    loader: str,
    *,
    key: Callable[[Any], Hashable],
    description: str,
    show: Show = dict,
) -> Any:  # noqa: ANN401 - Strawberry's
    """Return a field for the statistics that a loader has for an object.

    Args:
        loader: the loader's name.
        key: what the loader knows the object by.
        description: what the schema says of the field.
        show: what is shown of an entry, by default all of it.
    """

    # Not a coroutine itself: all keys of an answer, however deep, are known before the first read.
    def resolve(root: strawberry.Parent[Any], info: strawberry.Info[GraphQueryContext]) -> JSON | None:
        context, wanted = info.context, key(root)
        loading = context.dataloader_manager.get_loader(context, loader).load(wanted)
        return cast("JSON", _loaded(loading, loader, wanted, info, show))

    return strawberry.field(resolver=resolve, description=description, metadata={LOADER: loader})


def loader_names(schema: strawberry.Schema) -> set[str]:
    """Return the loaders that the fields of a schema are brought by."""
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
    """Return an entry decoded, as it may be shown, and note what is wrong with it in the context."""
    context, path = info.context, info.path.as_list()
    if remark:
        context.problems.append((path, remark))
    value, problems = decode_entry(entry)
    context.problems.extend(([*path, *inner], problem) for inner, problem in problems)
    return show(value)
