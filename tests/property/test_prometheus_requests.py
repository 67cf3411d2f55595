"""The parameters of a request are read back as they were, from a form and from a URL.

The oracle is `parse_qsl`, the reader of the standard library.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from statcore_prometheus import PrometheusOptions
from statcore_prometheus.requests import Request
from statcore_prometheus.server import Server
from statcore_prometheus.transport import Transport

OPTIONS: Final = PrometheusOptions(parameters={"dedup": "a&b=c", "step": "1m"})
texts: Final = st.text(st.characters(exclude_categories=["Cs"])) | st.text("%+&=;#?/ \"\\'\n\0", max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["query", "match[]", "step"]), texts), max_size=4))
@example([("match[]", "a"), ("match[]", "b")])
@example([("query", 'up{a="%2B+ ;&é🦀\ufffd"}')])
def test_parameters_are_read_back(parameters: list[tuple[str, str]]) -> None:
    """A parameter may recur; those of the options are added, unless the request has one of that name."""
    server = Server.from_url("http://127.0.0.1:9090/prometheus", options=OPTIONS)
    transport = Transport([server], OPTIONS, None)
    request = Request(path="/api/v1/series", parameters=parameters, by_form=True, subject="series")
    names = {name for name, _ in parameters}
    added = [(name, text) for name, text in OPTIONS.parameters.items() if name not in names]
    expected = [*parameters, ("timeout", "2500ms"), *added]
    address, form = transport._address_and_form("POST", server, request, 2.5)
    assert ("http://127.0.0.1:9090/prometheus/api/v1/series", expected) == (address, read(form or b""))
    address, form = transport._address_and_form("GET", server, request, 2.5)
    assert (None, expected) == (form, read(urlsplit(address).query.encode()))


def read(form: bytes) -> list[tuple[str, str]]:
    """Return what a server reads."""
    return parse_qsl(form.decode("ascii"), keep_blank_values=True, strict_parsing=True)
