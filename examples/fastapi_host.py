r"""A FastAPI application that embeds statcore: opens the ports at start-up, serves a REST route, GraphQL and health.

Start it, and send it requests:

    STATCORE_STATISTICS_URL=valkey://127.0.0.1:6379 STATCORE_METRICS_URL=http://127.0.0.1:9090 python fastapi_host.py
    curl 'localhost:8000/kernels?id=6f1b3c9e-0a52-4a57-9d3e-0c8f8f0e9b11'
    curl localhost:8000/health
    curl localhost:8000/graphql -H 'content-type: application/json' \
        -d '{"query": "{ compute_session_list { total_count } }"}'
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from strawberry.fastapi import GraphQLRouter

from statcore import StatcoreError
from statcore.plugins import PluginRegistry
from statcore.runtime import Runtime, Settings, open_runtime
from statcore.services import check_health
from statcore_graphql import DataLoaderManager
from statcore_graphql.fastapi import FastAPIQueryContext
from statcore_graphql.schema import build_schema, encode_response


class StatisticsRouter(GraphQLRouter[FastAPIQueryContext, None]):
    """The GraphQL routes; their contexts are `encoded`."""

    def encode_json(self, data: object) -> bytes:
        """Return a response as JSON text."""
        return encode_response(data)


def create_app(settings: Settings) -> FastAPI:
    """Return the application; it opens the configured store and backend at start-up, and closes them at the end."""
    plugins = PluginRegistry.discover()
    loaders = DataLoaderManager()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_runtime(settings, plugins) as runtime:
            app.state.runtime = runtime
            yield

    def runtime_of(request: Request) -> Runtime:
        runtime: Runtime = request.app.state.runtime
        return runtime

    def new_context(request: Request) -> FastAPIQueryContext:
        runtime = runtime_of(request)
        return FastAPIQueryContext(
            statistics_repository=runtime.repository,
            inventory=runtime.inventory,
            metrics=runtime.metrics,
            plugins=plugins,
            dataloader_manager=loaders,
            encoded=True,
        )

    async def kernels(request: Request, id_: Annotated[list[str], Query(alias="id")]) -> dict[str, Any]:
        batch = await runtime_of(request).repository.get_kernel_statistics_batch(id_)
        return batch.to_json()

    async def health(request: Request) -> JSONResponse:
        runtime = runtime_of(request)
        report = await check_health({"statistics": runtime.statistics, "metrics": runtime.metrics})
        return JSONResponse(report.to_json(), status_code=report.http_status)

    async def answer_error(_: Request, error: Exception) -> JSONResponse:
        status = error.http_status if isinstance(error, StatcoreError) else 500
        return JSONResponse({"error": type(error).__name__, "message": str(error)}, status_code=status)

    app = FastAPI(title="A host of statcore", lifespan=lifespan)
    app.add_exception_handler(StatcoreError, answer_error)
    app.add_api_route("/kernels", kernels)
    app.add_api_route("/health", health)
    router = StatisticsRouter(
        build_schema(loaders), context_getter=new_context, graphql_ide=None, allow_queries_via_get=False
    )
    app.include_router(router, prefix="/graphql")
    return app


if __name__ == "__main__":
    uvicorn.run(create_app(Settings.from_mapping(os.environ)), host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
