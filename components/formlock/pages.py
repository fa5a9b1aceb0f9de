"""The node's own web pages: static files with the headers that a careful site sends. A Crossbar `resource` path service.

Crossbar's own static service sends no content security policy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.web.resource import NoResource, Resource
from twisted.web.server import Request
from twisted.web.static import File

from formlock.ready import ReadyPage

HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    # The files are few and small: always ask, and get "not modified".
    b"cache-control": b"no-cache",
}
# The package is loaded by the application's own pages, from another origin: a module script is refused without these.
PACKAGE_HEADERS = {**HEADERS, b"access-control-allow-origin": b"*", b"cross-origin-resource-policy": b"cross-origin"}

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}


class Pages(Resource):
    """`extra`: `pages`, the folder shown at `/`; `package`, the folder of the built browser package, shown at `/formlock/`.
    `/readyz` says whether every component answers.

    Paths are relative to the node's folder, which is the worker's working directory.
    """

    def __init__(self, extra: dict[str, Any], reactor: object = None) -> None:  # noqa: ARG002 (Crossbar passes it)
        super().__init__()  # type: ignore[no-untyped-call]
        self._root = _Files(str(Path(extra["pages"]).resolve()))
        # `/demo` is demo.html.
        self._root.ignoreExt(".html")
        self.putChild(b"readyz", cast("Any", ReadyPage)())
        self.putChild(b"formlock", cast("Any", _PackageFiles)(str(Path(extra["package"]).resolve())))

    def getChild(self, path: bytes, request: Request) -> Any:  # noqa: N802
        """Whatever no other path service answers is a file of the pages."""
        return self._root.getChildWithDefault(path or b"index.html", request)


class _Files(File):
    """Files without directory listings."""

    headers = HEADERS
    contentTypes = TYPES  # noqa: N815
    childNotFound = NoResource("There is nothing at this address.")  # noqa: N815

    def directoryListing(self) -> Resource:  # noqa: N802
        return self.childNotFound

    def render(self, request: Request) -> Any:
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return super().render(request)  # type: ignore[no-untyped-call]


class _PackageFiles(_Files):
    """The browser package, for pages of any origin."""

    headers = PACKAGE_HEADERS
