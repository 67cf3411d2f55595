"""Libraries that may not be installed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from statcore.errors import MissingExtraError


@contextmanager
def requires_extra(extra: str) -> Generator[None]:
    """Import inside this what the extra of that name installs.

    Raises:
        MissingExtraError: a module is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, module=error.name) from error
