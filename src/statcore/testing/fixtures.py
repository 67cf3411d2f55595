"""pytest fixtures for tests that run real programs: `pytest_plugins = ["statcore.testing.fixtures"]` in conftest.py."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from statcore.errors import UnavailableError
from statcore.testing.servers import find_program


@pytest.fixture(scope="session")
def require_program() -> Callable[..., str]:
    """`require_program("prometheus")` returns the path of an installed program.

    Given several names, it returns the first that is installed. Where none is, the test is skipped; it fails where the
    variable `CI` is `true`.
    """

    def require(*names: str) -> str:
        try:
            return find_program(*names)
        except UnavailableError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(str(error))

    return require
