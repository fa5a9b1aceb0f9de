"""The pages. Claim and save are all that has to do with Form lock; docs/explanation/late-saves.md says why there are two."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from formlock_push import django as formlock
from invoices.forms import InvoiceForm
from invoices.models import Invoice

CONFLICT, NOT_VALID = 409, 422


@require_safe
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """All of them."""
    return render(request, "invoices/list.html", {"invoices": Invoice.objects.order_by("pk")})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: HttpRequest, number: int) -> HttpResponse:
    """The form, shut until it is yours. It is saved at its own address: a form that comes back with a mistake is yours still."""
    if request.method == "POST":
        return _save(request, number)
    invoice = get_object_or_404(Invoice, pk=number)
    return _form(request, invoice, InvoiceForm(instance=invoice))


@require_POST
@login_required
def claim(request: HttpRequest, number: int) -> HttpResponse:
    """Asked by the page as soon as it has the lock; its answer fills the fields before they open."""
    try:
        receipt = formlock.receipt_of(request, _topic(number))
        with transaction.atomic():
            formlock.claim(Invoice, number, receipt.token)
            invoice = Invoice.objects.get(pk=number)
    except (formlock.InvalidReceipt, formlock.Late, Invoice.DoesNotExist) as refusal:
        return JsonResponse({"error": str(refusal)}, status=CONFLICT)
    contents = {name: str(getattr(invoice, name)) for name in InvoiceForm.Meta.fields}
    return JsonResponse({**contents, "version": str(invoice.version)})


def _save(request: HttpRequest, number: int) -> HttpResponse:
    """Only whoever has the form, and only over what he has seen."""
    try:
        receipt = formlock.receipt_of(request, _topic(number))
        with transaction.atomic():
            # First of all: from here to the commit nobody else can claim or change the row.
            formlock.fence(Invoice, number, receipt.token)
            invoice = Invoice.objects.select_for_update().get(pk=number)
            if str(invoice.version) != request.POST.get("version"):
                raise formlock.Late("The invoice was changed after you had opened it.")
            form = InvoiceForm(request.POST, instance=invoice)
            if not form.is_valid():
                return _form(request, invoice, form, status=NOT_VALID)
            form.save()
    except (formlock.InvalidReceipt, formlock.Late) as refusal:
        stored = Invoice.objects.filter(pk=number).first()
        shown = {"refusal": refusal, "typed": request.POST, "stored": stored}
        return render(request, "invoices/refused.html", shown, status=CONFLICT)
    return redirect("list")


def _form(request: HttpRequest, invoice: Invoice, form: InvoiceForm, status: int = 200) -> HttpResponse:
    shown = {"invoice": invoice, "form": form, "topic": _topic(invoice.pk), "node": settings.FORMLOCK_NODE}
    return render(request, "invoices/edit.html", shown, status=status)


def _topic(number: int) -> str:
    return Invoice(pk=number).formlock_channel()
