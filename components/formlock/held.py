"""What a script holds: its grants, kept alive by renewals, given up by its own clock before the service does, and lost for good.

Somebody who waits may have a form long before its lease ends: `silence_ms` after the last sign of life that was answered, counted
from its sending. From then on nothing is believed until it is proved, as in a page (web/formlock/lease.js).

Lost is lost: a script whose lock has ended must not go on writing, so nothing here tries to get it back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from formlock.errors import FormLockError, Lost, NotHolder
from formlock.line import CALL_WITHIN_S, Line, now_ms
from formlock.wamp_client import CallFailed, LineLost

# How long the end of a block waits for the service, once to prove the lock and once to give it back.
PROVE_WITHIN_S = 5.0
RELEASE_WITHIN_S = 3.0
RETRY_MS = 500
# How often whoever waits for a proof looks at the own clock.
LOOK_S = 0.2
# What an answer may tell of how a grant has ended.
ENDING = ("cause", "by", "reason", "ended_ms")
# Between two renewals, however short the lease.
SHORTEST_MS = 50
# What an older service, which does not say it, has as `silence_ms`; how often the line is tried in that time; and so long before its
# end nothing is believed any more: a write that begins right after a check has that much time.
SILENCE_MS = 10_000
SIGNS = 3
LATE_MS = 1_000

_log = logging.getLogger("formlock.client")


@dataclass(frozen=True, slots=True)
class Grant:
    """One form, as the service last said. `deadline`: by our clock, counted from when we asked, which is `sent`. `silence_ms`: after
    so much silence of ours it may be somebody else's."""

    form: str
    token: int
    epoch: str
    rev: int
    receipt: str
    sent: int
    deadline: int
    renew_at: int
    silence_ms: int


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who would like to have the form."""

    user: str
    name: str
    note: str


def grant(answer: Mapping[str, Any], sent: int) -> Grant:
    """Of an answer of `lock` or `renew`; KeyError and TypeError for anything else."""
    lease_ms, renew_ms = int(answer["lease_ms"]), int(answer["renew_ms"])
    return Grant(
        form=str(answer["form"]),
        token=int(answer["token"]),
        epoch=str(answer["epoch"]),
        rev=int(answer["rev"]),
        receipt=str(answer["receipt"]),
        sent=sent,
        deadline=sent + lease_ms,
        # A lease that is about to end for another reason is short, and may be renewed all the same.
        renew_at=sent + max(SHORTEST_MS, min(renew_ms, lease_ms // 2)),
        silence_ms=int(answer.get("silence_ms", SILENCE_MS)),
    )


class Held:
    """Forms that a script holds, all of them or none. Made by `Client.lock` and `hold`. Any thread may use it."""

    def __init__(self, line: Line, forms: Sequence[str], tab: str, mode: str, clock: Callable[[], int] = now_ms) -> None:
        self.forms = tuple(forms)
        self.tab = tab
        self.news = threading.Event()
        """Something has happened that whoever waits for the forms should look at."""
        self._line = line
        self._mode = mode
        self._clock = clock
        self._lock = threading.Condition()
        self._grants: dict[str, Grant] = {}
        self._last: dict[str, Mapping[str, Any]] = {}
        self._taken: dict[str, Mapping[str, Any]] = {}
        self._lost: Lost | None = None
        self._released = False
        self._due: int | None = None
        self._sent: int | None = None
        self.breaks = 0
        """How often events may have been missed."""
        self._proved = 0
        """What `breaks` was when the last proof was asked for."""
        self._heard = 0
        """When the last sign of life that was answered was sent."""
        self._probed: int | None = None
        """When the service has asked for a renewal, and has not got one yet: nothing else is a sign of life then."""

    # -- what a script asks

    @property
    def token(self) -> int:
        """The fencing token of the only form; ValueError with several (`tokens`)."""
        return self._only().token

    @property
    def receipt(self) -> str:
        """The newest signed statement of the only form's lease; ValueError with several (`receipts`)."""
        return self._only().receipt

    @property
    def tokens(self) -> dict[str, int]:
        """The fencing token of each form."""
        with self._lock:
            return {form: held.token for form, held in self._grants.items()}

    @property
    def receipts(self) -> dict[str, str]:
        """The newest receipt of each form."""
        with self._lock:
            return {form: held.receipt for form, held in self._grants.items()}

    @property
    def lost(self) -> bool:
        """Whether any of the forms is lost. It never becomes False again."""
        return isinstance(self._verdict(), Lost)

    @property
    def in_doubt(self) -> bool:
        """Whether the line broke or is silent, or the process stood still, and the forms have not been proved since."""
        return self._proved < self.breaks or self._silent_ms() >= 0

    @property
    def asked(self) -> tuple[Asker, ...]:
        """Who asks for any of the forms, and has not been answered."""
        return tuple(
            Asker(str(ask.get("user")), str(ask.get("name")), str(ask.get("note")))
            for facts in self._newest()
            for ask in facts.get("asks", ())
        )

    @property
    def waiting(self) -> int:
        """How many stand in line for any of the forms."""
        return sum(len(facts.get("waiters", ())) for facts in self._newest())

    def check(self) -> None:
        """Raise Lost when any of the forms is lost, by all that was heard and by the own clock; NotHolder when they were released.

        Call it before every write: it asks nobody, and costs nothing. Only after the line broke or fell silent, or the process
        stood still, when something may have happened unheard, it waits until the line is mended and the forms are proved, at most
        for their lease.
        """
        if self._line.stood_still() or (self._silent_ms() >= 0 and self._proved == self.breaks):
            self.doubt()
        with self._lock:
            while self._verdict() is None and self.in_doubt:
                self._lock.wait(LOOK_S)
        self._raise()

    def prove(self, timeout_s: float = PROVE_WITHIN_S) -> None:
        """Ask the service whether all forms are held still, and renew them. Raises as `check`, or NotActive without an answer."""
        self._raise()
        sent = [(self._clock(), self.breaks)]
        limit = time.monotonic() + timeout_s
        renewal = {"locks": self._claims(), "tab": self.tab}
        answer = self._line.call("renew", limit, renewal, lambda: sent.append((self._clock(), self.breaks)))
        self._renewed(*sent[-1], answer)
        self._raise()

    def keep(self, seconds: float, timeout_s: float = PROVE_WITHIN_S) -> None:
        """Tell all who ask that the forms are needed for so much longer; unanswered, they would be given away in a minute."""
        limit = time.monotonic() + timeout_s
        for form, facts in self._states():
            if facts.get("asks"):
                self._raise()
                answer = {"form": form, "token": self.tokens[form], "tab": self.tab, "answer": "keep"}
                self._line.call("answer", limit, {**answer, "keep_ms": round(seconds * 1000)})

    def release_if_asked(self) -> bool:
        """Give everything up when somebody asks for it or stands in line; whether it was given up."""
        if not self.asked and not self.waiting:
            return False
        self.release()
        return True

    def release(self, timeout_s: float = RELEASE_WITHIN_S) -> None:
        """Give everything back. Never raises for what can't be told any more: the service frees it by itself then."""
        with self._lock:
            if self._released:
                return
            self._released = True
            self._due = None
            grants = list(self._grants.values())
        asked = {form for form, facts in self._states() if facts.get("asks")}
        limit = time.monotonic() + timeout_s
        for held in grants:
            facts: dict[str, Any] = {"form": held.form, "token": held.token, "tab": self.tab}
            try:
                if held.form in asked:
                    self._line.call("answer", limit, {**facts, "answer": "release"})
                else:
                    self._line.call("unlock", limit, facts)
            except FormLockError as error:
                if not isinstance(error, Lost):
                    _log.warning("%s was not released, and ends with its grace: %s", held.form, error)

    # -- what the client says

    def granted(self, grants: Sequence[Grant], breaks: int) -> None:
        """All forms are held now, as of when there had been so many breaks; what has been told of them meanwhile counts too."""
        with self._lock:
            self._proved = breaks
            self._grants = {held.form: held for held in grants}
            self._heard = min(held.sent for held in grants)
            self._due = min(held.renew_at for held in grants)
            for form, facts in list(self._last.items()):
                self._consider(form, facts)

    def told(self, topic: str, facts: Mapping[str, Any]) -> None:
        """An event."""
        # Updates come from the bridge, and say nothing of locks.
        if topic not in self.forms or not isinstance(facts.get("rev"), int):
            return
        with self._lock:
            last = self._last.get(topic)
            if last is not None and last.get("epoch") == facts.get("epoch") and last["rev"] > facts["rev"]:
                return
            self._last[topic] = facts
            if facts.get("status") == "takeover":
                self._taken[topic] = facts
            if topic in self._grants and not self._released:
                self._consider(topic, facts)
            if facts.get("status") == "granted" or (facts.get("state") == "free" and not facts.get("waiters")):
                self.news.set()

    def seen(self, form: str) -> Mapping[str, Any]:
        """The newest that was told of this form."""
        with self._lock:
            return self._last.get(form, {"form": form})

    def doubt(self) -> None:
        """Events may have been missed."""
        with self._lock:
            self.breaks += 1
            if self._due is not None:
                self._due = self._clock()
                self._sent = None
        self._line.wake()

    def tend(self, joined: bool) -> int | None:
        """Renew when it is time to; when to be called again, in milliseconds of the clock."""
        now = self._clock()
        with self._lock:
            if joined:
                self.news.set()
                self._sent = None
            if self._due is None or self._verdict() is not None:
                return None
            self._show_life(now)
            under_way = self._sent is not None and now - self._sent < CALL_WITHIN_S * 1000
            if under_way or (now < self._due and not joined):
                return max(self._due, now + RETRY_MS) if under_way else self._due
            session = self._line.session
            if session is None:
                return now + RETRY_MS
            self._sent = now
            self._due = now + round(CALL_WITHIN_S * 1000)
            claims, breaks = self._claims(), self.breaks
        answer = session.calling(self._line.uris.procedure("renew"), {"locks": claims, "tab": self.tab})
        answer.add_done_callback(lambda done: self._answered(now, breaks, done))
        return self._due

    # -- inside

    def _show_life(self, now: int) -> None:
        """Try the line in time. The router itself answers, by refusing what no script may call: its workers have nothing to do."""
        session = self._line.session
        silent_ms, most_ms = self._silent_ms(), self._most_silent_ms()
        if silent_ms >= 0 and self._proved == self.breaks:
            self.doubt()
        elif session is not None and (now - session.alive_at) * SIGNS >= most_ms:
            session.sign(f"{self._line.uris.prefix}.alive")

    def _most_silent_ms(self) -> int:
        with self._lock:
            return min((held.silence_ms for held in self._grants.values()), default=SILENCE_MS)

    def _silent_ms(self) -> int:
        """For how long the silence has lasted too long; below 0: not yet, or nothing is held."""
        with self._lock:
            session = self._line.session
            if not self._grants:
                return -1
            if session is not None and self._probed is None and self._proved == self.breaks:
                self._heard = max(self._heard, session.alive_at)
            return self._clock() - (self._heard + self._most_silent_ms() - LATE_MS)

    def _answered(self, sent: int, breaks: int, answer: Future[Any]) -> None:
        with self._lock:
            if self._sent == sent:
                self._sent = None
            try:
                self._renewed(sent, breaks, answer.result())
            except (LineLost, CallFailed, KeyError, TypeError, ValueError) as error:
                _log.info("not renewed: %s", error)
                if self._due is not None:
                    self._due = self._clock() + RETRY_MS
        self._line.wake()

    def _renewed(self, sent: int, breaks: int, answer: Mapping[str, Any]) -> None:
        with self._lock:
            for said in answer["locks"]:
                held = self._grants.get(said["form"])
                if held is None:
                    continue
                self._heard = max(self._heard, sent)
                if self._probed is not None and sent >= self._probed:
                    self._probed = None
                if said["event"] == "renewed":
                    new = grant(said, sent)
                    self._grants[held.form] = replace(new, deadline=max(held.deadline, new.deadline))
                else:
                    self._lose(held.form, said.get("holder"), **{name: said.get(name) for name in ENDING})
            self._proved = max(self._proved, breaks)
            if self._due is not None:
                self._due = min(held.renew_at for held in self._grants.values())
            self._lock.notify_all()

    def _consider(self, form: str, facts: Mapping[str, Any]) -> None:
        """Whether what is told means that the form is lost, or that it has to be proved now."""
        held = self._grants[form]
        if facts.get("status") == "probe":
            self._probed = self._clock()
            self._soon()
        elif facts.get("epoch") != held.epoch:
            self._soon()
        elif facts["rev"] > held.rev and (facts.get("state") == "free" or facts.get("token") != held.token):
            if self._mode == "exclusive":
                # Nobody else can have a part of it while we do.
                self._lose(form, facts.get("holder"), cause=facts.get("cause"))
            else:
                self._soon()

    def _soon(self) -> None:
        self._due = self._clock()
        self._sent = None
        self._line.wake()

    def _lose(self, form: str, holder: Any, **facts: Any) -> None:
        """For good. Who took it over says so first, before anybody hears who has it now."""
        if self._lost is None and not self._released:
            taken = self._taken.get(form)
            if taken is not None:
                facts |= {"cause": "takeover", "by": taken.get("by"), "reason": taken.get("reason")}
                holder = holder or taken.get("by")
            said = {name: value for name, value in facts.items() if value is not None}
            self._lost = Lost(form=form, holder=holder, **said)
            self._lock.notify_all()
            _log.warning("%s is lost: %s", form, said or holder)

    def _raise(self) -> None:
        error = self._verdict()
        if error is not None:
            raise type(error)(error.message, **error.facts)

    def _verdict(self) -> FormLockError | None:
        with self._lock:
            if self._lost is not None:
                return self._lost
            if self._released or not self._grants:
                return NotHolder(form=self.forms[0])
            first = min(self._grants.values(), key=lambda held: held.deadline)
            if self._clock() >= first.deadline:
                self._lose(first.form, None, cause="not_renewed")
            return self._lost

    def _claims(self) -> list[dict[str, Any]]:
        return [{"form": held.form, "token": held.token} for held in self._grants.values()]

    def _only(self) -> Grant:
        with self._lock:
            (held,) = self._grants.values()
            return held

    def _states(self) -> list[tuple[str, Mapping[str, Any]]]:
        with self._lock:
            return list(self._last.items())

    def _newest(self) -> list[Mapping[str, Any]]:
        return [facts for _, facts in self._states()]
