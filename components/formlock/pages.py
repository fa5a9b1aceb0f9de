"""The node's own web pages: static files with the headers that a careful site sends. A Crossbar `resource` path service.

Crossbar's own static service sends no content security policy, no ETag and nothing compressed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from twisted.web.resource import NoResource, Resource
from twisted.web.server import Request
from twisted.web.static import File

from formlock.bundle import MANIFEST, VERSION_LENGTH, Content, Folder, matches
from formlock.plain import ROUTES, PlainRoute
from formlock.ready import ReadyPage

HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    # The files are few and small: always ask, and get "not modified".
    b"cache-control": b"no-cache",
}
# The package is loaded by the application's own pages, from another origin: a module script is refused without these.
PACKAGE_HEADERS = {
    **HEADERS,
    b"access-control-allow-origin": b"*",
    b"cross-origin-resource-policy": b"cross-origin",
    b"vary": b"accept-encoding",
}
# For an address that names what is there: a year, the longest that RFC 9111 knows of, and no question meanwhile.
FOR_EVER = b"public, max-age=31536000, immutable"
VERSION = re.compile(rf"[0-9a-f]{{{VERSION_LENGTH}}}".encode())

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


class Pages(Resource):
    """`extra`: `pages`, the folder shown at `/`; `package`, the folder of the built browser package, shown at `/formlock/`.
    `/readyz` says whether every component answers; `/formlock/lock`, `unlock` and `status` are plain.py's.

    Paths are relative to the node's folder, which is the worker's working directory.
    """

    def __init__(self, extra: dict[str, Any], reactor: object = None) -> None:  # noqa: ARG002 (Crossbar passes it)
        super().__init__()  # type: ignore[no-untyped-call]
        self._root = _Files(str(Path(extra["pages"]).resolve()))
        # `/demo` is demo.html.
        self._root.ignoreExt(".html")
        self.putChild(b"readyz", cast("Any", ReadyPage)())
        package = cast("Any", PackageFiles)(Path(extra["package"]).resolve())
        for route in ROUTES:
            package.putChild(route.encode(), cast("Any", PlainRoute)(route))
        self.putChild(b"formlock", package)

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


class PackageFiles(Resource):
    """The browser package, for pages of any origin, below two addresses.

    `/formlock/NAME` stays, and the browser asks each time whether it is still the same. `/formlock/VERSION/NAME` names one state of
    all files together, since they load each other: kept for ever, never asked for again. `/formlock/manifest.json` says which is the
    present one.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._folder = Folder(folder)
        # Compressing takes a quarter of a second: better before the first page asks.
        self._folder.bundle()

    def getChild(self, path: bytes, request: Request) -> Any:  # noqa: N802
        """By the name of a file, or by the version and then the name."""
        bundle, below = self._folder.bundle(), request.postpath or []
        versioned = VERSION.fullmatch(path) is not None and len(below) == 1
        name = (below[0] if versioned else path).decode("ascii", "replace")
        if name in bundle.files and versioned:
            present = path == bundle.version.encode()
            return _Sent(name, bundle.files[name], FOR_EVER) if present else _Moved(b"../" + name.encode())
        if below:
            return _Files.childNotFound
        if name == MANIFEST:
            return _Sent(name, bundle.manifest(), HEADERS[b"cache-control"])
        return _Sent(name, bundle.files[name], HEADERS[b"cache-control"]) if name in bundle.files else _Files.childNotFound


class _Sent(Resource):
    """One file of the package, in the smallest form that the browser takes."""

    isLeaf = True  # noqa: N815

    def __init__(self, name: str, content: Content, cached: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._type = TYPES.get(Path(name).suffix, "application/octet-stream")
        self._content = content
        self._cached = cached

    def render_GET(self, request: Request) -> bytes:  # noqa: N802 (Twisted answers HEAD by it, too)
        """The file, or "not modified"."""
        encoding, body = self._content.best(_header(request, b"accept-encoding"))
        etag = self._content.etag(encoding)
        for name, value in {**PACKAGE_HEADERS, b"cache-control": self._cached, b"etag": etag.encode()}.items():
            request.setHeader(name, value)
        if matches(_header(request, b"if-none-match"), etag):
            request.setResponseCode(304)
            return b""
        request.setHeader(b"content-type", self._type.encode())
        if encoding:
            request.setHeader(b"content-encoding", encoding.encode())
        request.setHeader(b"content-length", b"%d" % len(body))
        return body


class _Moved(Resource):
    """A page that was made before the node's last update still finds its script: the present one, at the name that stays."""

    isLeaf = True  # noqa: N815

    def __init__(self, to: bytes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._to = to

    def render_GET(self, request: Request) -> bytes:  # noqa: N802
        """Elsewhere, for this once."""
        for name, value in {**PACKAGE_HEADERS, b"cache-control": b"no-store", b"location": self._to}.items():
            request.setHeader(name, value)
        request.setResponseCode(307)
        return b""


def _header(request: Request, name: bytes) -> str | None:
    value = request.getHeader(name)
    return value.decode("ascii", "replace") if value is not None else None
