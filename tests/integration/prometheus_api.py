"""Queries to a Prometheus over plain HTTP, and the comparison of how it and promql-parser read them."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any, Final

import promql_parser

from statcore.testing.servers import Server

_LAST_OF_LONG: Final = re.compile(r"([0-9]{2,}d(?:[0-9]+[hms])*)[0-9]+ms")


@contextmanager
def asking(server: Server) -> Iterator[Callable[..., dict[str, Any]]]:
    """Yield a function that posts a form to the API, over one connection, and returns the server's answer."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:

        def ask(path: str, **form: str) -> dict[str, Any]:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", f"/api/v1/{path}", urllib.parse.urlencode(form), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer

        yield ask


def assert_same_query(ask: Callable[..., dict[str, Any]], text: str) -> None:
    """Fail unless the server reads in the text what promql-parser does.

    Prometheus 3 counts durations in seconds as floats, and may lose the last millisecond of three months or more.
    """
    answer = ask("format_query", query=text)
    assert "success" == answer["status"], (text, answer)
    expected, found = (promql_parser.parse(query).prettify() for query in (text, answer["data"]))
    assert _LAST_OF_LONG.sub(r"\1", expected) == _LAST_OF_LONG.sub(r"\1", found)
