"""Real servers for the tests with the released packages; `make compat` runs them."""

from __future__ import annotations

pytest_plugins = ["statcore.testing.fixtures", "tests.support.valkey_fixtures"]
