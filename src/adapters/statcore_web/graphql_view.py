"""GraphQL over HTTP: reads POST and GET requests, executes queries, and answers with an ETag.

Requests and responses are those of the GraphQL-over-HTTP draft. A batch of requests is refused. Every response is JSON, and
each of its errors has a code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeGuard, cast

import attrs
import strawberry
from aiohttp import web
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from statcore.scopes import Scope
from statcore_graphql import GraphQueryContext
from statcore_graphql.schema import encode_response
from statcore_web.limits import Limits
from statcore_web.observation import Observation
from statcore_web.refusal import RefusedError

_GRAPHQL: Final = "application/graphql-response+json"
_JSON: Final = "application/json"
_HEADERS: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
_BAD_REQUEST: Final = 400
_INTERNAL_ERROR: Final = 500


@attrs.frozen(kw_only=True)
class _Request:
    """The parameters of a GraphQL request."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


@attrs.frozen(kw_only=True, eq=False)
class GraphQLView:
    """Answers GraphQL requests.

    Args:
        schema: the schema.
        new_context: returns the context of a request for the scope of its caller.
        limits: `body_bytes` and `response_bytes` hold here; the schema and the contexts must have the others.
        observation: counts errors and exceeded limits.
    """

    schema: strawberry.Schema
    new_context: Callable[[Scope], GraphQueryContext]
    limits: Limits
    observation: Observation

    async def answer(self, request: web.Request, scope: Scope) -> web.Response:
        """Return the response to a request whose caller may see a scope.

        Raises:
            RefusedError: the request cannot be read, accepts neither media type, or is or requests too much.
        """
        media_type = _accepted(request.headers.get("Accept"))
        read = await self._read(request)
        response, status = await self._execute(read, self.new_context(scope), is_get=request.method != "POST")
        body = encode_response(response)
        if len(body) > self.limits.response_bytes:
            raise RefusedError(
                413,
                "LimitError",
                f"the response has {len(body)} bytes, more than {self.limits.response_bytes}; query less at a time",
                limit="response_bytes",
            )
        if status >= _BAD_REQUEST and (media_type == _GRAPHQL or status >= _INTERNAL_ERROR):
            return web.Response(body=body, status=status, content_type=media_type, charset="utf-8", headers=_HEADERS)
        etag = _etag(body, scope, media_type)
        headers = {**_HEADERS, "ETag": f'"{etag}"'}
        if request.method != "POST" and any(known.value in (etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=media_type, charset="utf-8", headers=headers)

    async def _read(self, request: web.Request) -> _Request:
        if request.method == "POST":
            if request.content_type != _JSON or (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
                raise RefusedError(415, "InputError", "send the request as application/json in UTF-8")
            parameters = _from_json(await self._body(request), what="the body")
            if isinstance(parameters, list):
                raise RefusedError(_BAD_REQUEST, "InputError", "batches are refused; send one request at a time")
        else:
            self._check_size(len(request.query_string))
            texts = ("variables", "extensions")
            parameters = {
                name: _from_json(value.encode(errors="replace"), what=name) if name in texts else value
                for name, value in request.query.items()
            }
        if not _is_object(parameters):
            raise RefusedError(_BAD_REQUEST, "InputError", "the body must be an object with a query")
        query, variables, extensions = (parameters.get(name) for name in ("query", "variables", "extensions"))
        operation_name = parameters.get("operationName")
        if not isinstance(query, str) or not query.strip():
            raise RefusedError(_BAD_REQUEST, "InputError", "query must be the text of a GraphQL document")
        if variables is not None and not _is_object(variables):
            raise RefusedError(_BAD_REQUEST, "InputError", "variables must be an object, or null")
        if extensions is not None and not _is_object(extensions):
            raise RefusedError(_BAD_REQUEST, "InputError", "extensions must be an object, or null")
        if operation_name is not None and not isinstance(operation_name, str):
            raise RefusedError(_BAD_REQUEST, "InputError", "operationName must be text, or null")
        return _Request(query=query, variables=variables, operation_name=operation_name or None)

    async def _body(self, request: web.Request) -> bytes:
        self._check_size(request.content_length or 0)
        body = bytearray()
        async for part in request.content.iter_any():  # request.read() has the limit of the host's application
            body += part
            self._check_size(len(body))
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self.limits.body_bytes:
            message = f"the request has more than {self.limits.body_bytes} bytes; send less"
            raise RefusedError(413, "LimitError", message, limit="body_bytes", headers={"Connection": "close"})

    async def _execute(self, read: _Request, context: GraphQueryContext, *, is_get: bool) -> tuple[dict[str, Any], int]:
        """Return a response, and its HTTP status for the media type of GraphQL."""
        try:
            result = await self.schema.execute(
                read.query,
                variable_values=read.variables,
                context_value=context,
                operation_name=read.operation_name,
                allowed_operation_types={OperationType.QUERY},
            )
        except (CannotGetOperationTypeError, MissingQueryError):
            message = "operationName must be the name of an operation of the document; it may be left out if there is one"
            raise RefusedError(_BAD_REQUEST, "InputError", message) from None
        except InvalidOperationTypeError as error:
            status, headers = (405, {"Allow": "POST"}) if is_get else (_BAD_REQUEST, None)
            message = f"a {error.operation_type.value} is refused; send a query"
            raise RefusedError(status, "InputError", message, headers=headers) from None
        return self._response(result)

    def _response(self, result: ExecutionResult) -> tuple[dict[str, Any], int]:
        errors = [cast("dict[str, Any]", error.formatted) for error in result.errors or ()]
        limits: set[str] = set()
        for error in errors:
            extensions = error.setdefault("extensions", {})
            self.observation.graphql_error(extensions.setdefault("code", "InputError"))  # graphql-core's have no code
            if "limit" in extensions:
                limits.add(extensions["limit"])
        for limit in limits:
            self.observation.limit_exceeded(limit)
        response: dict[str, Any] = {"errors": errors} if errors else {}
        if result.extensions:
            response["extensions"] = result.extensions
        if result.data is None and errors and not any("path" in error for error in errors):
            # Nothing was executed: only the error of a field has a path.
            failed = any(error["extensions"]["code"] == "InternalError" for error in errors)
            return response, _INTERNAL_ERROR if failed else _BAD_REQUEST
        return {"data": result.data, **response}, 200


def _from_json(text: bytes, *, what: str) -> object:
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise RefusedError(_BAD_REQUEST, "InputError", f"{what} must be JSON in UTF-8") from None


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _etag(body: bytes, scope: Scope, media_type: str) -> str:
    """Return the tag of a response, which differs between scopes even if the bodies are the same."""
    alternatives = sorted([(label, sorted(values)) for label, values in conditions] for conditions in scope.alternatives)
    return hashlib.sha256(b"\n".join([repr(alternatives).encode(), media_type.encode(), body])).hexdigest()


def _accepted(accept: str | None) -> str:
    """Return the media type of the response: GraphQL's own, unless the client prefers plain JSON.

    Raises:
        RefusedError: status 406: the client accepts neither.
    """
    if not accept:
        return _GRAPHQL
    qualities = _qualities(accept)

    def quality(media_type: str) -> float:
        return next((qualities[range_] for range_ in (media_type, "application/*", "*/*") if range_ in qualities), 0.0)

    best = max((_GRAPHQL, _JSON), key=quality)  # the first of two equals
    if not quality(best):
        raise RefusedError(406, "InputError", f"this service answers {_GRAPHQL} and {_JSON}; accept one of them")
    return best


def _qualities(accept: str) -> Mapping[str, float]:
    """Return the quality of each media range of a header `Accept`."""
    qualities: dict[str, float] = {}
    for item in accept.split(","):
        range_, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((text.removeprefix("q=") for text in parameters if text.startswith("q=")), "1")
        try:
            qualities[range_] = float(quality)
        except ValueError:
            qualities[range_] = 0.0
    return qualities
