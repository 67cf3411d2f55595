"""A planted fault whose own code fails does not count as found."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from tests.simulation.planting import BrokenPlantError, Plant, is_found
from tests.simulation.store_scenario import run_store

from statcore_valkey.node import RedisNode


def its_signature_is_old(patch: pytest.MonkeyPatch) -> None:
    """The adapter calls it with an argument that it does not take."""

    async def exchange(_: RedisNode, __: Any) -> list[Any]:
        return []

    patch.setattr(RedisNode, "exchange", exchange)


def it_uses_what_is_gone(patch: pytest.MonkeyPatch) -> None:
    """It reads an attribute that the adapter does not have, where the adapter maps every error."""

    async def read(self: Any, *_: object) -> list[Any]:
        answers: list[Any] = await self.read_old_answers()
        return answers

    patch.setattr(RedisNode, "_read", read)


def it_asserts(patch: pytest.MonkeyPatch) -> None:
    """Its own assertion fails."""

    async def exchange(*_: object, **__: object) -> list[Any]:
        raise AssertionError

    patch.setattr(RedisNode, "exchange", exchange)


@pytest.mark.parametrize(
    "plant", [its_signature_is_old, it_uses_what_is_gone, it_asserts], ids=lambda plant: plant.__name__
)
def test_a_fault_that_fails_by_itself_is_not_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness says so, although the scenario fails."""
    plant(monkeypatch)
    with pytest.raises(BrokenPlantError):
        is_found(partial(run_store, 0))
