r"""An aiohttp application that mounts statcore's own routes: GraphQL, a page, health and metrics, below `/statistics`.

Start it, and send it requests; with `STATCORE_TOKEN_FILE` callers need a token of that file, and see what its scope allows:

    STATCORE_STATISTICS_URL=valkey://127.0.0.1:6379 STATCORE_METRICS_URL=http://127.0.0.1:9090 python aiohttp_host.py
    curl localhost:8080/statistics/readyz
    curl 'localhost:8080/statistics/graphql?query=\{compute_session_list\{total_count\}\}'
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AsyncExitStack

from aiohttp import web

from statcore.plugins import PluginRegistry
from statcore.runtime import Settings, open_runtime
from statcore_web import Tokens, attach


async def create_app(environment: Mapping[str, str]) -> web.Application:
    """Return the application; it closes the store and the backend at its end.

    Raises:
        StatcoreError: a setting or the file of tokens cannot be used.
    """
    app, plugins, opened = web.Application(), PluginRegistry.discover(), AsyncExitStack()
    runtime = await opened.enter_async_context(open_runtime(Settings.from_mapping(environment), plugins))
    app.on_cleanup.append(lambda _: opened.aclose())
    tokens = Tokens(environment["STATCORE_TOKEN_FILE"]) if "STATCORE_TOKEN_FILE" in environment else None
    attach(app, runtime, plugins, tokens=tokens, prefix="/statistics")
    return app


if __name__ == "__main__":
    web.run_app(create_app(os.environ), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
