"""Pages that change an invoice: at once, in a coroutine, and while the answer is being sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from formlock_push.django import receipt_of
from tests.backends.django_app.models import Invoice


def quiet(request: HttpRequest) -> HttpResponse:
    return HttpResponse("quiet")


def change(request: HttpRequest) -> HttpResponse:
    if "form_lock_receipt" in request.POST or "X-Form-Lock-Receipt" in request.headers:
        receipt_of(request, "com.example.form.invoice.1", user="ann")
    _change()
    return HttpResponse("changed")


async def change_async(request: HttpRequest) -> HttpResponse:
    invoice = await Invoice.objects.aget(pk=1)
    invoice.amount += 1
    await invoice.asave()
    return HttpResponse("changed")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"changing"
        # Of a template's block that has nothing to say.
        yield b""
        _change()
        yield b"changed"

    return StreamingHttpResponse(parts())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"changing"
        yield b""
        invoice = await Invoice.objects.aget(pk=1)
        invoice.amount += 1
        await invoice.asave()
        yield b"changed"

    return StreamingHttpResponse(parts())


def fail(request: HttpRequest) -> HttpResponse:
    _change()
    raise ValueError


def _change() -> None:
    invoice = Invoice.objects.get(pk=1)
    invoice.amount += 1
    invoice.save()


urlpatterns = [path(view.__name__, view) for view in (quiet, change, change_async, stream, stream_async, fail)]
