"""The page's files: served with an ETag, and with headers that let the page talk to this service only."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import attrs
from aiohttp import web

from statcore_web.refusal import RefusedError

_logger: Final = logging.getLogger(__name__)

NOT_BUILT: Final = "the page is not built; run `make page` in statcore's repository, or install a wheel that has it"
_FOLDER: Final = files("statcore_web").joinpath("static")
_CONTENT_TYPES: Final = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",  # a browser keeps the files, and asks each time whether they are the same
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}


@attrs.frozen(kw_only=True)
class _File:
    """The content of a file, and its tag."""

    body: bytes = attrs.field(repr=False)
    content_type: str
    etag: str

    def answer(self, request: web.Request) -> web.Response:
        """Return the file, or 304 if the client has it."""
        headers = {**_HEADERS, "ETag": f'"{self.etag}"'}
        if any(known.value in (self.etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, content_type=self.content_type, charset="utf-8", headers=headers)


def is_built() -> bool:
    """Return whether this installation has the files of the page."""
    return _FOLDER.joinpath("index.html").is_file()


class Page:
    """Answers requests for the files of the folder `static`, which are read once, or refuses them if the page is not built.

    The folder is built from the folder `page`; `hatch_build.py` says how and when.
    """

    def __init__(self) -> None:
        """Read the files; a page that is not built is logged."""
        if not is_built():
            _logger.warning(NOT_BUILT)
        self._files: Mapping[str, _File] = {
            file.name: _File(
                body=(body := file.read_bytes()),
                content_type=_CONTENT_TYPES[file.name.rpartition(".")[2]],
                etag=hashlib.sha256(body).hexdigest(),
            )
            for file in (_FOLDER.iterdir() if is_built() else ())
        }

    async def index(self, request: web.Request) -> web.Response:
        """Answer the page. Its links are relative, so a path without a slash at its end is redirected."""
        folder = request.path.rpartition("/")[2]
        if folder:
            return web.Response(status=308, headers={**_HEADERS, "Location": f"{folder}/"})
        return self._answer("index.html", request)

    async def explorer(self, request: web.Request) -> web.Response:
        """Answer the page of the explorer."""
        return self._answer("explorer.html", request)

    async def file(self, request: web.Request) -> web.Response:
        """Answer the file whose name ends the path."""
        return self._answer(request.match_info["name"], request)

    def _answer(self, name: str, request: web.Request) -> web.Response:
        """Answer a file.

        Raises:
            RefusedError: status 404: there is no such file. Status 503: the page is not built.
        """
        if not self._files:
            raise RefusedError(503, "UnavailableError", NOT_BUILT)
        if name not in self._files:
            raise RefusedError(404, "InputError", "the page has no such file; load the page again")
        return self._files[name].answer(request)
