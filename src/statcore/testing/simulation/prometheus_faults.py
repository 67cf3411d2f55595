"""What a sick Prometheus, or a proxy in front of it, does instead of answering; chosen by a seed."""

from __future__ import annotations

import gzip
import json
from http import HTTPStatus
from typing import Any, Final

import attrs

from statcore.testing.simulation.prometheus import Behaviour, Exchange, HttpAnswer

PARTIAL_WARNING: Final = "remote_read: remote server http://store:10901 returned HTTP status 503 Service Unavailable"
_PIECES: Final = 40
_BOMB_BYTES: Final = 2_000_000
_HTML: Final = "text/html; charset=utf-8"
_DEEP: Final = 100_000


async def hang(exchange: Exchange) -> None:
    """Take the request and never answer."""
    await exchange.hang()


async def stall(exchange: Exchange) -> None:
    """Send the beginning of the answer and never go on."""
    content = b"".join(exchange.head_and_body(await exchange.right_answer()))
    await exchange.send(content[: exchange.random.randrange(1, len(content))])
    await exchange.hang()


async def reset(exchange: Exchange) -> None:
    """Reset the connection before the answer, or in the middle of it."""
    content = b"".join(exchange.head_and_body(await exchange.right_answer()))
    await exchange.send(content[: exchange.random.randrange(len(content))])
    exchange.reset()


async def close_early(exchange: Exchange) -> None:
    """Close the connection before the answer is whole, as a proxy whose server ended does."""
    head, body = exchange.head_and_body(await exchange.right_answer())
    await exchange.send(head + body[: exchange.random.randrange(len(body))])
    exchange.close()


async def trickle(exchange: Exchange) -> None:
    """Send the right answer in many pieces; it may take longer than the client waits."""
    content = b"".join(exchange.head_and_body(await exchange.right_answer()))
    pause_s = exchange.random.choice([0.001, 0.05, 1.0])
    step = max(1, len(content) // _PIECES)
    for start in range(0, len(content), step):
        await exchange.send(content[start : start + step])
        await exchange.pause(pause_s)


async def answer_late(exchange: Exchange) -> None:
    """Send the right answer after a while; it may take longer than the client waits."""
    answer = await exchange.right_answer()
    await exchange.pause(exchange.random.uniform(0.1, 20.0))
    await exchange.give(answer)


async def time_out(exchange: Exchange) -> None:
    """Answer that the query took too long."""
    text = "query timed out in expression evaluation"
    await exchange.give(HttpAnswer.of_error(HTTPStatus.SERVICE_UNAVAILABLE, "timeout", text))


async def answer_with_page(exchange: Exchange) -> None:
    """Answer with the web page of a proxy whose server is away."""
    status = exchange.random.choice([HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT])
    body = f"<html><body><h1>{status.value} {status.phrase}</h1></body></html>".encode()
    await exchange.give(HttpAnswer(body=body, status=status, content_type=_HTML))


@attrs.frozen
class TooManyRequests:
    """Answer that there are too many requests, and after how many seconds the next one may come."""

    retry_after_s: int
    __name__ = "too_many_requests"

    async def __call__(self, exchange: Exchange) -> None:
        """Answer."""
        headers = {"Retry-After": str(self.retry_after_s)}
        answer = HttpAnswer.of_error(HTTPStatus.TOO_MANY_REQUESTS, "unavailable", "too many outstanding requests")
        await exchange.give(attrs.evolve(answer, headers=headers))


async def bomb(exchange: Exchange) -> None:
    """Send a small compressed answer that is right, but unpacks to megabytes; `infos` has what fills it up."""
    right = (await exchange.right_answer()).body
    body = right[:-1] + b',"infos":["' + b"x" * _BOMB_BYTES + b'"]}'
    await exchange.give(HttpAnswer(body=gzip.compress(body, 1, mtime=0), headers={"Content-Encoding": "gzip"}))


async def truncate(exchange: Exchange) -> None:
    """Send the beginning of the right answer as if it were the whole."""
    answer = await exchange.right_answer()
    await exchange.give(attrs.evolve(answer, body=answer.body[: exchange.random.randrange(len(answer.body))]))


async def misshape(exchange: Exchange) -> None:
    """Send something with status 200 that is no answer."""
    right = (await exchange.right_answer()).body
    wrong: list[bytes] = [
        b"",
        b"[]",
        b"ok",
        b'{"status":"success"}',
        b'{"status":"error","errorType":"internal","error":"of the store"}',
        right.replace(b'"success"', b'"error"', 1),
        right.replace(b'"data":', b'"date":', 1),
        right.replace(b'"data":', b'"data":7,"other":', 1),
        right[:-1] + b',"note":"\xff"}',
        right + right,
        b"[" * _DEEP,
    ]
    await exchange.give(HttpAnswer(body=exchange.random.choice(wrong)))


async def lack_series(exchange: Exchange) -> None:
    """Leave series out and say so by a warning, as a server does that cannot reach a store."""
    answer = await exchange.right_answer()
    if answer.status != HTTPStatus.OK:
        await exchange.give(answer)
        return
    document: dict[str, Any] = json.loads(answer.body)
    document["warnings"] = [PARTIAL_WARNING]
    data: Any = document["data"]
    holder, member = (document, "data") if isinstance(data, list) else (data, "result")
    if isinstance(data, list) or data.get("resultType") in ("vector", "matrix"):
        holder[member] = [item for item in holder[member] if exchange.random.getrandbits(1)]
    await exchange.give(HttpAnswer.of_json(document))


@attrs.frozen
class Redirect:
    """Redirect to another server, which must never see the credentials."""

    target: str
    __name__ = "redirect"

    async def __call__(self, exchange: Exchange) -> None:
        """Answer."""
        status = exchange.random.choice([HTTPStatus.FOUND, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT])
        location = {"Location": f"{self.target}{exchange.request.path}"}
        await exchange.give(HttpAnswer(body=b"", status=status, headers=location))


async def deny(exchange: Exchange) -> None:
    """Answer that the credential is wrong."""
    await exchange.give(HttpAnswer.of_text(HTTPStatus.UNAUTHORIZED, "Unauthorized\n"))


async def refuse_post(exchange: Exchange) -> None:
    """Refuse a POST as a proxy does that allows only GET; answer a GET rightly."""
    if exchange.request.method == "GET":
        await exchange.give(await exchange.right_answer())
        return
    status = exchange.random.choice([HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED])
    await exchange.give(HttpAnswer.of_text(status, f"{status.phrase}\n"))


FAULTS: Final[tuple[Behaviour, ...]] = (
    hang,
    stall,
    reset,
    close_early,
    trickle,
    answer_late,
    time_out,
    answer_with_page,
    TooManyRequests(1),
    TooManyRequests(5),
    TooManyRequests(3_600),
    bomb,
    truncate,
    misshape,
    lack_series,
    deny,
    refuse_post,
)
"""Behaviours of a sick server, all but `Redirect`, which needs another server."""
