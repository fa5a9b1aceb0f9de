"""What a request changes is told, and as its user's work.

MIDDLEWARE = [..., "formlock_push.django.middleware.FormLockMiddleware"]
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from formlock_push.django import conf
from formlock_push.scope import Scope, ask, inside

GetResponse = Callable[[HttpRequest], Any]


class FormLockMiddleware:
    """Of both kinds, so that it costs no change of thread. Put it after the one that knows the user.

    Nobody is asked who the user is (a session, a row) unless something is told.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._get_response = get_response
        actor = conf.read(getattr(settings, "FORMLOCK", None)).actor
        self._actor: Callable[[HttpRequest], conf.Actor] = import_string(actor) if isinstance(actor, str) else actor or actor_of
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """As the view's own answer, with the request's scope around it."""
        if iscoroutinefunction(self):
            return self._asynchronously(request)
        with inside(Scope()) as scope:
            ask(lambda: self._actor(request))
            return _in_scope(self._get_response(request), scope)

    async def _asynchronously(self, request: HttpRequest) -> HttpResponseBase:
        with inside(Scope()) as scope:
            ask(lambda: self._actor(request))
            return _in_scope(await self._get_response(request), scope)


def actor_of(request: HttpRequest) -> conf.Actor:
    """Who is logged in: by the name that he logs in with, which should be what the router knows him by."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    name = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return {"user": user.get_username(), "name": name or user.get_username()}


def _in_scope(response: Any, scope: Scope) -> HttpResponseBase:
    """A response that is still being made is made after we have returned. A file is sent by the server itself."""
    if response.streaming and getattr(response, "file_to_stream", None) is None:
        parts = response.streaming_content
        response.streaming_content = _later_async(parts, scope) if response.is_async else _later(parts, scope)
    return response


def _later(parts: Iterator[bytes], scope: Scope) -> Iterator[bytes]:
    iterator = iter(parts)
    while True:
        with inside(scope):
            part = next(iterator, None)
        if part is None:
            return
        yield part


async def _later_async(parts: AsyncIterator[bytes], scope: Scope) -> AsyncIterator[bytes]:
    iterator = aiter(parts)
    while True:
        with inside(scope):
            part = await anext(iterator, None)
        if part is None:
            return
        yield part
