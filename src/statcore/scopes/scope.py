"""Scopes: the values of owner labels that a caller may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Self, TypeAlias
from uuid import UUID

import attrs

from statcore.errors import InputError
from statcore.model.text import check_text, id_text
from statcore.queriers.container import OWNER_LABELS, UNKNOWN_OWNER
from statcore.queriers.matcher import LabelMatcher, Matchers

Conditions: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
"""Pairs of label and allowed values, in the order of `OWNER_LABELS`; an object fulfils every one."""


def _agent_id(value: object) -> str:
    text = check_text(value, what="agent_id")
    if text in ("", UNKNOWN_OWNER):
        raise InputError(f"{text!r} is not the id of an agent")
    return text


_READ: Final[Mapping[str, Callable[..., str]]] = {
    label: _agent_id if label == "agent_id" else id_text for label in OWNER_LABELS
}


@attrs.frozen
class Scope:
    """What a caller may see: the objects that fulfil all conditions of at least one alternative.

    Make one with `of`, `any_of` or `everything`. Scopes that are written differently but mean the same are mostly equal:
    alternatives that differ in the values of one label are one alternative.

    Args:
        alternatives: the conditions of each alternative; an alternative without conditions is everything.

    Raises:
        InputError: there is no alternative, or a label has no value.
    """

    alternatives: frozenset[Conditions]

    def __attrs_post_init__(self) -> None:
        """Check that nothing is empty, which must never mean everything."""
        if not self.alternatives or not all(values for conditions in self.alternatives for _, values in conditions):
            raise InputError("a scope without values allows nothing; leave the caller out, or name what it may see")

    @classmethod
    def everything(cls) -> Self:
        """Return the scope of an operator, who may see every object."""
        return cls(frozenset([()]))

    @classmethod
    def of(cls, **values: UUID | str | Iterable[UUID | str]) -> Self:
        """Return the scope of objects that have one of the given values for each label.

        Args:
            values: a value, or several, for one or more of `kernel_id`, `session_id`, `agent_id`, `user_id`, `project_id`.

        Raises:
            InputError: no label, another label, no value for a label, an agent id that is empty or not text, or another id
                that is not a UUID.
        """
        if not values:
            raise InputError(f"a scope names at least one label of {', '.join(OWNER_LABELS)}; or take Scope.everything()")
        if unknown := sorted(values.keys() - set(OWNER_LABELS)):
            raise InputError(f"a scope has no label {unknown[0]!r:.100}; its labels are {', '.join(OWNER_LABELS)}")
        return cls(frozenset([tuple((label, _allowed(label, values[label])) for label in OWNER_LABELS if label in values)]))

    @classmethod
    def any_of(cls, scopes: Iterable[Scope]) -> Self:
        """Return the scope of what at least one of the scopes allows.

        Raises:
            InputError: there are no scopes.
        """
        merged: set[Conditions] = set()
        for scope in scopes:
            for conditions in scope.alternatives:
                _add(merged, conditions)
        return cls(frozenset(merged))

    @property
    def is_everything(self) -> bool:
        """Whether every object is allowed."""
        return () in self.alternatives

    @property
    def matchers(self) -> list[Matchers]:
        """The matchers of each alternative, in a stable order: the series that an alternative allows fulfil all of its."""
        in_order = sorted(
            self.alternatives, key=lambda conditions: [(label, sorted(values)) for label, values in conditions]
        )
        return [tuple((label, LabelMatcher.one_of(values)) for label, values in conditions) for conditions in in_order]

    def includes(self, **owners: str | None) -> bool:
        """Return whether an object is allowed.

        Args:
            owners: the owners of the object by label; an owner that is None or left out is not known, and so is in no scope
                with that label.
        """
        return any(all(owners.get(label) in values for label, values in conditions) for conditions in self.alternatives)


def _allowed(label: str, values: UUID | str | Iterable[UUID | str]) -> frozenset[str]:
    read = _READ[label]
    if isinstance(values, UUID | str):
        return frozenset([read(values)])
    try:
        several = list(values)
    except TypeError:
        raise InputError(f"{label} must be a value or a collection of values, not {values!r:.100}") from None
    return frozenset(map(read, several))


def _add(merged: set[Conditions], conditions: Conditions) -> None:
    """Add an alternative, joined with alternatives that differ in the values of one label only."""
    for known in merged:
        if (joined := _joined(known, conditions)) is not None:
            merged.discard(known)
            _add(merged, joined)
            return
    merged.add(conditions)


def _joined(first: Conditions, second: Conditions) -> Conditions | None:
    """Return the alternative that allows what one of two allows, or None where one alternative cannot."""
    for narrow, wide in ((first, second), (second, first)):
        allowed = dict(narrow)
        if all(label in allowed and allowed[label] <= values for label, values in wide):
            return wide
    if [label for label, _ in first] != [label for label, _ in second]:
        return None
    differing = [label for (label, values), (_, others) in zip(first, second, strict=True) if values != others]
    if len(differing) > 1:
        return None
    return tuple((label, values | dict(second)[label]) for label, values in first)
