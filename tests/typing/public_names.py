"""Checked by mypy and pyright, not run: packages that import their names on first use have these names and no others."""

from __future__ import annotations

from typing import assert_type

import statcore
from statcore import StatisticsRepositories, StatisticsRepository
from statcore_valkey import ValkeyOptions


def known_names(repositories: statcore.StatisticsRepositories) -> None:
    """A name has its type, by whichever way it is imported."""
    assert_type(repositories, StatisticsRepositories)
    assert_type(repositories.repository, StatisticsRepository)
    assert_type(ValkeyOptions(), ValkeyOptions)


def unknown_names() -> object:
    """A name that is not there is an error, although the packages have `__getattr__` at run time."""
    return statcore.NoSuchName  # type: ignore[attr-defined]  # unused, and so an error, if the name were accepted
