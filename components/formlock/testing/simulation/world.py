"""Everything of one run, put together from one seed; what happens in it is one call of the clock after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any

from msgspec.structs import replace

from formlock.errors import NotActive
from formlock.model import FormId
from formlock.policy import Policy
from formlock.testing.clock import FakeClock
from formlock.testing.simulation.application import Application
from formlock.testing.simulation.disk import Disk
from formlock.testing.simulation.fate import Fate
from formlock.testing.simulation.network import Router
from formlock.testing.simulation.page import LIMIT_MS, TICK_MS, Page
from formlock.testing.simulation.person import Person
from formlock.testing.simulation.process import Process
from formlock.testing.simulation.server import Server
from formlock.testing.simulation.truth import Truth, Violation

POLICY = Policy(ask_ms=20_000, ask_idle_ms=5_000, max_hold_ms=400_000, warn_ms=20_000)
POLICIES = [
    POLICY,
    replace(POLICY, handover_ms=4_000),
    replace(POLICY, idle_release_ms=40_000),
    replace(POLICY, max_waiters=2, max_waits_per_user=1, max_hold_ms=100_000),
    replace(POLICY, contended_probe_ms=1_500, contended_grace_ms=6_000),
    Policy(),
]
SECTIONS = ("", "lines", "address")
KEPT_NOTES = 400


class World:
    """`steps` counts the calls of the clock. Ends with `run`, or with a Violation."""

    def __init__(self, seed: int, *, forms: int = 2, clients: int = 5) -> None:
        self.random = Random(seed)  # noqa: S311 (a simulation has to be repeatable)
        self.clock = FakeClock(now=1_000_000, wall=1_700_000_000_000)
        self.notes: deque[tuple[int, tuple[Any, ...]]] = deque(maxlen=KEPT_NOTES)
        self.steps = 0
        self.violation: Violation | None = None
        self.beliefs_changed = False
        self._excused = False
        self._number = 0
        self.wall_step = 0
        self.clients = clients
        self.policy = self.random.choice(POLICIES)
        self.sharing = self.random.random() < 0.4
        self.longing = self.random.random() < 0.3
        self.records = [FormId("invoice", str(number + 1)) for number in range(forms)]
        self.truth = Truth(self)
        self.disk = Disk(self.clock, self.random, self.truth, sqlite=self.random.random() < 0.7)
        self.router = Router(self.clock, self.random)
        self.application = Application(self, SECTIONS if self.random.random() < 0.5 else SECTIONS[:1])
        self.pages: list[Page] = []
        self.servers: list[Server] = []
        self.server: Server | None = None
        self.person = Person(self)
        self.fate = Fate(self)
        self.boot()
        for number in range(clients):
            machine = number % 5 == 4
            tab = "" if machine and self.random.random() < 0.5 else f"t{number}"
            user = f"u{number // 2}"
            self.new_page(user, tab, machine=machine, claims=self.random.random() < 0.7)
        self.clock.later(self.random.randrange(20_000), self.fate.strike)

    # -- small services to all

    def note(self, who: object, *what: object) -> None:
        self.notes.append((self.clock.now(), (who, *what)))

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def wall(self) -> int:
        return self.clock.wall() + self.wall_step

    def new_page(self, user: str, tab: str, *, machine: bool, claims: bool, sessions: Sequence[int] = ()) -> Page:
        page = Page(self, self.next_number(), user, tab, machine=machine, claims=claims, sessions=sessions)
        self.pages = [other for other in self.pages if not other.closed]
        self.pages.append(page)
        self.clock.later(self.random.randrange(5_000), lambda: self.person.live(page))
        return page

    # -- servers

    def boot(self, process: Process | None = None) -> None:
        """A server starts, in a new process or after it has lost its router."""
        if process is None:
            process = Process(self.clock, self.random, lambda: self.wall_step)
        server = self.server = Server(self, process)
        self.servers = [other for other in self.servers if other.process.alive]
        self.servers.append(server)
        self.note("server", "starts")
        process.start(self._start(server))

    async def _start(self, server: Server) -> None:
        try:
            await server.start(self.policy)
        except NotActive:
            self.fell(server)

    def boot_later(self, delay_ms: int) -> None:
        """The supervisor's doing; if there is a router by then, else later."""

        def boot() -> None:
            if self.server is not None and self.server.process.alive:
                return
            if self.router.up:
                self.boot()
            else:
                self.boot_later(500)

        self.clock.later(delay_ms, boot)

    def kill(self, server: Server) -> None:
        """What it had sent is still delivered; what was sent to it is not read."""
        if not server.process.alive:
            return
        if self.router.callee is server:
            self.router.callee = None
        if self.router.listener is server:
            self.router.listener = None
        server.registered = False
        server.link_up.cut = True
        if server.store is not None:
            server.store.die(reached=self.random.random() < 0.5)
        server.process.die()

    def fell(self, server: Server) -> None:
        """It has stepped down, or could not start: its process ends, and the supervisor starts another if it was the one."""

        def end() -> None:
            self.kill(server)
            if self.server is server:
                self.boot_later(self.random.randrange(200, 2_000))

        self.clock.later(self.random.randrange(100), end)

    def resume(self, server: Server) -> None:
        if server.process.alive and server.process.paused:
            self.note("server", "goes on")
            for other in self.servers:
                if other.process is server.process:
                    other.resumed_at = self.clock.now()
            server.process.resume()

    def second_server(self, first: Server) -> None:
        """The first's session is over for the router, and a second one takes its place."""
        self.router.callee = self.router.listener = None
        first.end_link()
        self.boot()

    def restart_router(self, down_ms: int) -> None:
        """Its lock worker lives on, and joins again."""
        server = self.server
        self.router.restart()
        if server is not None:
            server.end_link()

        def up() -> None:
            self.router.up = True
            if server is not None and server is self.server and server.process.alive:
                process = server.process
                process.do(lambda: process.start(self._rejoin(server)))

        self.clock.later(down_ms, up)

    async def _rejoin(self, server: Server) -> None:
        if server.service is not None:
            await server.service.stop()
        if server is self.server:
            self.boot(server.process)

    # -- the run

    def run(self, steps: int) -> None:
        """So many steps of anything, then quiet, in which all who wait are served and all that is held ends."""
        for _ in range(steps):
            self.step()
        self._calm_down()
        self._serve_all()
        self._end()

    def step(self) -> None:
        """One call of the clock, and all promises held against what it did."""
        self.steps += 1
        self.clock.step()
        if self.violation is not None:
            raise self.violation
        if self.beliefs_changed or self._excused:
            self.beliefs_changed = False
            self._excused = self.truth.beliefs()
        self.truth.service()
        for server in self.servers:
            if server.process.errors:
                raise server.process.errors[0]

    def _until(self, at: int) -> None:
        while self.clock.now() < at:
            self.step()

    def _calm_down(self) -> None:
        """The world heals: no more faults, each line is as it is or newly made, the service runs."""
        self.note("world", "calms down")
        self.person.calm = self.fate.calm = True
        self.disk.fails_until = 0
        for page in self.pages:
            page.thaw()
        self._until(self.clock.now() + 260_000 if self.longing else self.clock.now() + 140_000)
        for server in self.servers:
            for error in server.process.check():
                raise error

    def _serve_all(self) -> None:
        """Holders fall silent; whoever is in line and there has the form within (ttl + claim) times its place."""
        began = self.clock.now()
        policy = self.policy
        limits: dict[tuple[Page, str], int] = {}
        for page in self.pages:
            if page.grants and not page.asking:
                page.freeze()
        for page in self.pages:
            for form, asking in page.asking.items():
                state = self.server.store.peek(form.record) if self.server is not None and self.server.store is not None else None
                # A long lock ends by the wall clock, and by how far that was set back nobody has to wait for less.
                long = state is not None and any(lease.long_wall is not None for lease in state.holds)
                numbers = [waiter.number for waiter in state.waiters] if state is not None and not long else []
                if not page.frozen and asking.in_line in numbers:
                    place = 1 + numbers.index(asking.in_line)
                    limits[page, asking.rid] = began + (policy.ttl_ms + policy.claim_ms) * place + LIMIT_MS
        self.note("world", "expects", len(limits), "to be served")
        while limits:
            self.step()
            now = self.clock.now()
            for page in self.pages:
                if not page.frozen:
                    for form in list(page.grants):
                        page.done(form)
            for (page, rid), limit in list(limits.items()):
                if page.closed or all(asking.rid != rid for asking in page.asking.values()):
                    del limits[page, rid]
                else:
                    self.truth.check(now <= limit, f"{page} has waited too long with {rid}")

    def _end(self) -> None:
        """Everybody goes, without a word or with one; nothing stays locked."""
        for page in self.pages:
            page.thaw()
            if self.random.random() < 0.5:
                page.leave()
            else:
                page.leave_line()
                page.closed = True
        policy = self.policy
        self._until(self.clock.now() + policy.ttl_ms + policy.grace_ms + 4 * TICK_MS)
        server = self.server
        self.truth.check(server is not None and server.registered, "no server in the end")
        for form in self.records:
            state = server.store.peek(form) if server is not None and server.store is not None else None
            # A long lock ends by the wall clock, which may have been set back meanwhile.
            free = state is not None and all(lease.long_wall for lease in state.holds) and not state.waiters
            self.truth.check(free, f"at the end there is {state}")
