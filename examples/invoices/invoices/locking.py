"""Everything that a write has to do with Form lock: the claim before editing, and the fence around a save.

A receipt proves that somebody had the form, not that he still has it: it is good until it expires, and meanwhile somebody else may
have got the form. So whoever gets it claims it first, in the record's own row, and from then on no older token can write
(docs/explanation/late-saves.md). Only `lock` and `unlock`, for a browser without JavaScript, ask the service: a save works
while it is away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy.orm import Session, sessionmaker

from formlock_push.plain_locks import PlainLocks, Refused, Unreachable
from formlock_push.scope import act
from formlock_push.sqlalchemy import claim, fence
from formlock_push.verify import Receipt, Verifier
from invoices.model import Invoice, form_of
from invoices.people import Person
from invoices.refusals import Changed, Gone, Taken, Unlockable, Unverifiable


@dataclass(frozen=True, slots=True)
class Locking:
    """Each method raises one of `refusals.REFUSALS` when it must not go on; nothing is written then."""

    sessions: sessionmaker[Session]
    verifier: Verifier
    plain: PlainLocks

    def lock(self, person: Person, number: int) -> str:
        """For a page without JavaScript: the receipt of a lock that nobody has to renew."""
        try:
            receipt: str = self.plain.lock(form_of(number), user=person.user, name=person.name)["receipt"]
        except Refused as refused:
            raise Taken(refused.holder) from None
        except (Unreachable, OSError, ValueError):
            raise Unlockable from None
        return receipt

    def unlock(self, number: int, receipt: str) -> None:
        """Give that lock back. If that fails it ends by its time."""
        with suppress(Refused, Unreachable, OSError, ValueError):
            self.plain.unlock(form_of(number), receipt)

    def claim(self, person: Person, number: int, receipt: str | None) -> Invoice:
        """Note in the row that this lock is now the newest, and read what it is about."""
        proof = self._verified(person, number, receipt)
        with self.sessions.begin() as session:
            try:
                claim(session, Invoice, number, proof.token)
            except LookupError:
                raise Gone from None
            invoice = session.get_one(Invoice, number, with_for_update=True)
            session.expunge(invoice)
        return invoice

    @contextmanager
    def writing(self, person: Person, number: int, receipt: str | None, version: str | None) -> Iterator[tuple[Session, Invoice]]:
        """A transaction that only the newest holder gets, with the record as it is now; committed at the end of the block.

        `version` is that of the record that the form was filled from. Another one means that somebody wrote without a lock.
        """
        proof = self._verified(person, number, receipt)
        # The hook names it, so that the saver's own tab is not told what it did itself.
        act(origin=proof.tab)
        with self.sessions.begin() as session:
            # First of all: from here to the commit nobody else can claim or change the row.
            fence(session, Invoice, number, proof.token)
            # `with_for_update` is for databases that would show a plain read the state of before the fence (MySQL).
            invoice = session.get_one(Invoice, number, with_for_update=True)
            if str(invoice.version) != version:
                raise Changed
            yield session, invoice

    def _verified(self, person: Person, number: int, receipt: str | None) -> Receipt:
        try:
            return self.verifier.verify(receipt, form=form_of(number), user=person.user)
        except (OSError, ValueError):
            raise Unverifiable from None
