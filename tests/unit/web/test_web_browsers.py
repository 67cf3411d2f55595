"""What pages of other origins may do."""

from __future__ import annotations

import pytest
from tests.support.web_host import post, serving

from statcore.errors import InputError
from statcore_web.browsers import LOOPBACK_HOSTS, BrowserRules, read_origins

ALLOWED = "https://dashboard.example"
RULES = BrowserRules(origins=frozenset({ALLOWED}))


@pytest.mark.parametrize(("origin", "allowed"), [(ALLOWED, ALLOWED), ("https://evil.example", None), ("null", None)])
async def test_only_a_named_origin_may_read_answers(origin: str, allowed: str | None) -> None:
    """Errors are readable, too. A cache keeps the answers apart."""
    async with serving(browsers=RULES) as client:
        for query in ("{ schema_version }", "{"):
            response = await post(client, query, headers={"Origin": origin})
            assert allowed == response.headers.get("Access-Control-Allow-Origin")
            assert "Origin" in response.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize(("origin", "allowed"), [(ALLOWED, ALLOWED), ("https://evil.example", None)])
async def test_a_browser_asks_before_it_sends_a_token(origin: str, allowed: str | None) -> None:
    """The answer to its question allows what GraphQL needs."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with serving(browsers=RULES) as client:
        response = await client.options("/graphql", headers=headers)
        assert (204, allowed) == (response.status, response.headers.get("Access-Control-Allow-Origin"))
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert {"authorization", "content-type"} <= set(
            response.headers["Access-Control-Allow-Headers"].lower().split(", ")
        )


async def test_without_origins_no_page_may_read_answers() -> None:
    """The question of a browser is refused."""
    async with serving() as client:
        response = await post(client, "{ schema_version }", headers={"Origin": ALLOWED})
        assert [] == [name for name in response.headers if name.startswith("Access-Control-")]
        assert 405 == (await client.options("/graphql", headers={"Origin": ALLOWED})).status


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "https://a.example/",
        "a.example",
        "ftp://a.example",
        "https://u@a.example",
        "https://[",
        "",
        "https://*.a.example",
        "https://A.example",
        "https://a.example:443",
        "http://a.example:80",
    ],
)
def test_a_text_that_is_no_origin_is_refused(text: str) -> None:
    """Browsers send a scheme, a host and a port, and nothing else."""
    with pytest.raises(InputError, match="origin"):
        read_origins([text])
    assert {"http://[::1]:8080", ALLOWED} == read_origins(["http://[::1]:8080", ALLOWED])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:9", 200),
        ("LOCALHOST", 200),
        ("localhost.evil.example", 421),
        ("evil.example:8080", 421),
        ("[", 421),
    ],
)
async def test_a_page_cannot_reach_a_service_without_tokens_under_its_own_name(host: str, status: int) -> None:
    """This holds for all routes."""
    async with serving(browsers=BrowserRules(hosts=LOOPBACK_HOSTS)) as client:
        for path in ("/healthz", "/metrics", "/explorer", "/graphql?query={schema_version}"):
            response = await client.get(path, headers={"Host": host})
            assert status == response.status
