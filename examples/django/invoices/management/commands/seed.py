"""`manage.py seed`: two people and three invoices to try it with. Does nothing to what is there already."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from invoices.models import Invoice

PEOPLE = {"ann": ("Ann", "Weber"), "bob": ("Bob", "Stone")}
INVOICES = {41: ("North Mill", "80.00"), 42: ("Weber and Sons", "120.00"), 43: ("Harbour Office", "310.50")}


class Command(BaseCommand):
    """Their passwords are their names: for a machine of one's own only."""

    help = "Makes two people (ann, bob) and three invoices."

    def handle(self, **_: Any) -> None:
        people = get_user_model().objects
        for name, (first, last) in PEOPLE.items():
            if not people.filter(username=name).exists():
                people.create_user(name, password=name, first_name=first, last_name=last)
        for number, (customer, amount) in INVOICES.items():
            Invoice.objects.get_or_create(pk=number, defaults={"customer": customer, "amount": amount})
