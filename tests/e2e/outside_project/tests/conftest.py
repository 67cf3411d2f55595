"""What the tests of a host share."""

from __future__ import annotations

from uuid import uuid4

import pytest
from embedding import TOML

from statcore.plugins import PluginRegistry
from statcore.runtime import Settings


@pytest.fixture(scope="session")
def registry() -> PluginRegistry:
    """Whatever is installed, each kind tried once."""
    return PluginRegistry.discover(trial=True, timeout_s=60)


@pytest.fixture
def settings() -> Settings:
    """A store of the test's own."""
    return Settings.from_toml(TOML.replace("NAME", uuid4().hex))
