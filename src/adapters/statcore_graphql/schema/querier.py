"""The GraphQL types of the kinds of querier and their fields."""

from __future__ import annotations

from typing import Self

import strawberry

from statcore.plugins import QuerierSpec
from statcore.plugins.fields import QuerierField


@strawberry.type(description="A field of a kind of querier, which may be a key of `selector`.")
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
        """Convert a field of a querier class."""
        return cls(
            name=field.name,
            type=field.type.value,
            required=field.required,
            default=field.note,
            choices=list(field.choices),
            help=field.help,
        )


@strawberry.type(description='The unit of what a kind of querier answers for a metric; "1" is a share or a plain number.')
class MetricUnit:
    """The unit of a metric."""

    metric: str
    unit: str


@strawberry.type(description="A kind of querier: a kind of object whose utilization can be queried.")
class Querier:
    """A kind of querier."""

    spec: strawberry.Private[QuerierSpec]
    name: str
    summary: str
    units: list[MetricUnit] = strawberry.field(description="The units of its metrics that are known beforehand.")

    @strawberry.field(description="The fields that may be keys of `selector`.")
    def fields(self) -> list[Field] | None:
        """Read the fields of the class; null and an error where a plugin's class is broken."""
        return [Field.of(field) for field in self.spec.fields]

    @classmethod
    def of(cls, spec: QuerierSpec) -> Self:
        """Convert a plugin's spec."""
        units = [MetricUnit(metric=metric, unit=unit) for metric, unit in spec.units.items()]
        return cls(spec=spec, name=spec.name, summary=spec.summary, units=units)
