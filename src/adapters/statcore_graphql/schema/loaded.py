"""Fields whose values a loader loads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import attrs
import strawberry
from strawberry.scalars import JSON
from strawberry.types.base import StrawberryObjectDefinition

from statcore.model.statistics import Problem, decode_entry, shown_value
from statcore_graphql.batch_loader import Request
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.outcomes import Outcome

LOADER: Final = "statcore.loader"
"""The key of the loader's name in a field's metadata."""
LOADED: Final = "statcore.loaded"
"""The key of the `LoadedField` in a field's metadata."""

Show: TypeAlias = Callable[[Mapping[str, object]], dict[str, object]]
"""Returns a decoded entry in the form that clients see."""
InnerProblem: TypeAlias = tuple[tuple[str, ...], Problem]
"""The path of a part of a field's value, empty for the whole value, and the problem of that part."""
Shown: TypeAlias = tuple[dict[str, object] | None, Sequence[InnerProblem]]
"""The value of a field as clients see it, and what is wrong with it."""


@attrs.frozen(kw_only=True)
class LoadedField:
    """How a field's value is made of what a loader loads.

    Args:
        loader: the loader's name.
        keys: returns the loader's keys for an object.
        show: returns the value from the object and the outcomes of its keys, in order; or raises the error of the field.
    """

    loader: str
    keys: Callable[[Any], Sequence[Hashable]]
    show: Callable[[Any, Sequence[Outcome]], Shown]

    def field(self, *, description: str) -> Any:  # noqa: ANN401 - Strawberry's
        """Return the field for Strawberry.

        Its resolver serves objects that are not in a list, and lists of a schema that `build_schema` did not build.
        """

        # Not a coroutine function: the keys are requested while the answer is walked, so that one read loads all keys.
        def resolve(root: strawberry.Parent[Any], info: strawberry.Info[GraphQueryContext]) -> JSON | None:
            loader = info.context.dataloader_manager.get_loader(info.context, self.loader)
            return cast("JSON", self._resolve(root, info, loader.request(self.keys(root))))

        return strawberry.field(resolver=resolve, description=description, metadata={LOADER: self.loader, LOADED: self})

    async def _resolve(
        self, root: object, info: strawberry.Info[GraphQueryContext], request: Request
    ) -> dict[str, object] | None:
        value, problems = self.show(root, list(await request.outcomes()))
        info.context.problems.extend(([*info.path.as_list(), *inner], problem) for inner, problem in problems)
        return value


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

    def show_outcome(_: object, outcomes: Sequence[Outcome]) -> Shown:
        ((entry, problem),) = outcomes
        if isinstance(entry, BaseException):
            raise entry
        return (None, ()) if entry is None else show_entry(entry, problem, show)

    return LoadedField(loader=loader, keys=lambda root: (key(root),), show=show_outcome).field(description=description)


def show_entry(entry: Mapping[str, Any], problem: Problem | None, show: Show) -> Shown:
    """Return an entry decoded, as clients see it.

    Args:
        entry: the entry; decoding it now may show that some of its metrics are malformed.
        problem: what is wrong with it according to the loader, or None.
        show: converts the decoded entry to what clients see.
    """
    value, problems = decode_entry(entry)
    return show(value), problems if problem is None else [((), problem), *problems]


def shown_metrics(metrics: Mapping[str, object]) -> dict[str, object]:
    """Return the metrics of a kernel, session or node as clients see them, without numbers that mean nothing."""
    return {metric: shown_value(metric, value) for metric, value in metrics.items()}


def loader_names(schema: strawberry.Schema) -> set[str]:
    """Return the names of the loaders that the fields of a schema need."""
    types = (known.definition for known in schema.schema_converter.type_map.values())
    fields = (field for type_ in types if isinstance(type_, StrawberryObjectDefinition) for field in type_.fields)
    return {field.metadata[LOADER] for field in fields if LOADER in field.metadata}
