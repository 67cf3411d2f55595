"""The page's files: served with an ETag, and with headers that let the page talk to this service only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import attrs
from aiohttp import web

from statcore_web.refusal import RefusedError

_FOLDER: Final = "static"
_CONTENT_TYPES: Final = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
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


class Page:
    """Answers requests for the files of the folder `static`, which are read once."""

    def __init__(self) -> None:
        """Read the files."""
        self._files: Mapping[str, _File] = {
            file.name: _File(
                body=(body := file.read_bytes()),
                content_type=_CONTENT_TYPES[file.name.rpartition(".")[2]],
                etag=hashlib.sha256(body).hexdigest(),
            )
            for file in files("statcore_web").joinpath(_FOLDER).iterdir()
        }

    async def explorer(self, request: web.Request) -> web.Response:
        """Answer the page of the explorer."""
        return self._files["explorer.html"].answer(request)

    async def file(self, request: web.Request) -> web.Response:
        """Answer the file whose name ends the path.

        Raises:
            RefusedError: status 404: there is no such file.
        """
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise RefusedError(404, "InputError", "the page has no such file; load the page again")
        return file.answer(request)
