"""Sets the amounts of invoices from a CSV file, each while it holds the invoice's form.

    python set_amounts.py amounts.csv invoices.sqlite [ws://127.0.0.1:8080/ws]

The file has lines of `number,amount`, the database a table `invoice` with `number`, `amount`, `version` and `lock_token` (not null).
Whoever is editing an invoice is waited for; people may take an invoice over at any time, and then it is left as they have it.
"""

from __future__ import annotations

import csv
import sqlite3
import sys
from pathlib import Path

from formlock.client import DEFAULT_URL, Client, FormLocked, Lost

WAIT_S = 30


def set_amount(database: sqlite3.Connection, number: int, amount: str, token: int) -> bool:
    """Claim the token and write, in one transaction; False when a newer lock has been claimed, whatever we believe to hold."""
    with database:
        claimed = database.execute(
            "UPDATE invoice SET lock_token = :token WHERE number = :number AND lock_token <= :token",
            {"token": token, "number": number},
        )
        if claimed.rowcount == 0:
            return False
        database.execute("UPDATE invoice SET amount = ?, version = version + 1 WHERE number = ?", (amount, number))
        return True


def main(amounts: str, path: str, url: str = DEFAULT_URL) -> int:
    """Returns how many invoices were left as they are."""
    left = 0
    database = sqlite3.connect(path)
    with (
        Client(url, user="set-amounts", name="Import of amounts") as client,
        Path(amounts).open(encoding="utf-8", newline="") as file,
    ):
        for number, amount in csv.reader(file):
            try:
                form = f"com.example.form.invoice.{int(number)}"
                with client.hold(form, wait=True, timeout_s=WAIT_S, note="import of amounts") as held:
                    held.check()
                    done = set_amount(database, int(number), amount, held.token)
                    if not done:
                        print(f"{number}: there is none, or it was edited under a newer lock", file=sys.stderr)  # noqa: T201
            except (FormLocked, Lost) as error:
                print(f"{number}: {error}", file=sys.stderr)  # noqa: T201 (a script's own voice)
                done = False
            left += not done
    database.close()
    return left


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
