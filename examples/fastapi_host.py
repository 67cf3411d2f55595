r"""A FastAPI application that embeds statcore: GraphQL and a REST route that answer what the caller may see, and health.

Make a token, start the application, and send it requests:

    export STATCORE_TOKEN_FILE=tokens.toml
    SECRET=$(statcore token new me --scope project_id=3d5c0f6a-0a52-4a57-9d3e-0c8f8f0e9b11)
    STATCORE_STATISTICS_URL=valkey://127.0.0.1:6379 STATCORE_METRICS_URL=http://127.0.0.1:9090 python fastapi_host.py
    curl -H "Authorization: Bearer $SECRET" 'localhost:8000/kernels?id=6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11'
    curl -H "Authorization: Bearer $SECRET" localhost:8000/graphql -H 'content-type: application/json' \
        -d '{"query": "{ compute_session_list { total_count } }"}'
    curl localhost:8000/health
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeAlias

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from statcore import StatcoreError
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime, Settings, open_runtime
from statcore.scopes import confine
from statcore.services import check_health
from statcore_graphql.fastapi import StatisticsRouter
from statcore_web import RefusedError, Tokens


async def callers_ports(connection: HTTPConnection) -> Runtime:
    """Return the ports for the caller of a request: they cannot read outside the scope of the caller's token.

    A host with users of its own makes the scope from its user: `Scope.of(user_id=user.id)`.
    """
    runtime: Runtime = connection.app.state.runtime
    tokens: Tokens = connection.app.state.tokens
    return confine(runtime, tokens.find(connection.headers.get("Authorization")).scope)


CallersPorts: TypeAlias = Annotated[Runtime, Depends(callers_ports)]
rest: Final = APIRouter()


def create_app(settings: Settings, tokens: Tokens) -> FastAPI:
    """Return the application; it opens the configured store and backend at start-up, and closes them at the end."""
    plugins = PluginRegistry.discover()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_runtime(settings, plugins) as runtime:
            app.state.runtime = runtime
            yield

    app = FastAPI(title="A host of statcore", lifespan=lifespan)
    app.state.tokens = tokens
    app.add_exception_handler(StatcoreError, answer_error)
    app.include_router(StatisticsRouter(callers_ports, plugins), prefix="/graphql")
    app.include_router(rest)
    return app


@rest.get("/kernels")
async def kernels(ports: CallersPorts, id_: Annotated[list[str], Query(alias="id")]) -> dict[str, Any]:
    """Answer the statistics of kernels; a kernel that the caller may not see has none."""
    batch = await ports.repository.get_kernel_statistics_batch(id_)
    return batch.to_json()


@rest.get("/health")
async def health(request: Request) -> JSONResponse:
    """Answer whether the store and the backend can be reached; it needs no token."""
    runtime: Runtime = request.app.state.runtime
    report = await check_health({"statistics": runtime.statistics, "metrics": runtime.metrics})
    return JSONResponse(report.to_json(), status_code=report.http_status)


async def answer_error(_: Request, error: Exception) -> JSONResponse:
    """Answer an error with its status; a caller without a valid token gets 401."""
    if isinstance(error, RefusedError):
        return JSONResponse(error.document(), status_code=error.status, headers=error.headers)
    status = error.http_status if isinstance(error, StatcoreError) else 500
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status_code=status)


if __name__ == "__main__":
    host = create_app(Settings.from_mapping(os.environ), Tokens(os.environ["STATCORE_TOKEN_FILE"]))
    uvicorn.run(host, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
