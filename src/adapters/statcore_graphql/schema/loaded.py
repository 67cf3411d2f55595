"""Fields whose values a loader loads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, Protocol, TypeAlias, cast

import attrs
import strawberry
from strawberry.scalars import JSON
from strawberry.types.base import StrawberryObjectDefinition

from statcore.errors import InputError
from statcore.model.batch import check_fields
from statcore.model.statistics import Problem, decode_entry, shown_value
from statcore_graphql.batch_loader import Request
from statcore_graphql.context import GraphQueryContext
from statcore_graphql.outcomes import Outcome
from statcore_graphql.schema.encoding import encode_entry, encode_value

LOADER: Final = "statcore.loader"
"""The key of the loader's name in a field's metadata."""
LOADED: Final = "statcore.loaded"
"""The key of the `LoadedField` in a field's metadata."""

InnerProblem: TypeAlias = tuple[tuple[str, ...], Problem]
"""The path of a part of a field's value, empty for the whole value, and the problem of that part."""
Shown: TypeAlias = tuple[object, Sequence[InnerProblem]]
"""The value of a field as clients see it, None for null, and what is wrong with it."""
MAX_FIELDS: Final = 50
"""The most names that the argument `fields` may have."""

_FIELDS: Final = 'The fields of metrics to which the value is limited, such as "mem.current"; by default all.'
_Info: TypeAlias = strawberry.Info[GraphQueryContext]


class Show(Protocol):
    """Returns a field's value from an object and the outcomes of its keys, in order; raises the error of the field."""

    def __call__(
        self,
        root: Any,  # noqa: ANN401 - an object of any GraphQL type
        outcomes: Sequence[Outcome],
        /,
        *,
        encoded: bool,
        fields: Sequence[str] | None = None,
    ) -> Shown:
        """Return the value, and what is wrong with it.

        Args:
            root: the object.
            outcomes: the outcomes of its keys.
            encoded: whether the value should be JSON text.
            fields: the names of the fields of metrics to which the value is limited; None for all.
        """
        ...


@attrs.frozen(kw_only=True)
class LoadedField:
    """How a field's value is made of what a loader loads.

    Args:
        loader: the loader's name.
        keys: returns the loader's keys for an object.
        show: returns the value.
    """

    loader: str
    keys: Callable[[Any], Sequence[Hashable]]
    show: Show

    def field(self, *, description: str, selects: bool = False, of: object = None) -> Any:  # noqa: ANN401 - Strawberry's
        """Return the field for Strawberry.

        Its resolver is for objects that are not in a list, and for lists without a plan.

        Args:
            description: the field's description in the schema.
            selects: whether the field has the argument `fields`.
            of: the type of the value, by default JSON.
        """

        # Not coroutine functions: the keys are requested while the answer is walked, so that one read loads all keys.
        def resolve(root: strawberry.Parent[Any], info: _Info) -> JSON | None:
            return cast("JSON", self._resolve(root, info, self._request(root, info)))

        def resolve_selected(
            root: strawberry.Parent[Any],
            info: _Info,
            fields: Annotated[list[str] | None, strawberry.argument(description=_FIELDS)] = None,
        ) -> JSON | None:
            return cast("JSON", self._resolve(root, info, self._request(root, info), fields=fields))

        return strawberry.field(
            resolver=resolve_selected if selects else resolve,
            description=description,
            graphql_type=of,
            metadata={LOADER: self.loader, LOADED: self},
        )

    def _request(self, root: object, info: _Info) -> Request:
        return info.context.dataloader_manager.get_loader(info.context, self.loader).request(self.keys(root))

    async def _resolve(self, root: object, info: _Info, request: Request, **arguments: Any) -> object:  # noqa: ANN401
        outcomes = await request.outcomes()
        value, problems = self.show(root, list(outcomes), encoded=info.context.encoded, **arguments)
        if problems:
            path = info.path.as_list()
            info.context.problems.extend(([*path, *inner], problem) for inner, problem in problems)
        return value


def only_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a field with one key.

    Raises:
        BaseException: its value, if that is an exception.
    """
    (outcome,) = outcomes
    if isinstance(outcome.value, BaseException):
        raise outcome.value
    return outcome


def statistics_field(
    loader: str,
    *,
    key: Callable[[Any], Hashable],
    description: str,
    show: Callable[[Mapping[str, object]], dict[str, object]] = dict,
) -> Any:  # noqa: ANN401 - Strawberry's
    """Return a field with an entry of an object, which a loader loads.

    Args:
        loader: the loader's name.
        key: returns the loader's key for the object.
        description: the field's description in the schema.
        show: converts a decoded entry to what clients see; by default nothing is changed.
    """

    def show_outcome(
        _: object, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
    ) -> Shown:
        del fields
        entry, problem = only_outcome(outcomes)
        if entry is None:
            return None, ()
        value, problems = decode_entry(entry)
        shown = show(value)
        return encode_value(shown) if encoded else shown, _with(problem, problems)

    return LoadedField(loader=loader, keys=lambda root: (key(root),), show=show_outcome).field(description=description)


def metrics_field(loader: str, *, key: Callable[[Any], Hashable], description: str, hides: bool) -> Any:  # noqa: ANN401
    """Return a field with the metrics of an object, which a loader loads, and the argument `fields`.

    Args:
        loader: the loader's name.
        key: returns the loader's key for the object.
        description: the field's description in the schema.
        hides: whether numbers that mean nothing become null.
    """

    def show_outcome(
        _: object, outcomes: Sequence[Outcome], /, *, encoded: bool, fields: Sequence[str] | None = None
    ) -> Shown:
        entry, problem = only_outcome(outcomes)
        if entry is None:
            return None, ()
        return show_metrics(entry, problem, fields, encoded=encoded, hides=hides)

    loaded = LoadedField(loader=loader, keys=lambda root: (key(root),), show=show_outcome)
    return loaded.field(description=description, selects=True)


def show_metrics(
    entry: Mapping[str, Any], problem: Problem | None, fields: Sequence[str] | None, *, encoded: bool, hides: bool
) -> Shown:
    """Return an entry of metrics as clients see it.

    Args:
        entry: the entry; decoding it now may show that some of its metrics are malformed.
        problem: what is wrong with it according to the loader, or None.
        fields: the fields to which it is limited, such as "mem.current"; None for all.
        encoded: whether to return JSON text.
        hides: whether numbers that mean nothing become null.

    Raises:
        InputError: a name in `fields` is not such a name or occurs twice, or there are too many.
    """
    text = encode_entry(entry, shown=hides) if encoded and fields is None else None
    if text is not None:
        return text, _with(problem, ())
    names_of = None if fields is None else _names_of(tuple(fields))
    value, problems = decode_entry(entry, names_of and [metric for metric in names_of if metric in entry])
    shown: dict[str, object] = {}
    for metric, part in value.items():
        shown[metric] = shown_value(metric, part) if hides else part
        if names_of is not None and isinstance(part, dict):
            fields_of = cast("dict[str, object]", shown[metric])
            shown[metric] = {name: fields_of[name] for name in names_of[metric] if name in fields_of}
    return encode_value(shown) if encoded else shown, _with(problem, problems)


@lru_cache(maxsize=64)
def _names_of(fields: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    """Return the names of fields by metric.

    Raises:
        InputError: a name is not a metric and a field with a dot between, or occurs twice, or there are too many.
    """
    if len(fields) > MAX_FIELDS:
        raise InputError(f"fields has {len(fields)} names, more than {MAX_FIELDS}")
    check_fields(fields)
    names: dict[str, list[str]] = {}
    for field in fields:
        metric, dot, name = field.partition(".")
        if not (metric and dot and name):
            raise InputError(f"{field!r:.100} is not the name of a field, such as 'mem.current'")
        names.setdefault(metric, []).append(name)
    return names


def _with(problem: Problem | None, problems: Sequence[InnerProblem]) -> Sequence[InnerProblem]:
    return problems if problem is None else [((), problem), *problems]


def loader_names(schema: strawberry.Schema) -> set[str]:
    """Return the names of the loaders that the fields of a schema need."""
    types = (known.definition for known in schema.schema_converter.type_map.values())
    fields = (field for type_ in types if isinstance(type_, StrawberryObjectDefinition) for field in type_.fields)
    return {field.metadata[LOADER] for field in fields if LOADER in field.metadata}
