"""The invoices that a new database begins with."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from invoices.model import Invoice

FIRST = 31

_ROWS = [
    ("Nordlicht Cafe", "86.40", -45, "paid", "Hafenstrasse 12\n24103 Kiel", "Coffee machine rental, October"),
    ("Tomas Horak", "1250.00", -38, "paid", "Lipova 7\n602 00 Brno", "Garden wall, second half"),
    ("Bright & Daughters", "640.00", -30, "paid", "5 Quay Street\nBristol BS1 4DJ", ""),
    ("Librairie du Parc", "212.75", -21, "sent", "18 rue des Lilas\n69006 Lyon", "Reminder sent"),
    ("Weber Optics", "3980.00", -14, "sent", "Carl-Zeiss-Ring 3\n85737 Ismaning", "Three frames, express"),
    ("Elin Berg", "74.90", -9, "paid", "Storgata 21\n0184 Oslo", ""),
    ("Osteria Verde", "528.30", -2, "sent", "Via Mazzini 40\n40137 Bologna", "Wine delivery, week 6"),
    ("Kowalski Transport", "1875.50", 4, "sent", "ul. Portowa 9\n81-350 Gdynia", "Two pallets, insured"),
    ("Studio Kaneda", "920.00", 11, "draft", "Prinsengracht 212\n1016 HD Amsterdam", "Logo, first draft"),
    ("Green Hill School", "345.00", 18, "sent", "Hill Road 1\nSheffield S6 2LW", "Library shelves"),
    ("Harbour Books", "159.80", 25, "draft", "Pier 4\nGalway H91 X0P2", "Ask for the order number"),
    ("Miller & Sons", "120.00", 30, "draft", "Mill Lane 4\nCambridge CB2 1RX", "Spare parts"),
]


def invoices(today: date) -> list[Invoice]:
    """Twelve of them, the newest is Invoice 42; due dates lie around today."""
    return [
        Invoice(
            number=FIRST + place,
            customer=customer,
            amount=Decimal(amount),
            due=today + timedelta(days=days),
            status=status,
            address=address,
            notes=notes,
        )
        for place, (customer, amount, days, status, address, notes) in enumerate(_ROWS)
    ]
