"""Which kinds of querier there are."""

from __future__ import annotations

from typing import Self

import strawberry

from statcore.plugins import QuerierSpec
from statcore.plugins.fields import QuerierField


@strawberry.type(description="A field of a kind of querier: what `selector` may hold.")
class Field:
    """A field."""

    name: str
    type: str
    required: bool
    default: str | None
    choices: list[str]
    help: str

    @classmethod
    def of(cls, field: QuerierField) -> Self:
        """Read a field of a querier class."""
        return cls(
            name=field.name,
            type=field.type.value,
            required=field.required,
            default=field.note,
            choices=list(field.choices),
            help=field.help,
        )


@strawberry.type(description="A kind of querier: a kind of object whose utilization can be queried.")
class Querier:
    """A kind of querier."""

    spec: strawberry.Private[QuerierSpec]
    name: str
    summary: str

    @strawberry.field(description="What `selector` may hold.")
    def fields(self) -> list[Field] | None:
        """Read the class, which a plugin may have got wrong."""
        return [Field.of(field) for field in self.spec.fields]

    @classmethod
    def of(cls, spec: QuerierSpec) -> Self:
        """Read what a plugin contributed."""
        return cls(spec=spec, name=spec.name, summary=spec.summary)
