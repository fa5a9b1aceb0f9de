"""Fields for some only (`formlock_redact`), from Django's models to the message: what the bridge cuts by it shows nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from formlock_bridge.redaction import cut
from formlock_push import Update
from formlock_push.django.hook import install
from formlock_push.fitting import fitting
from tests.backends.django_app.models import Customer, Offer, OfferLine
from tests.backends.django_support import Sent, databases

SECRET = "marker"
BUYER = 7_777_777_777  # so long that no random id has it in it


@pytest.fixture(autouse=True, scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with databases(tmp_path_factory.mktemp("redact")):
        yield


@pytest.fixture
def sent() -> Iterator[Sent]:
    Offer.objects.all().delete()
    Offer.objects.create(pk=1)
    sent = Sent()
    hook = install(sent, jobs=True)
    yield sent
    hook.remove()


def seen_without_rights(update: Update) -> str:
    """What the bridge lets everybody see of the message that is sent."""
    message = json.loads(fitting(update)[1])
    return json.dumps(cut(message, message.get("redact"), lambda _right: False))


def test_record_and_parts(sent: Sent) -> None:
    """An update names the right of each redacted field, a part's under the part's name, a key's under both of its names."""
    with transaction.atomic():
        offer = Offer.objects.get(pk=1)
        offer.price = 5
        offer.customer = Customer.objects.create(pk=BUYER, name="x")
        offer.save()
        OfferLine.objects.create(pk=3, offer=offer, text="Paint", margin=SECRET)
    (update,) = sent
    assert update.change_set == {
        "price": (0, 5),
        "customer": (None, BUYER),
        "lines.3.text": (None, "Paint"),
        "lines.3.margin": (None, SECRET),
    }
    assert update.redact == {"margin": "margins", "customer": "buyers", "customer_id": "buyers", "lines.3.margin": "margins"}
    assert str(BUYER) not in seen_without_rights(update)
    assert SECRET not in seen_without_rights(update)


def test_statement(sent: Sent) -> None:
    """What a statement of a QuerySet sets is redacted as what is saved."""
    Offer.objects.filter(pk=1).update(margin=SECRET, price=3)
    (update,) = sent
    assert update.change_set == {"price": (0, 3), "margin": ("", SECRET)}
    assert json.loads(seen_without_rights(update))["change_set"] == {"price": [0, 3]}


def test_more_than_a_message_can_name(sent: Sent) -> None:
    """With more than 64 redacted fields nothing is told of any field, rather than a secret."""
    with transaction.atomic():
        for _ in range(65):
            OfferLine.objects.create(offer_id=1, margin=SECRET)
    (update,) = sent
    assert (update.change_set, update.representation, update.redact) == (None, None, None)


def test_no_rights() -> None:
    """A model whose `formlock_redact` is no `{field: right}` stops the application's start."""
    with pytest.raises(ImproperlyConfigured, match="name of a right"):
        type(
            "Wrong",
            (models.Model,),
            {
                "__module__": __name__,
                "Meta": type("Meta", (), {"app_label": "wrong"}),
                "formlock_channel": lambda _self: None,
                "formlock_redact": {"margin": "No Right"},
            },
        )


DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["save", "update", "bulk update", "bulk create", "line", "line update", "move", "delete line", "rollback"]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.sampled_from([1, 70_000]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(deeds=DEEDS, bulk_limit=st.integers(1, 3))
def test_never_a_leak(deeds: list[tuple[str, int, int, int, bool]], bulk_limit: int) -> None:
    """Whatever an application does, in whatever order: what is sent, cut by its own `redact`, shows no value of a redacted field."""
    OfferLine.objects.all().delete()
    Offer.objects.all().delete()
    sent = Sent()
    hook = install(sent, jobs=True, bulk_limit=bulk_limit)
    try:
        for number in range(1, 4):
            Offer.objects.create(pk=number, margin=f"{SECRET} 0")
        for number in range(1, 3):
            OfferLine.objects.create(pk=number, offer_id=number, margin=f"{SECRET} 0")
        with transaction.atomic():
            for step, (deed, number, line_id, length, apart) in enumerate(deeds):
                with transaction.atomic(savepoint=apart):
                    do(deed, number, line_id, f"{SECRET} {step}", "x" * length)
        for deed, number, line_id, length, _apart in deeds:
            do(deed, number, line_id, f"{SECRET} alone", "y" * length)
    finally:
        hook.remove()
    assert sent
    assert hook.failed == 0
    for told in sent:
        assert SECRET not in seen_without_rights(told)


def do(deed: str, number: int, line_id: int, secret: str, text: str) -> None:
    line = OfferLine.objects.filter(pk=line_id).first()
    offer = Offer.objects.get(pk=number)
    match deed:
        case "save":
            offer.margin, offer.price = secret, len(text)
            offer.save()
        case "update":
            Offer.objects.filter(pk__lte=number).update(margin=secret)
        case "bulk update":
            offer.margin = secret
            Offer.objects.bulk_update([offer], ["margin"])
        case "bulk create":
            OfferLine.objects.bulk_create([OfferLine(offer=offer, margin=secret, text=text) for _ in range(line_id)])
        case "line" if line is None:
            OfferLine.objects.create(pk=line_id, offer=offer, margin=secret, text=text)
        case "line" if line is not None:
            line.margin, line.text = secret, text
            line.save()
        case "line update":
            OfferLine.objects.filter(offer=offer).update(margin=secret)
        case "move" if line is not None:
            line.offer = offer
            line.save()
        case "delete line" if line is not None:
            line.delete()
        case "rollback":
            with transaction.atomic():
                offer.margin = secret
                offer.save()
                transaction.set_rollback(True)
