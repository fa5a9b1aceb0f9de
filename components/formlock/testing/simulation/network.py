"""Router and lines: a session's messages are late, but in their order, until its line stalls, is cut, or ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from formlock.testing.clock import FakeClock
from formlock.testing.simulation.messages import Call, Message, Replied, Told

if TYPE_CHECKING:
    from formlock.testing.simulation.page import Page
    from formlock.testing.simulation.server import Server

# The router pings each line every 15 s and waits 10 s for the answer.
PING_MS, PING_LIMIT_MS = 15_000, 10_000


class Channel:
    """One direction. What is sent arrives in its order, or not at all once it is cut."""

    def __init__(self, clock: FakeClock, delay: Callable[[], int]) -> None:
        self._clock = clock
        self._delay = delay
        self._waiting: deque[Callable[[], None]] = deque()
        self._last = 0
        self.cut = False
        self.stalled_until = 0

    def send(self, deliver: Callable[[], None]) -> None:
        now = self._clock.now()
        self._last = max(self._last, now + self._delay())
        self._waiting.append(deliver)
        self._clock.later(self._last - now, self._arrive)

    def _arrive(self) -> None:
        if self.cut:
            return
        now = self._clock.now()
        if now < self.stalled_until:
            self._clock.later(self.stalled_until - now, self._arrive)
        else:
            self._waiting.popleft()()


class Line:
    """A page's connection. `dead_since`: from then on nothing that the service says can arrive, though the page may not know."""

    def __init__(self, clock: FakeClock, random: Random, page: Page, session: int) -> None:
        self._clock = clock
        self.page = page
        self.session = session
        self.joined_at = clock.now()
        slow = random.choice([1, 1, 1, 4, 12])

        def delay() -> int:
            return (
                random.randrange(1, 40) * slow
                if random.random() < 0.97
                else random.randrange(40, random.choice([1_800, 1_800, 7_000]))
            )

        self.up = Channel(clock, delay)
        self.down = Channel(clock, delay)
        self.dead_since: int | None = None
        self._stalled_since = 0
        self.under_way: list[Message] = []
        """What the service has said and the page has not heard."""

    def end(self) -> None:
        """The router gives the session up."""
        self.dead_since = self.dead_since or self._clock.now()
        self.down.send(lambda: self.page.line_ended(self))

    def cut(self) -> None:
        """Silently: no packet gets through any more, in either direction."""
        self.dead_since = self.dead_since or self._clock.now()
        self.up.cut = self.down.cut = True

    def stall(self, for_ms: int) -> None:
        """For so long, then everything arrives at once."""
        until = self._clock.now() + for_ms
        if self._clock.now() >= self.down.stalled_until:
            self._stalled_since = self._clock.now()
        self.up.stalled_until = max(self.up.stalled_until, until)
        self.down.stalled_until = max(self.down.stalled_until, until)

    @property
    def deaf_since(self) -> int | None:
        """Since when no news gets through to the page; None: it does."""
        stalled = self._stalled_since if self._clock.now() < self.down.stalled_until else None
        since = [at for at in (self.dead_since, stalled) if at is not None]
        return min(since, default=None)


class Router:
    """Sessions, the calls between them and the one lock worker that has registered, and what it is told of sessions."""

    def __init__(self, clock: FakeClock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.sessions: dict[int, Line] = {}
        self.callee: Server | None = None
        """Has registered."""
        self.listener: Server | None = None
        """Is told of sessions that leave; has registered, or will soon."""
        self.up = True
        self.left_at: dict[int, int] = {}
        """When it gave up each session that it has had."""
        self.pages: dict[int, Page] = {}
        """Whose each session is or was."""

    def join(self, page: Page) -> Line:
        line = Line(self._clock, self._random, page, self._random.randrange(1, 2**53))
        self.sessions[line.session] = line
        self.pages[line.session] = page
        return line

    def leave(self, line: Line) -> None:
        if self.sessions.pop(line.session, None) is None:
            return
        line.end()
        self.left_at[line.session] = self._clock.now()
        listener = self.listener
        if listener is None:
            return
        session = line.session
        if self._random.random() < 0.1:
            # Told late: other sessions' calls overtake it.
            self._clock.later(self._random.randrange(3_000), lambda: listener.hears(session))
        else:
            listener.link_up.send(lambda: listener.hears(session))

    def cut(self, line: Line) -> None:
        """The router notices by its pings."""
        line.cut()
        self._clock.later(PING_LIMIT_MS + self._random.randrange(PING_MS), lambda: self.leave(line))

    def reset(self, line: Line) -> None:
        """Something between the two has ended the router's half of it, and lets the page's half look open."""
        line.cut()
        self.leave(line)

    def stall(self, line: Line, for_ms: int) -> None:
        line.stall(for_ms)
        if for_ms > PING_LIMIT_MS + PING_MS:
            self._clock.later(PING_LIMIT_MS + self._random.randrange(PING_MS), lambda: self.leave(line))

    def restart(self) -> None:
        """All sessions are lost, the lock worker's too."""
        self.up = False
        self.callee = self.listener = None
        lines, self.sessions = list(self.sessions.values()), {}
        for line in lines:
            line.end()
            self.left_at[line.session] = self._clock.now()

    def call(self, line: Line, call: Call) -> None:
        """From a page; what a session says that has been given up is not heard."""
        if line.session not in self.sessions:
            return
        callee = self.callee
        if callee is None:
            line.down.send(lambda: line.page.hears(line, Replied(call.number, None)))
        else:
            callee.link_up.send(lambda: callee.answers(line.session, call))

    def sign(self, line: Line, number: int) -> None:
        """A sign of life is asked of the router itself, which answers without its lock worker."""
        if line.session in self.sessions:
            line.down.send(lambda: line.page.hears(line, Replied(number, None)))

    def visit(self, call: Call) -> None:
        """A request by plain HTTP: a session of its own, for this one call, whose answer nobody reads."""
        callee = self.callee
        if callee is not None:
            session = self._random.randrange(1, 2**53)
            callee.link_up.send(lambda: callee.answers(session, call))

    def say(self, server: Server, session: int, message: Message) -> None:
        """From the lock worker to a page."""
        line = self.sessions.get(session)
        if line is None or server.link_down.cut:
            return
        line.under_way.append(message)

        def arrived() -> None:
            line.under_way.remove(message)
            line.page.hears(line, message)

        server.link_down.send(lambda: line.down.send(arrived))

    def publish(self, server: Server, told: Told, *, only: int | None, exclude: int | None) -> None:
        """To everybody: each simulated page watches all records."""
        for session in list(self.sessions):
            if session != exclude and only in (None, session):
                self.say(server, session, told)
