"""Real servers for the tests with the released packages; `make compat` runs them."""

from __future__ import annotations

# By its own name: one of the released packages brings a package `tests` along.
pytest_plugins = ["statcore.testing.fixtures", "valkey_fixtures"]
