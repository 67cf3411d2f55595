"""What is said when a driver is not installed."""

from __future__ import annotations

import importlib

import pytest

from statcore import MissingExtraError
from statcore.plugins import requires_extra


def test_a_module_that_is_not_there_names_the_extra() -> None:
    """And the module, and how to install it."""
    with (
        pytest.raises(MissingExtraError, match=r"'no_such_driver'.*pip install 'statcore\[valkey\]'") as caught,
        requires_extra("valkey"),
    ):
        importlib.import_module("no_such_driver")
    assert ("valkey", "no_such_driver") == (caught.value.extra, caught.value.module)


def test_a_module_that_is_broken_is_not_taken_for_missing() -> None:
    """Installing the extra would not help."""
    with pytest.raises(ImportError, match="cannot import name"), requires_extra("valkey"):
        raise ImportError("cannot import name 'x'")
