"""Scopes: what is refused, what is equal, and how alternatives are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from statcore.errors import InputError
from statcore.queriers import LabelMatcher
from statcore.scopes import Scope

A, B, C = sorted(str(uuid4()) for _ in range(3))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (Scope.of, "names at least one label"),
        (lambda: Scope.of(project_id=[]), "a scope without values"),
        (lambda: Scope.of(project_id=A, user_id=()), "a scope without values"),
        (lambda: Scope.any_of([]), "a scope without values"),
        (lambda: Scope(frozenset()), "a scope without values"),
        (lambda: Scope.of(project_id=""), "not an id: ''"),
        (lambda: Scope.of(project_id="undefined"), "not an id: 'undefined'"),
        (lambda: Scope.of(user_id=[A, "*"]), r"not an id: '\*'"),
        (lambda: Scope.of(agent_id=""), "'' is not the id of an agent"),
        (lambda: Scope.of(agent_id="undefined"), "'undefined' is not the id of an agent"),
        (lambda: Scope.of(agent_id="\ud800"), "agent_id"),
        (lambda: Scope.of(namespace="x"), "no label 'namespace'; its labels are kernel_id"),
        (lambda: Scope.of(project_id=5), "project_id must be a value or a collection of values, not 5"),  # type: ignore[arg-type]
        (lambda: Scope.of(project_id=None), "project_id must be a value or a collection of values, not None"),  # type: ignore[arg-type]
    ],
)
def test_nothing_is_never_everything(make: Callable[[], Any], named: str) -> None:
    """A value that is empty, missing or no id is an error."""
    with pytest.raises(InputError, match=named):
        make()


@pytest.mark.parametrize(
    ("expected", "scopes"),
    [
        (Scope.of(project_id=A), [Scope.of(project_id=A.upper()), Scope.of(project_id=UUID(A))]),
        (Scope.of(project_id=[A, B, C]), [Scope.of(project_id=A), Scope.of(project_id=[C, B]), Scope.of(project_id=B)]),
        (
            Scope.of(user_id=C, project_id=[A, B]),
            [Scope.of(project_id=A, user_id=C), Scope.of(user_id=C, project_id=B)],
        ),
        (Scope.of(project_id=A), [Scope.of(project_id=A, user_id=C), Scope.of(project_id=A)]),
        (Scope.of(project_id=[A, B]), [Scope.of(project_id=A), Scope.of(project_id=A, user_id=C), Scope.of(project_id=B)]),
        (Scope.everything(), [Scope.of(project_id=A), Scope.everything(), Scope.of(user_id=A)]),
    ],
)
def test_alternatives_that_are_one_selector_are_joined(expected: Scope, scopes: list[Scope]) -> None:
    """The order and the spelling do not matter."""
    assert expected == Scope.any_of(scopes) == Scope.any_of(scopes[::-1])
    assert hash(expected) == hash(Scope.any_of(scopes))
    assert 1 == len(expected.matchers)


def test_alternatives_of_several_labels_stay_apart() -> None:
    """Each has its matchers, in an order that does not change."""
    scope = Scope.any_of([Scope.of(user_id=A, project_id=B), Scope.of(user_id=B, project_id=A), Scope.of(agent_id="i")])
    expected = [
        (("agent_id", LabelMatcher.equal("i")),),
        (("user_id", LabelMatcher.equal(A)), ("project_id", LabelMatcher.equal(B))),
        (("user_id", LabelMatcher.equal(B)), ("project_id", LabelMatcher.equal(A))),
    ]
    assert expected == scope.matchers
    assert not scope.is_everything


def test_an_owner_that_is_not_known_is_in_no_scope_with_its_label() -> None:
    """Only everything includes an object without owners."""
    scope = Scope.of(user_id=A, project_id=[B, C])
    assert scope.includes(user_id=A, project_id=C, agent_id=None)
    assert not scope.includes(user_id=A, project_id=None)
    assert not scope.includes(user_id=A)
    assert not scope.includes(user_id=B, project_id=B)
    assert Scope.everything().includes()
    assert Scope.everything().is_everything
