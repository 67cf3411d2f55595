"""statcore over HTTP: routes for a host's aiohttp application, tokens with scopes, limits, metrics and logs.

Names are loaded on first use, so that whoever reads or changes tokens imports no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statcore.imports import on_demand, requires_extra

if TYPE_CHECKING:
    from statcore_web.application import attach
    from statcore_web.limits import Limits
    from statcore_web.logs import log_handler
    from statcore_web.observation import Observation
    from statcore_web.refusal import RefusedError
    from statcore_web.tokens import Token, Tokens, new_secret, secret_hash
else:
    _load, __dir__ = on_demand(
        __name__,
        {
            "application": "attach",
            "limits": "Limits",
            "logs": "log_handler",
            "observation": "Observation",
            "refusal": "RefusedError",
            "tokens": "Token Tokens new_secret secret_hash",
        },
    )

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
        """Return a public name."""
        with requires_extra("web"):
            return _load(name)


__all__ = [
    "Limits",
    "Observation",
    "RefusedError",
    "Token",
    "Tokens",
    "attach",
    "log_handler",
    "new_secret",
    "secret_hash",
]
