"""statcore over HTTP: routes for a host's aiohttp application, tokens with scopes, limits, metrics and logs."""

from statcore.imports import requires_extra

with requires_extra("web"):
    from statcore_web.application import attach
    from statcore_web.limits import Limits
    from statcore_web.logs import log_handler
    from statcore_web.observation import Observation
    from statcore_web.tokens import Token, Tokens, new_secret, secret_hash

__all__ = ["Limits", "Observation", "Token", "Tokens", "attach", "log_handler", "new_secret", "secret_hash"]
