"""GraphQL queries that are made from the schema: one for each value of each argument of each field, and random ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
)
from hypothesis import strategies as st

from statcore_graphql import DataLoaderManager
from statcore_graphql.schema import build_schema

Values: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]
"""By the name of an argument, what to try: the arguments of one call of a field, since some need each other."""

QUERY_TYPE: Final = cast("GraphQLObjectType", build_schema(DataLoaderManager())._schema.type_map["Query"])


def literal(value: object) -> str:
    """Return a value as GraphQL writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {literal(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value)


def call(name: str, arguments: Mapping[str, Any], selection: str = "") -> str:
    """Return the text of a field with arguments."""
    texts = ", ".join(f"{argument}: {literal(value)}" for argument, value in arguments.items())
    return f"{name}({texts}) {selection}" if texts else f"{name} {selection}"


def every_query(values: Values, type_: GraphQLObjectType = QUERY_TYPE) -> Iterator[tuple[str, str]]:
    """Yield a query for each value of each argument of each field, and one for each field without arguments.

    Each query selects everything below its field. The other arguments have the first of their values if they are required.

    Yields:
        The place of the argument, such as `compute_session.utilization.metric_name`, and the query.
    """
    for name, field in type_.fields.items():
        inner = get_named_type(field.type)
        for argument in field.args:
            for arguments in values[argument]:
                yield (
                    f"{name}.{argument}",
                    f"{{ {call(name, {**_required(field, values), **arguments}, _all(inner, values))} }}",
                )
        if not field.args and type_ is QUERY_TYPE:
            yield name, f"{{ {call(name, {}, _all(inner, values))} }}"
        if isinstance(inner, GraphQLObjectType):
            for place, query in every_query(values, inner):
                yield f"{name}.{place}", f"{{ {call(name, _required(field, values), query)} }}"


def _required(field: GraphQLField, values: Values) -> dict[str, Any]:
    required: dict[str, Any] = {}
    for name, argument in field.args.items():
        if isinstance(argument.type, GraphQLNonNull) and not argument.default_value:
            required |= values[name][0]
    return required


def _all(type_: GraphQLNamedType, values: Values) -> str:
    """Return the selection of everything below a type; empty for a type without fields."""
    if not isinstance(type_, GraphQLObjectType):
        return ""
    fields = type_.fields.items()
    calls = (call(name, _required(field, values), _all(get_named_type(field.type), values)) for name, field in fields)
    return f"{{ {' '.join(calls)} }}"


def answered_fields(data: Any, type_: GraphQLNamedType = QUERY_TYPE) -> set[str]:
    """Return the fields that have a value in the data of an answer without aliases, such as `Agent.live_stat`."""
    if isinstance(data, list):
        return {name for item in data for name in answered_fields(item, type_)}
    if not isinstance(type_, GraphQLObjectType) or data is None:
        return set()
    found: set[str] = set()
    for name, value in cast("dict[str, Any]", data).items():
        if value is not None:
            found |= {f"{type_.name}.{name}", *answered_fields(value, get_named_type(type_.fields[name].type))}
    return found


def all_fields(type_: GraphQLObjectType = QUERY_TYPE) -> set[str]:
    """Return all fields of the schema, such as `Agent.live_stat`."""
    below = (get_named_type(field.type) for field in type_.fields.values())
    inner = {name for inner in below if isinstance(inner, GraphQLObjectType) for name in all_fields(inner)}
    return {*(f"{type_.name}.{name}" for name in type_.fields), *inner}


ODD_TEXTS: Final = (
    *("", "\x00", "\ud800", "\ufffd", "é" * 3, "x" * 5_000, "\n", '"', "\\", "{}", "NaN", "-1", "../../etc/passwd"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "1e999", "99999999999999999999", "9" * 5_000),
)
"""Texts that are valid in JSON or GraphQL, but that few programs expect."""
_ODD_LITERALS: Final = (
    *(
        "null",
        "1e400",
        "99999999999999999999",
        "-0",
        "RED",
        "$x",
        '"\\ud800"',
        '"\\u0000"',
        '"""block"""',
        "[]",
        "{}",
        "[[1]]",
    ),
    *("{x: 1e400}", "{metric_name: 99999999999999999999}", "{x: RED}", "[null]", '{metric_name: ["mem"]}', "9" * 5_000),
)
"""Literals of GraphQL that do not fit most arguments."""


def json_values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return small values of JSON."""
    keys = st.sampled_from(["metric_name", "kernel_id", "session_id", "project_id"])
    return st.recursive(
        st.none() | st.booleans() | st.integers() | texts,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=4,
    )


def random_queries(fitting: Mapping[str, st.SearchStrategy[Any]], texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return queries of up to five fields of the schema, each with an alias, arguments, and some fields below.

    Args:
        fitting: values of arguments that are accepted, by the argument's name; one in ten is replaced.
        texts: what other texts may be.
    """

    @st.composite
    def argument(draw: st.DrawFn, name: str, type_: Any) -> str:
        kind = draw(st.integers(0, 19))
        if name in fitting and kind > 1:
            return literal(draw(fitting[name]))
        if kind == 0:
            return draw(st.sampled_from(_ODD_LITERALS))
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if isinstance(inner, GraphQLList):
            return literal(draw(st.lists(texts, max_size=3)))
        by_type: dict[str, st.SearchStrategy[Any]] = {"Int": st.integers(-1, 20), "String": texts}
        return literal(draw(by_type.get(str(inner), json_values(texts))))

    @st.composite
    def selection(draw: st.DrawFn, type_: GraphQLNamedType, depth: int) -> str:
        if not isinstance(type_, GraphQLObjectType):
            return ""
        names = draw(st.lists(st.sampled_from(sorted(type_.fields)), min_size=1, max_size=5))
        fields = [draw(field(name, type_.fields[name], number, depth)) for number, name in enumerate(names)]
        return f"{{ {' '.join(fields)} }}"

    @st.composite
    def field(draw: st.DrawFn, name: str, definition: GraphQLField, number: int, depth: int) -> str:
        arguments = {
            argument_name: draw(argument(argument_name, defined.type))
            for argument_name, defined in definition.args.items()
            if isinstance(defined.type, GraphQLNonNull) or draw(st.booleans())
        }
        texts_of = ", ".join(f"{key}: {value}" for key, value in arguments.items())
        below = draw(selection(get_named_type(definition.type), depth + 1))
        return f"f{depth}{number}: {name}{f'({texts_of})' if texts_of else ''} {below}"

    return selection(QUERY_TYPE, 0)
