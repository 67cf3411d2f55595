"""What objects of lists have beside their statistics: their main figures, and times."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeAlias

import strawberry

from statcore import services
from statcore.model.statistics import Entry, Problem, ProblemKind
from statcore_graphql.outcomes import Outcome
from statcore_graphql.schema.loaded import LoadedField, Shown, only_outcome

STARTED_AT: Final = "When it started, in RFC 3339 and UTC; null where that is not known."

ReadEntry: TypeAlias = Callable[[Any, Sequence[Outcome]], tuple[Entry | None, Problem | None]]
"""Returns the entry of an object from the outcomes of its keys, and its problem; raises the error of the field."""


@strawberry.type(description="The main figures of an object; null is a figure that is not known.")
class Figures:
    """The figures."""

    cpu_pct: float | None = strawberry.field(
        description="CPU use in percent of one core; for an agent, the sum over its cores."
    )
    mem_bytes: float | None = strawberry.field(description="Memory in use.")
    accelerator_pct: float | None = strawberry.field(
        description="Use of the accelerators in percent, of the busiest kind if there are several kinds."
    )
    accelerator_mem_bytes: float | None = strawberry.field(description="Memory of accelerators in use.")
    rx_bytes_per_s: float | None = strawberry.field(description="Received bytes per second.")
    tx_bytes_per_s: float | None = strawberry.field(description="Sent bytes per second.")

    @classmethod
    def of(cls, figures: services.Figures) -> Self | None:
        """Convert figures; None where none is known."""
        known = {name: getattr(figures, name) for name in _NAMES}
        return cls(**known) if any(number is not None for number in known.values()) else None


_NAMES: Final = tuple(Figures.__annotations__)


def figures_field(
    kind: services.ObjectKind[Any], loader: str, *, keys: Callable[[Any], Sequence[Hashable]], read: ReadEntry
) -> Any:  # noqa: ANN401 - Strawberry's
    """Return the field with the main figures of an object, which has them in `listed` or else has them loaded.

    Args:
        kind: the kind of the object, which says what its figures are.
        loader: the name of the loader of its statistics.
        keys: returns the loader's keys for the object.
        read: returns the entry of the object.
    """

    def show(
        root: Any,  # noqa: ANN401 - an object with `listed`
        outcomes: Sequence[Outcome],
        /,
        *,
        encoded: bool,
        fields: Sequence[str] | None = None,
    ) -> Shown:
        del encoded, fields
        if _is_listed(root):
            return Figures.of(root.listed), ()
        entry, problem = read(root, outcomes)
        if entry is None:
            return None, ()
        figures: services.Figures = kind.figures(entry, age_s=None, problem=None)
        unreadable = figures.problem and Problem(ProblemKind.MALFORMED, message=figures.problem)
        return Figures.of(figures), [((), found) for found in (problem, unreadable) if found]

    return LoadedField(loader=loader, keys=lambda root: () if _is_listed(root) else keys(root), show=show).field(
        description="Its main figures, or null when none is known. A list that is sorted by a figure has them already.",
        of=Figures | None,
    )


def read_entry(_: object, outcomes: Sequence[Outcome], /) -> tuple[Entry | None, Problem | None]:
    """Return the entry of an object with one key, and its problem."""
    return only_outcome(outcomes)


def _is_listed(root: Any) -> bool:  # noqa: ANN401 - an object with `listed`
    # Figures with a problem are loaded again, because they have no kind of problem.
    return root.listed is not None and root.listed.problem is None


def rfc3339(time: datetime | None) -> str | None:
    """Return an aware time as text in UTC, with milliseconds."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
