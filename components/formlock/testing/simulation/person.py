"""What people do with their pages, by chance: edit, wait, ask, answer or not, take over, save, reload, walk away, close the lid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from formlock.model import FormId
from formlock.testing.simulation.page import Asking, Page

if TYPE_CHECKING:
    from formlock.testing.simulation.world import World


class Person:
    """All of them. `calm`: nobody begins anything new, and whoever gets something gives it back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.calm = False
        # Each run has its own habits, so that rare ones meet each other (swarm testing).
        every: list[tuple[Callable[[Page], None], int]] = [
            (self._edit, 10),
            (self._wait, 5),
            (self._several, 2),
            (self._take_over, 3),
            (self._ask, 3),
            (self._done, 6),
            (self._leave_queue, 1),
            (self._save, 10),
            (self._activity, 2),
            (self._reload, 3),
            (self._come_back, 1),
            (self._close, 1),
            (self._kill, 1),
            (self._freeze, 2),
            (self._duplicate, 2),
            (self._cut, 2),
            (self._reset, 2),
            (self._stall, 2),
            (self._drop, 2),
        ]
        habits = [*every[:1], *((habit, weight) for habit, weight in every[1:] if self.random.random() < 0.75)]
        self._habits = [habit for habit, _ in habits]
        self._weights = [weight for _, weight in habits]
        self.patience = self.random.choice([400, 1_500, 5_000])
        self.loyal = self.random.random() < 0.5
        """Most of the time to one record, so that they meet."""

    def live(self, page: Page) -> None:
        """Act now and then, until the page is closed."""
        if page.closed or self.calm:
            return
        if not page.frozen:
            habit = self.random.choices(self._habits, self._weights)[0]
            habit(page)
        self.world.clock.later(self.random.randrange(200, self.patience * 2), lambda: self.live(page))

    # -- getting it

    def _form(self) -> FormId:
        world = self.world
        record = world.records[0] if self.loyal and self.random.random() < 0.7 else self.random.choice(world.records)
        section = self.random.choice(world.application.sections) if self.random.random() < 0.4 else ""
        return record._replace(section=section)

    def _asking(self, page: Page, *forms: FormId) -> Asking | None:
        if any(form in page.grants or form in page.asking or form in page.releasing for form in forms):
            return None
        asking = Asking(f"r{self.world.next_number()}", forms)
        if self.world.sharing and self.random.random() < 0.3:
            asking.mode = "shared"
        return asking

    def _edit(self, page: Page) -> None:
        asking = self._asking(page, self._form())
        if asking is not None:
            if self.world.longing and self.random.random() < 0.05:
                asking.long_ms = self.random.randrange(5_000, 120_000)
            page.ask_lock(asking)

    def _wait(self, page: Page) -> None:
        asking = self._asking(page, self._form())
        if asking is not None:
            asking.wait = True
            page.ask_lock(asking)

    def _several(self, page: Page) -> None:
        records = list(self.world.records)
        self.random.shuffle(records)
        forms = sorted(record for record in records[:2])
        asking = self._asking(page, *forms)
        if asking is not None:
            page.ask_lock(asking)

    def _take_over(self, page: Page) -> None:
        form = self._form()
        state = page.states.get(form.record)
        asking = self._asking(page, form)
        if state is None or asking is None:
            return
        held = state.held(form.section)
        if held:
            asking.mode = "exclusive"
            asking.expected = held[0].token
            asking.right = self.random.random() < 0.6
            page.ask_lock(asking)

    def _ask(self, page: Page) -> None:
        page.ask(self._form())

    def _leave_queue(self, page: Page) -> None:
        for form, asking in list(page.asking.items()):
            if asking.wait and len(asking.forms) == 1:
                page.leave_queue(form)
                return

    # -- having it

    def _done(self, page: Page) -> None:
        if page.grants:
            page.done(self.random.choice(list(page.grants)))

    def _save(self, page: Page) -> None:
        for grant in page.believed():
            if grant.claim == "done":
                self.world.application.save(page, grant)

    def _activity(self, page: Page) -> None:
        page.active = not page.active

    def is_asked(self, page: Page, form: FormId, token: int) -> None:
        """The holder's page shows it; everybody else's, too."""
        grant = page.grants.get(form)
        if grant is None or grant.token != token or self.random.random() < 0.3:
            return
        keep_ms = None if self.random.random() < 0.4 else self.random.randrange(30_000)
        self.world.clock.later(self.random.randrange(8_000), lambda: page.run(lambda: page.answer(form, keep_ms)))

    def hands_over(self, page: Page, form: FormId, token: int) -> None:
        if self.random.random() < 0.7:
            self.world.clock.later(self.random.randrange(5_000), lambda: page.run(lambda: page.hand_over(form, token)))

    # -- coming and going

    def _reload(self, page: Page) -> None:
        self._again(page, page.leave(), self.random.choice([100, 600, 1_400, 5_000]))

    def _come_back(self, page: Page) -> None:
        """To a page that the browser has kept as it was."""
        self._again(page, page.leave(), self.random.choice([100, 1_000, 20_000]), page.sessions)

    def _close(self, page: Page) -> None:
        page.leave()
        self._again(page, [], self.random.randrange(1_000, 30_000))

    def _kill(self, page: Page) -> None:
        """The browser dies; restored, it has the same tabs."""
        held = [*page.grants, *page.asking]
        line = page.line
        page.closed = True
        self.world.note(page, "is killed")
        if line is not None:
            if self.random.random() < 0.5:
                self.world.router.cut(line)
            else:
                line.up.send(lambda: self.world.router.leave(line))
        self._again(page, held, self.random.randrange(500, 45_000))

    def _again(self, page: Page, held: list[FormId], delay_ms: int, sessions: Sequence[int] = ()) -> None:
        """The same tab, loaded again, wants what it had."""

        def load() -> None:
            new = self.world.new_page(page.user, page.tab, machine=page.machine, claims=page.claims, sessions=sessions)
            if not self.calm:
                for form in held:
                    asking = self._asking(new, form)
                    if asking is not None:
                        asking.mode = "exclusive"
                        new.ask_lock(asking)

        self.world.clock.later(delay_ms, load)

    def _duplicate(self, page: Page) -> None:
        """A copy of the tab, with the tab's id."""
        if len(self.world.pages) > self.world.clients + 2 or not page.tab:
            return
        copy = self.world.new_page(page.user, page.tab, machine=page.machine, claims=page.claims)
        for form in list(page.grants):
            asking = self._asking(copy, form)
            if asking is not None:
                asking.mode = "exclusive"
                copy.ask_lock(asking)
        self.world.clock.later(self.random.randrange(10_000, 60_000), lambda: self._close_copy(copy))

    def _close_copy(self, copy: Page) -> None:
        if not copy.closed:
            copy.leave()

    def _freeze(self, page: Page) -> None:
        page.freeze()
        for_ms = self.random.choice([1_500, 4_000, 9_500, 12_000, 25_000, 70_000, 130_000])
        self.world.clock.later(self.random.randrange(for_ms), page.thaw)

    # -- its line

    def _cut(self, page: Page) -> None:
        if page.line is not None:
            self.world.note(page, "has its line cut")
            self.world.router.cut(page.line)

    def _reset(self, page: Page) -> None:
        if page.line is not None:
            self.world.note(page, "has lost its line, and sees it open")
            self.world.router.reset(page.line)

    def _stall(self, page: Page) -> None:
        if page.line is not None:
            for_ms = self.random.randrange(500, self.random.choice([3_000, 9_000, 40_000]))
            self.world.note(page, "has its line stalled for", for_ms)
            self.world.router.stall(page.line, for_ms)

    def _drop(self, page: Page) -> None:
        if page.line is not None:
            self.world.router.leave(page.line)
