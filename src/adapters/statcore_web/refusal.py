"""Refusals: HTTP requests that are answered with an error and not executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statcore.errors import StatcoreError


class RefusedError(StatcoreError):
    """A request that is refused; the view answers it with its status and a document of one error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        limit: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep the HTTP status, the error's code, the limit that is exceeded, and further headers of the response."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.limit = limit
        self.headers: Mapping[str, str] = headers or {}

    def document(self) -> dict[str, Any]:
        """Return the body of the response, in the shape of a GraphQL response without data."""
        limit = {} if self.limit is None else {"limit": self.limit}
        return {"errors": [{"message": str(self), "extensions": {"code": self.code, **limit}}]}
