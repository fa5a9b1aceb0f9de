"""A page: the rules of web/formlock/lease.js and client.js, with the line, the asks and the sections that they are to have as well.

It counts from the sending of a call and gives up first, by its own clock, which it looks at once a second; in doubt it shuts its
fields and proves its token; it believes to have lost only when the service says so.

When it is left it says so on its line, and twice by HTTP: each of these may come late, in any order, after the tab's next page has
come, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from formlock.commands import (
    Answer,
    AskFor,
    Command,
    Freed,
    HandOver,
    InLine,
    LeaveQueue,
    Lock,
    Refusal,
    Renew,
    Reply,
    Takeover,
    Unlock,
    Yours,
)
from formlock.errors import Lost
from formlock.events import Asked, HandoverBegan
from formlock.model import FormId, FormState, Mode, Owner
from formlock.rules import session_owner
from formlock.testing.simulation.messages import Call, Message, Replied, Told
from formlock.testing.simulation.network import Line

if TYPE_CHECKING:
    from formlock.testing.simulation.world import World

# As in lease.js and connect.js.
BLIP_MS, PAUSE_MS, LATE_MS, ASK_MS, LIMIT_MS, TICK_MS = 2_000, 10_000, 1_500, 1_500, 8_000, 1_000
# As in client.js: how many of its sessions a page names, and how often it tries its line in the time of its silence.
SESSIONS, SIGNS = 8, 3


@dataclass(slots=True)
class Asking:
    """A lock or takeover that has not come to its end; repeated with its `rid` until it has. `in_line`: its number there."""

    rid: str
    forms: tuple[FormId, ...]
    mode: Mode = "exclusive"
    wait: bool = False
    expected: int | None = None
    right: bool = False
    long_ms: int | None = None
    in_line: int | None = None
    long_wall: int | None = None
    under_way: bool = False
    probed: bool = False
    again_at: int = 0


@dataclass(slots=True)
class Grant:
    """What the page holds; see lease.js. `heard`: when the last sign of life that was answered was sent; `doubt`: when a lost line
    begins to count; `receipt_wall`: until when its receipt is good; `claim`: of the token in the application's database; `seen`: the
    version read by it."""

    form: FormId
    token: int
    mode: Mode
    sent: int
    until: int
    heard: int
    proven: bool
    receipt_wall: int = 0
    doubt: int | None = None
    probed: bool = False
    renewing: bool = False
    claim: str = "due"
    seen: dict[FormId, int] | None = None


class Page:
    """One page of one tab. `user`, `tab`: "" for a program without one, whose session is its tab; `sessions`: those that it has had
    before it was left and came back."""

    def __init__(
        self, world: World, number: int, user: str, tab: str, *, machine: bool, claims: bool, sessions: Sequence[int] = ()
    ) -> None:
        self.world = world
        self.number = number
        self.user = user
        self.tab = tab
        self.machine = machine
        self.claims = claims
        self.line: Line | None = None
        self.sessions = list(sessions)
        self.heard = 0
        """When the last call that was answered was sent."""
        self._signing = False
        self.closed = False
        self.frozen = False
        self.active = True
        self.woke = self.seen = world.clock.now()
        self.deaf_since: int | None = None
        """Since when it has no line and knows it."""
        self.grants: dict[FormId, Grant] = {}
        self.asking: dict[FormId, Asking] = {}
        self.releasing: dict[FormId, tuple[Owner, int]] = {}
        self.states: dict[FormId, FormState] = {}
        self._pending: dict[int, tuple[int, Callable[[Replied | None], None]]] = {}
        self._inbox: list[Callable[[], None]] = []
        self._connecting = False
        self._later(0, self._connect)
        self._later(world.random.randrange(TICK_MS), self._tick)

    def __repr__(self) -> str:
        return f"page {self.number} ({self.user}/{self.tab or '-'})"

    @property
    def owner(self) -> Owner:
        if self.tab or self.line is None:
            return Owner(self.user, self.tab)
        return session_owner(self.user, self.line.session)

    # -- its code runs, or does not

    def run(self, call: Callable[[], None]) -> None:
        """Whatever comes in. A frozen page finds it when it thaws."""
        if self.closed:
            return
        if self.frozen:
            self._inbox.append(call)
            return
        self._notice()
        call()

    def _later(self, delay_ms: int, call: Callable[[], None]) -> None:
        self.world.clock.later(delay_ms, lambda: self.run(call))

    def _notice(self) -> None:
        """Before anything else: who slept knows nothing, not even from an answer that waited in the socket meanwhile."""
        now = self.world.clock.now()
        if now - self.seen >= PAUSE_MS:
            self.woke = now
            for grant in self.grants.values():
                grant.proven = grant.renewing = False
            self.renew()
        self.seen = now

    def freeze(self) -> None:
        self.frozen = True
        self.world.note(self, "is frozen")

    def thaw(self) -> None:
        if self.closed or not self.frozen:
            return
        self.frozen = False
        self.world.note(self, "thaws")
        self.world.beliefs_changed = True
        inbox, self._inbox = self._inbox, []
        self._notice()
        self._look()
        for call in inbox:
            self.run(call)

    def believed(self) -> list[Grant]:
        """What its fields are open for, now. A frozen page has no fields that could be typed in."""
        if self.closed or self.frozen:
            return []
        return [grant for grant in self.grants.values() if grant.proven]

    def having(self) -> list[tuple[FormId, int]]:
        """The tokens that it holds or is giving back, by record."""
        held = [(form.record, grant.token) for form, grant in self.grants.items()]
        return held + [(form.record, token) for form, (_, token) in self.releasing.items()]

    def _tick(self) -> None:
        now, silent_ms = self.world.clock.now(), self.world.policy.silence_ms
        for grant in self.grants.values():
            if not grant.probed:
                grant.heard = self.heard
        self._look()
        for grant in self.grants.values():
            if now >= grant.sent + (self.world.policy.renew_ms if grant.proven else ASK_MS):
                self.renew()
        if self.grants and (now - self.heard) * SIGNS >= silent_ms:
            self._sign()
        for asking in self._askings():
            if not asking.under_way and now >= asking.again_at:
                self._ask_again(asking)
        self._later(TICK_MS, self._tick)

    def _look(self) -> None:
        """At its own clock: what is no longer certain has to be proved."""
        now, silent_ms = self.world.clock.now(), self.world.policy.silence_ms
        for grant in self.grants.values():
            late = now >= min(grant.until, grant.heard + silent_ms) - LATE_MS
            if grant.proven and (late or (grant.doubt is not None and now >= grant.doubt)):
                grant.proven = False
                if now >= grant.sent + ASK_MS:
                    self.renew()

    # -- its connection

    def _connect(self) -> None:
        if self.line is not None or self._connecting:
            return
        self._connecting = True
        self._later(self.world.random.choice([50, 100, 400, 2_500]), self._connected)

    def _connected(self) -> None:
        self._connecting = False
        if not self.world.router.up:
            self._connect()
            return
        self.line = self.world.router.join(self)
        self.sessions = [self.line.session, *self.sessions][:SESSIONS]
        self.heard = self.world.clock.now()
        self.deaf_since = None
        self.world.note(self, "has joined as", self.line.session)
        self.renew()
        for form, (owner, token) in self.releasing.items():
            self._unlock(form, owner, token)
        for asking in self._askings():
            self._ask_again(asking)

    def line_ended(self, line: Line) -> None:
        """The router has said so."""
        self.run(lambda: self._disconnected(line, silent=False))

    def _disconnected(self, line: Line, *, silent: bool) -> None:
        if self.line is not line:
            return
        now = self.world.clock.now()
        self.world.note(self, "has lost its line", "silently" if silent else "")
        self.leave_line()
        self._pending.clear()
        self._signing = False
        for grant in self.grants.values():
            grant.renewing = False
            # What has not been proved since its line was first lost is not believed for longer.
            blip = grant.doubt if grant.proven and grant.doubt is not None else now + BLIP_MS
            grant.doubt = now if silent else min(blip, now + BLIP_MS)
        self._look()
        for asking in self._askings():
            asking.under_way = False
        if not self.tab:
            # A program without a tab has what it has for as long as its session lasts.
            self.grants.clear()
            self.asking.clear()
            self.releasing.clear()
        self._connect()

    def leave_line(self) -> None:
        """From its side; the router hears of it behind everything that was sent before."""
        line, self.line = self.line, None
        if line is not None:
            self.deaf_since = self.world.clock.now()
            line.up.send(lambda: self.world.router.leave(line))

    def _call(self, wanted: Sequence[tuple[FormId, Command]], answered: Callable[[Replied | None], None]) -> None:
        line = self.line
        assert line is not None
        call = Call(self.world.next_number(), tuple(wanted))
        self.world.note(self, "calls", call)
        self._expect(line, call.number, answered)
        line.up.send(lambda: self.world.router.call(line, call))

    def _sign(self) -> None:
        """Try the line, which costs the lock worker nothing."""
        line = self.line
        if line is None or self._signing:
            return

        def answered(_: Replied | None) -> None:
            self._signing = False

        self._signing = True
        number = self.world.next_number()
        self._expect(line, number, answered)
        line.up.send(lambda: self.world.router.sign(line, number))

    def _expect(self, line: Line, number: int, answered: Callable[[Replied | None], None]) -> None:
        self._pending[number] = self.world.clock.now(), answered
        self._later(LIMIT_MS, lambda: self._limit(line, number))

    def _limit(self, line: Line, number: int) -> None:
        if self.line is line and number in self._pending:
            # A line on which a call stays without an answer looks open, and is dead.
            self._disconnected(line, silent=True)

    def hears(self, line: Line, message: Message) -> None:
        """An answer or an event."""
        self.run(lambda: self._hears(line, message))

    def _hears(self, line: Line, message: Message) -> None:
        if self.line is not line:
            return
        if isinstance(message, Told):
            self._told(message)
        elif message.number in self._pending:
            sent, answered = self._pending.pop(message.number)
            self.heard = max(self.heard, sent)
            answered(message)

    # -- getting it

    def _askings(self) -> list[Asking]:
        return list({asking.rid: asking for asking in self.asking.values()}.values())

    def ask_lock(self, asking: Asking) -> None:
        """The person wants these forms, which it neither has nor asks for."""
        for form in asking.forms:
            self.asking[form] = asking
        self._ask_again(asking)

    def _ask_again(self, asking: Asking) -> None:
        if self.line is None or asking.under_way:
            return
        asking.under_way = True
        sent = self.world.clock.now()
        session = self.line.session
        facts = {"owner": self.owner, "name": self.user, "session": session, "machine": self.machine, "rid": asking.rid}
        commands: list[tuple[FormId, Command]] = []
        for form in asking.forms:
            if asking.expected is not None:
                facts |= {"expected_token": asking.expected, "right": asking.right}
                commands.append((form, Takeover(section=form.section, **facts)))  # type: ignore[arg-type]
            else:
                if asking.long_ms is not None and asking.long_wall is None:
                    asking.long_wall = self.world.wall() + asking.long_ms
                facts |= {"wait": asking.wait, "mode": asking.mode, "long_wall": asking.long_wall}
                commands.append((form, Lock(section=form.section, **facts)))  # type: ignore[arg-type]
        self._call(commands, lambda replied: self._asked(asking, sent, replied))

    def _asked(self, asking: Asking, sent: int, replied: Replied | None) -> None:
        asking.under_way = False
        asking.again_at = self.world.clock.now() + TICK_MS
        if replied is None or replied.answers is None:
            return
        current = all(self.asking.get(form) is asking for form in asking.forms)
        refused = any(isinstance(reply, Refusal) for _, reply, _ in replied.answers)
        for form, reply, state in replied.answers:
            self._see(state)
            if isinstance(reply, Yours) and not refused:
                if current:
                    self._hold(form, reply, sent, asking.mode)
                    if asking.probed:
                        self._renew()
                elif form not in self.asking and (form not in self.grants or self.grants[form].token != reply.token):
                    # Nobody waits for it any more, and no later call of ours will be answered with the same grant.
                    self._give_back(form, reply.token)
            elif isinstance(reply, InLine) and current:
                asking.in_line = reply.number
                asking.again_at = self.world.clock.now() + self.world.policy.renew_ms
        over = refused or any(isinstance(reply, Yours) for _, reply, _ in replied.answers)
        if over or (current and asking.in_line is None):
            self.cancel(asking)

    def cancel(self, asking: Asking) -> None:
        """It is over; what comes of it later is given back."""
        for form in asking.forms:
            if self.asking.get(form) is asking:
                del self.asking[form]

    def _hold(self, form: FormId, reply: Yours, sent: int, mode: Mode) -> None:
        before = self.grants.get(form)
        proven = self.line is not None and sent >= self.woke
        grant = Grant(form, reply.token, mode, sent, sent + reply.lease_ms, sent, proven, self.world.wall() + reply.lease_ms)
        if before is not None and before.token == reply.token:
            grant.claim, grant.seen = before.claim, before.seen
        self.grants[form] = grant
        self.world.beliefs_changed = True
        if not proven:
            self.renew()
        self._look()
        if not grant.proven:
            return
        if self.claims and grant.claim == "due" and mode == "exclusive":
            grant.claim = "asked"
            self.world.application.claim(self, grant)

    # -- keeping it

    def renew(self) -> None:
        """One call for all that the page holds."""
        if not any(grant.renewing for grant in self.grants.values()):
            self._renew()

    def _renew(self) -> None:
        if self.line is None or not self.grants:
            return
        sent, held = self.world.clock.now(), list(self.grants.values())
        for grant in held:
            grant.renewing = True
        renewals = [(grant.form, Renew(self.owner, grant.token, self.line.session, self.active)) for grant in held]
        self._call(renewals, lambda replied: self._renewed(held, sent, replied))

    def _renewed(self, held: Sequence[Grant], sent: int, replied: Replied | None) -> None:
        for grant in held:
            if grant.form in self.grants and self.grants[grant.form].token == grant.token:
                self.grants[grant.form].renewing = False
        if replied is None or replied.answers is None:
            # As connect.js repeats a call that was not active.
            self._later(TICK_MS, self.renew)
            return
        for grant, (form, reply, state) in zip(held, replied.answers, strict=True):
            current = self.grants.get(form)
            if current is None or current.token != grant.token:
                continue
            if isinstance(reply, Yours):
                if sent >= current.sent:
                    self._hold(form, reply, sent, current.mode)
                self._see(state)
            else:
                self._lose(form, "renewal")

    def _lose(self, form: FormId, how: str) -> None:
        grant = self.grants.pop(form)
        self.world.note(self, "has lost", form, grant.token, how)
        self.world.truth.told_lost(self, grant)

    # -- giving it back

    def done(self, form: FormId) -> None:
        """Saved or cancelled."""
        grant = self.grants.pop(form, None)
        if grant is not None:
            self._give_back(form, grant.token)

    def _give_back(self, form: FormId, token: int) -> None:
        self.releasing[form] = self.owner, token
        if self.line is not None:
            self._unlock(form, self.owner, token)

    def _unlock(self, form: FormId, owner: Owner, token: int) -> None:
        def answered(replied: Replied | None) -> None:
            if replied is not None and replied.answers is not None and self.releasing.get(form) == (owner, token):
                del self.releasing[form]

        self._call([(form, Unlock(owner, token))], answered)

    def leave_queue(self, form: FormId) -> None:
        asking = self.asking[form]
        self.cancel(asking)
        if self.line is not None:
            self._call([(form, LeaveQueue(self.owner, form.section))], lambda _: None)

    def leave(self) -> list[FormId]:
        """The page is left, perhaps to be loaded again: what it had or asked for."""
        held = [*self.grants, *self.asking]
        for grant in self.grants.values():
            self._say_by_http(grant)
            # Some browsers end the connection before this is out.
            if self.line is not None and self.world.random.random() < 0.7:
                self._call([(grant.form, Unlock(self.owner, grant.token, leaving=True))], lambda _: None)
        self.leave_line()
        self.closed = True
        self.world.note(self, "is left")
        return held

    def _say_by_http(self, grant: Grant) -> None:
        """That it is left, as beacon and as a request that outlives the page (shared.js). Whose it is says the receipt."""
        random, router = self.world.random, self.world.router
        if not self.tab:
            return
        command = Unlock(self.owner, grant.token, leaving=True, sessions=tuple(self.sessions))
        call = Call(self.world.next_number(), ((grant.form, command),))

        def arrived() -> None:
            if self.world.wall() < grant.receipt_wall:
                self.world.note(self, "has said by HTTP", call)
                router.visit(call)

        for _ in range(2):
            if random.random() < 0.7:
                within_ms = random.choice([50, 300, 300, 2_000, 8_000, 120_000])
                self.world.clock.later(random.randrange(within_ms), arrived)

    # -- others

    def ask(self, form: FormId) -> None:
        if self.line is not None:
            self._call([(form, AskFor(self.owner, self.user, "", form.section))], lambda _: None)

    def answer(self, form: FormId, keep_ms: int | None) -> None:
        grant = self.grants.get(form)
        if grant is None or self.line is None:
            return
        if keep_ms is None:
            del self.grants[form]
            self._call([(form, Answer(self.owner, grant.token))], lambda _: None)
            return
        sent = self.world.clock.now()
        self._call([(form, Answer(self.owner, grant.token, keep_ms))], lambda replied: self._kept(grant, sent, replied))

    def _kept(self, grant: Grant, sent: int, replied: Replied | None) -> None:
        current = self.grants.get(grant.form)
        if replied is None or replied.answers is None or current is None or current.token != grant.token:
            return
        ((form, reply, _),) = replied.answers
        if isinstance(reply, Refusal) and reply.error is Lost:
            self._lose(form, "answer")
        elif isinstance(reply, Yours):
            self._hold(form, reply, sent, current.mode)

    def hand_over(self, form: FormId, token: int) -> None:
        grant = self.grants.get(form)
        if grant is None or grant.token != token or self.line is None:
            return
        grant.proven = False
        sent = self.world.clock.now()
        self._call([(form, HandOver(self.owner, token))], lambda replied: self._handed(grant, sent, replied))

    def _handed(self, grant: Grant, sent: int, replied: Replied | None) -> None:
        current = self.grants.get(grant.form)
        if replied is None or replied.answers is None or current is None or current.token != grant.token:
            return
        ((form, reply, state),) = replied.answers
        if isinstance(reply, Yours):
            # Whoever wanted it has left.
            self._hold(form, reply, sent, current.mode)
        else:
            del self.grants[form]
        self._see(state)

    def _told(self, told: Told) -> None:
        if told.status == "probe":
            if told.form in self.grants:
                self.grants[told.form].probed = True
                self._renew()
            elif told.form in self.asking:
                # It has come before the answer that gives us the form: a sign of life is due as soon as we have it.
                self.asking[told.form].probed = True
            return
        if not self._see(told.state):
            return
        event = told.event
        if isinstance(event, Asked):
            self.world.person.is_asked(self, told.form, event.token)
        elif isinstance(event, HandoverBegan):
            self.world.person.hands_over(self, told.form, event.token)

    def _see(self, state: FormState) -> bool:
        """A public state; False if it is older than what is known."""
        known = self.states.get(state.form)
        if known is not None and state.rev < known.rev:
            return False
        self.states[state.form] = state
        tokens = {lease.token for lease in state.holds}
        for form, grant in list(self.grants.items()):
            if form.record == state.form and grant.token not in tokens:
                self._lose(form, "event")
        numbers = {waiter.number for waiter in state.waiters}
        for asking in self._askings():
            if asking.in_line is not None and asking.forms[0].record == state.form and asking.in_line not in numbers:
                # It is our turn, or we are out of the line.
                self._ask_again(asking)
        return True


__all__ = ["Asking", "Freed", "Grant", "Page", "Reply"]
