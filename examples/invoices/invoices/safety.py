"""What every answer carries and every request must have, whatever page it is about."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, request

HEADERS = {
    # No inline script or style, nothing from elsewhere; the live connection goes to the page's own host.
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    # A page from the cache would show old values. Static files come with their own rule.
    "Cache-Control": "no-store",
}


def protect(app: Flask) -> None:
    """Refuse what other sites send in a user's name, and add the headers."""

    @app.before_request
    def refuse_other_sites() -> None:
        if request.method not in ("GET", "HEAD", "OPTIONS") and comes_from_elsewhere(request):
            abort(403)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def comes_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sends this.

    Every browser of today says so by Sec-Fetch-Site; an older one sends Origin. A program sends neither, and no cookies by itself.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host
