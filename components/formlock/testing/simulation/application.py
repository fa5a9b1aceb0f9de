"""The application: its database with claim and fence (docs/explanation/late-saves.md), behind requests that come late or twice.

A row for each section and one for the rest of a record; whoever has the whole claims and writes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from formlock.model import FormId

if TYPE_CHECKING:
    from formlock.testing.simulation.page import Grant, Page
    from formlock.testing.simulation.world import World


@dataclass(slots=True)
class Row:
    """`writer`: user and tab, and the page, of the newest write."""

    lock_token: int = 0
    version: int = 0
    writer: tuple[str, str, int] | None = None


class Application:
    """Its rows, and its requests under way."""

    def __init__(self, world: World, sections: tuple[str, ...]) -> None:
        self.world = world
        self.sections = sections
        self.rows: dict[FormId, Row] = {}
        self.claims = self.saves = self.late = 0

    def _rows(self, form: FormId) -> dict[FormId, Row]:
        parts = [form] if form.section else [FormId(form.type, form.id, section) for section in self.sections]
        return {part: self.rows.setdefault(part, Row()) for part in parts}

    def _delay(self) -> int:
        random = self.world.random
        return random.randrange(5, 200) if random.random() < 0.9 else random.randrange(200, 40_000)

    def claim(self, page: Page, grant: Grant) -> None:
        """The page sends its token, and fills in what comes back."""
        token, form, user, tab = grant.token, grant.form, page.user, page.tab

        def arrived() -> None:
            rows = self._rows(form)
            if any(row.lock_token > token for row in rows.values()):
                self.late += 1
                return
            self.world.truth.claims(form, token, user, tab)
            self.claims += 1
            for row in rows.values():
                row.lock_token = token
            seen = {part: row.version for part, row in rows.items()}
            self.world.clock.later(self._delay(), lambda: page.run(lambda: self._claimed(page, form, token, seen)))

        self.world.clock.later(self._delay(), arrived)

    def _claimed(self, page: Page, form: FormId, token: int, seen: dict[FormId, int]) -> None:
        grant = page.grants.get(form)
        if grant is not None and grant.token == token:
            grant.claim, grant.seen = "done", seen

    def save(self, page: Page, grant: Grant) -> None:
        """Sent once or twice; the second comes late."""
        if grant.seen is None:
            return
        token, form, seen = grant.token, grant.form, dict(grant.seen)
        number = self.world.next_number()
        for _ in range(1 if self.world.random.random() < 0.8 else 2):
            self.world.clock.later(self._delay(), lambda: self._saved(page, form, token, seen, number))

    def _saved(self, page: Page, form: FormId, token: int, seen: dict[FormId, int], number: int) -> None:
        rows = self._rows(form)
        if any(row.lock_token != token for row in rows.values()):
            self.late += 1
            return
        for part, row in rows.items():
            if row.version != seen[part]:
                # The fence let it pass, so that only the same tab's own page can have written since.
                self.world.truth.check(
                    row.writer is not None and row.writer[:2] == (page.user, page.tab),
                    f"{page} with token {token} was let through to {part}, which {row.writer} has written meanwhile",
                )
                self.late += 1
                return
        self.world.truth.saves(form, token, page)
        self.saves += 1
        for row in rows.values():
            row.version += 1
            row.writer = (page.user, page.tab, page.number)
        answer = {part: row.version for part, row in rows.items()}
        self.world.note(page, "has saved", form, token, number)
        self.world.clock.later(self._delay(), lambda: page.run(lambda: self._answered(page, form, token, answer)))

    def _answered(self, page: Page, form: FormId, token: int, answer: dict[FormId, int]) -> None:
        grant = page.grants.get(form)
        if grant is not None and grant.token == token:
            grant.seen = answer
