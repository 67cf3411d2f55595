"""The page's files over HTTP: which there are, their headers, and answers to a browser that has them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from tests.support.web_host import SESSIONS, get, serving

PATHS = (
    "/",
    "/explorer",
    "/static/explorer.js",
    "/static/page.js",
    "/static/page.css",
    "/static/icon.svg",
    "/static/LICENSES.txt",
    "/static/statcore-page.cdx.json",
)


@pytest.mark.parametrize("path", PATHS)
async def test_a_file_lets_the_page_talk_to_this_service_only(path: str) -> None:
    """The policy allows scripts, styles and requests of the own origin, and no markup made from text."""
    async with serving() as client:
        response = await client.get(path)
    policy = dict(directive.split(" ", 1) for directive in response.headers["Content-Security-Policy"].split("; "))
    assert 200 == response.status
    assert "'none'" == policy.pop("default-src")
    assert {"'self'"} == {policy.pop(f"{kind}-src") for kind in ("script", "style", "connect", "img")}
    assert ("'script'", "'none'") == (policy.pop("require-trusted-types-for"), policy.pop("trusted-types"))
    assert {"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"} == policy
    assert "nosniff" == response.headers["X-Content-Type-Options"]
    assert "no-referrer" == response.headers["Referrer-Policy"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_browser_that_has_a_file_gets_304(path: str) -> None:
    """The browser asks each time, and reads the file again only if it has changed."""
    async with serving() as client:
        etag = (await client.get(path)).headers["ETag"]
        again = await client.get(path, headers={"If-None-Match": etag})
        assert (304, b"", etag) == (again.status, await again.read(), again.headers["ETag"])
        assert 200 == (await client.get(path, headers={"If-None-Match": '"another"'})).status


@pytest.mark.parametrize("path", ["/live/statistics/explorer", "/live/statistics/", "/live/statistics"])
async def test_what_a_page_links_to_is_there_below_a_prefix(path: str) -> None:
    """Its links are relative, so that a host may mount the routes anywhere."""
    async with serving(prefix="/live/statistics") as client:
        page = await (await client.get(path)).text()
        links = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert 3 <= len(links)
        for link in links:
            assert 200 == (await client.get(f"/live/statistics/{link}")).status


@pytest.mark.parametrize("name", ["none.js", "%2e%2e%2fpage.py", "..%2f__init__.py"])
async def test_nothing_else_is_served(name: str) -> None:
    """A name that is not that of a file of the page is 404."""
    async with serving() as client:
        assert 404 == (await client.get(f"/static/{name}")).status


@pytest.mark.parametrize("folder", ["", "none"])
async def test_without_a_page_the_other_routes_answer(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder is empty or missing: requests for the page get 503, and they and one warning say what to do."""
    monkeypatch.setattr("statcore_web.page._FOLDER", tmp_path / folder)
    async with serving() as client:
        for path in PATHS:
            response = await client.get(path)
            assert 503 == response.status
            assert "make page" in await response.text()
        assert 200 == (await get(client, SESSIONS)).status
    assert [logging.WARNING] == [record.levelno for record in caplog.records if "make page" in record.getMessage()]


async def test_both_paths_of_the_page_are_one_route() -> None:
    """The prefix with and without a slash at its end is counted under the same name."""
    async with serving(prefix="/live") as client:
        for path in ("/live", "/live/"):
            await client.get(path, allow_redirects=False)
        metrics = await (await client.get("/live/metrics")).text()
    assert {"/"} == set(re.findall(r'^statcore_http_requests_total{[^}]*route="([^"]*)"', metrics, re.MULTILINE))
