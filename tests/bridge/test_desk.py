"""Where arrivals wait for their number: batches, answers in order, and a journal that can't be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formlock.clock import Promise
from formlock.errors import NotActive
from formlock.testing import FakeClock
from formlock_bridge.desk import MAX_BATCH, MAX_GATHERED, RETRY_MS, Desk
from formlock_bridge.journals import Arrival, Entry, Known
from formlock_bridge.journals.memory import MemoryJournal
from formlock_push.message import Update


class SlowJournal(MemoryJournal):
    """Writes when it is told to, or fails."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("e", clock)
        self.clock = clock
        self.batches: list[int] = []
        self.writing: list[Promise[None]] = []

    async def append(self, arrivals: Sequence[Arrival]) -> Sequence[Entry | Known]:
        self.batches.append(len(arrivals))
        promise = self.clock.promise()
        self.writing.append(promise)
        await promise
        return await super().append(arrivals)


class Room:
    """A desk, and what it says to everybody."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.journal = SlowJournal(self.clock)
        self.taken: list[int] = []
        self.duplicates: list[str | None] = []
        self.lost = 0
        self.answers: list[tuple[str, Any]] = []
        self.desk = Desk(
            self.clock, self.journal,
            taken=lambda entry, _: self.taken.append(entry.seq), duplicate=lambda update: self.duplicates.append(update.id),
            changed=lambda: None, lost=self.loses,
        )  # fmt: skip

    def loses(self, count: int) -> None:
        self.lost += count

    def comes(self, name: str = "", answered: bool = True) -> None:
        answer = (lambda said: self.answers.append((name, said))) if answered else None
        self.desk.take(Arrival("f", b"{}", 0, "s", name), Update(form="f", id=name or None), answer)

    def refuses(self, name: str) -> None:
        self.desk.say(lambda said: self.answers.append((name, said)), {"error": "no"})

    def write(self) -> None:
        self.journal.writing.pop(0).keep(None)
        self.clock.advance(0)

    def fail(self) -> None:
        self.journal.writing.pop(0).fail(NotActive())
        self.clock.advance(0)


def test_answered_after_the_commit() -> None:
    """U38: nobody is told a number that could be lost, and nothing is handed on before."""
    room = Room()
    room.comes("1")
    assert room.answers == []
    assert room.taken == []
    room.write()
    assert room.answers == [("1", {"id": "1", "form": "f", "seq": 1, "epoch": "e"})]
    assert room.taken == [1]


def test_one_batch_in_flight_while_the_next_gathers() -> None:
    """The first is written at once; what comes meanwhile shares a commit, as much as one holds."""
    room = Room()
    for n in range(1 + MAX_BATCH + 5):
        room.comes(str(n))
    assert room.journal.batches == [1]
    for _ in range(3):
        room.write()
    assert room.journal.batches == [1, MAX_BATCH, 5]
    assert room.taken == list(range(1, MAX_BATCH + 7))
    assert [name for name, _ in room.answers] == [str(n) for n in range(MAX_BATCH + 6)]


def test_refusals_wait_their_turn() -> None:
    """A connection's answers come in the order of its messages: a refusal does not overtake what is being written."""
    room = Room()
    room.refuses("0")
    room.comes("1")
    room.refuses("2")
    room.comes("3")
    room.refuses("4")
    assert [name for name, _ in room.answers] == ["0"]
    room.write()
    room.write()
    assert [name for name, _ in room.answers] == ["0", "1", "2", "3", "4"]


def test_duplicates() -> None:
    """A known one is answered with the number it has, and is not told again."""
    room = Room()
    room.comes("1")
    room.comes("1")
    room.write()
    room.write()
    assert room.answers[1] == ("1", {"id": "1", "form": "f", "seq": 1, "epoch": "e", "duplicate": True})
    assert (room.taken, room.duplicates) == ([1], ["1"])


def test_a_journal_that_cannot_be_written() -> None:
    """Who waits is told `busy`; what nobody waits for is kept, in its order, and written when that can be. Meanwhile it is full."""
    room = Room()
    room.comes("1")
    room.comes("2", answered=False)
    room.comes("3")
    room.comes("4", answered=False)
    room.fail()
    assert [(name, said["error"], said["retry"]) for name, said in room.answers] == [("1", "busy", True)]
    assert room.desk.full
    room.clock.advance(RETRY_MS)
    room.fail()
    assert [name for name, _ in room.answers] == ["1", "3"]
    assert room.desk.full
    room.clock.advance(RETRY_MS)
    assert not room.desk.full
    room.comes("5")
    room.write()
    room.write()
    assert room.taken == [1, 2, 3]
    assert room.answers[2] == ("5", {"id": "5", "form": "f", "seq": 3, "epoch": "e"})


def test_what_is_kept_stays_before_what_came_later() -> None:
    """What could not be written is written first, in its order, and counts as much as before while it waits."""
    room = Room()
    told: list[bytes] = []
    room.desk._taken = lambda entry, _: told.append(entry.message)
    for text in (b"1", b"2", b"3"):
        room.desk.take(Arrival("f", text, 0), Update(form="f"), None)
    room.fail()
    room.desk.take(Arrival("f", b"4", 0), Update(form="f"), None)
    assert room.desk._bytes == 4
    room.clock.advance(RETRY_MS)
    room.fail()
    assert room.desk._bytes == 4
    room.clock.advance(RETRY_MS)
    room.write()
    assert told == [b"1", b"2", b"3", b"4"]
    assert room.desk._bytes == 0


def test_full() -> None:
    """What gathers is bounded, by number and by bytes."""
    room = Room()
    for n in range(MAX_GATHERED):
        room.comes(str(n))
    assert not room.desk.full
    room.comes("one more")
    assert room.desk.full
    room.write()
    assert not room.desk.full
    room = Room()
    room.comes("1")
    for _ in range(200):
        room.desk.take(Arrival("f", b"x" * 60_000, 0), Update(form="f"), None)
    assert room.desk.full
    room.write()
    room.write()
    assert not room.desk.full


def test_closing_writes_what_was_read() -> None:
    """A stop that is announced loses nothing; who comes later is told `busy`."""
    room = Room()
    room.comes("1")
    room.comes("2", answered=False)
    closing: list[bool] = []

    async def close() -> None:
        await room.desk.close()
        closing.append(True)

    room.clock.start(close())
    room.comes("late")
    room.write()
    assert not closing
    room.write()
    assert closing
    assert room.taken == [1, 2]
    assert [(name, said.get("error")) for name, said in room.answers] == [("late", "busy"), ("1", None)]
    assert room.lost == 0


def test_closing_without_a_journal() -> None:
    """What could not be written before the end is counted, not forgotten silently."""
    room = Room()
    room.comes("1", answered=False)
    room.comes("2", answered=False)
    room.clock.start(room.desk.close())
    room.fail()
    room.clock.advance(RETRY_MS)
    assert room.lost == 2
