"""What is pushed reliably arrives once and in order, whatever becomes of the bridge; no request waits beyond its time-out."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from formlock_push import MAX_BYTES, Bounds, Keys, Outcome, ReliablePusher
from formlock_push.circuit import MAX_REST_S, Circuit
from formlock_push.keeper import Counted, Keeper
from formlock_push.letter import Answer, Letter
from formlock_push.line import Line
from formlock_push.spool import Spool, Unusable
from tests.support.fake_bridge import FakeBridge, made_keys
from tests.support.node import free_port

FORM = "com.example.form.invoice.42"
OTHER = "com.example.form.invoice.43"
WITHIN_S = 20.0
# So long that no machine needs it, nor its disk, to which a quarter of it belongs: who waits for it is seen by that.
TIMEOUT_S = 20.0
# Where it is waited for.
SHORT_S = 2.0
# Given to a slow machine, beside the bound that is tested.
SLACK_S = 8.0


@pytest.fixture
def address() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture
def bridge(address: str) -> Iterator[FakeBridge]:
    """There, and not started."""
    bridge = FakeBridge(address)
    yield bridge
    bridge.stop()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def pusher(address: str, spool: Path) -> Iterator[ReliablePusher]:
    with ReliablePusher(address, spool=spool, timeout_ms=round(TIMEOUT_S * 1_000)) as pusher:
        yield pusher


@pytest.fixture
def hasty(address: str, spool: Path) -> Iterator[ReliablePusher]:
    """One that does not wait for long."""
    with ReliablePusher(address, spool=spool, timeout_ms=round(SHORT_S * 1_000)) as pusher:
        yield pusher


def patient(address: str, spool: Path, **options: Any) -> ReliablePusher:
    """One more that waits as long as `pusher`."""
    return ReliablePusher(address, spool=spool, **{"timeout_ms": round(TIMEOUT_S * 1_000), **options})


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.005)


def versions(bridge: FakeBridge, form: str = FORM) -> list[Any]:
    return [message["version"] for message in bridge.journal if message["form"] == form]


# -- the fast way


def test_acknowledged(pusher: ReliablePusher, bridge: FakeBridge, tmp_path: Path) -> None:
    """With the bridge there a push is in its journal when it returns, as it was said, and no file was touched."""
    bridge.start()
    outcome = pusher.push(FORM, {"amount": ["120.00", "140.00"]}, version=7, origin="tab-1", redact={"amount": "prices"})
    assert outcome is Outcome.ACKNOWLEDGED
    assert outcome
    [message] = bridge.journal
    assert message["id"]
    assert (message["change_set"], message["redact"]) == ({"amount": ["120.00", "140.00"]}, {"amount": "prices"})
    assert (pusher.acknowledged, pusher.spooled, pusher.dropped, pusher.waiting) == (1, 0, 0, 0)
    assert list(tmp_path.iterdir()) == []


def test_bulk(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """U36: 4,000 invoices are one message."""
    bridge.start()
    assert pusher.bulk("invoice", 4_000, change_set={"status": [None, "sent"]})
    assert pusher.bulk("org.shop.form.order.*", 2, ["7", "8"])
    first, second = bridge.journal
    assert (first["form"], first["count"], "ids" in first) == ("com.example.form.invoice.*", 4_000, False)
    assert (second["form"], second["count"], second["ids"]) == ("org.shop.form.order.*", 2, ["7", "8"])


def test_source(address: str, spool: Path, bridge: FakeBridge) -> None:
    """The pusher's source stands where the update names none; an id of the caller's own is kept, so he may repeat himself."""
    bridge.start()
    with patient(address, spool, source="shop") as pusher:
        assert pusher.push(FORM, id="a")
        assert pusher.push(FORM, id="a") is Outcome.ACKNOWLEDGED
        assert pusher.push(FORM, id="a", source="import")
    assert [(message["source"], message["id"]) for message in bridge.journal] == [("shop", "a"), ("import", "a")]


def test_threads(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """Eight threads share one connection: everything arrives, and what a thread says of a form keeps its order."""
    bridge.start()

    def work(name: str) -> None:
        for n in range(50):
            assert pusher.push(FORM, source=name, version=n)
            assert pusher.push(f"com.example.form.invoice.{name}", version=n)

    run_in_threads(work, [f"t{n}" for n in range(8)])
    assert pusher.acknowledged == 800
    for n in range(8):
        assert [m["version"] for m in bridge.journal if m["form"] == FORM and m["source"] == f"t{n}"] == list(range(50))
        assert versions(bridge, f"com.example.form.invoice.t{n}") == list(range(50))


def run_in_threads(work: Callable[[Any], None], each: list[Any]) -> None:
    failed: list[BaseException] = []

    def guarded(one: Any) -> None:
        try:
            work(one)
        except BaseException as error:  # noqa: BLE001 (told below)
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# -- the bridge is away


def test_away_and_back(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """U38, U39: with the bridge down no push waits for it and all are kept; when it is back they arrive once, in order, and
    newer ones come after them."""
    for n in range(100):
        began = time.monotonic()
        assert pusher.push(FORM, version=n) is Outcome.SPOOLED
        assert time.monotonic() - began < SLACK_S
        assert pusher.push(OTHER, version=n) is Outcome.SPOOLED
    assert (pusher.waiting, pusher.spooled, pusher.acknowledged) == (200, 200, 0)
    bridge.start()
    for n in range(100, 110):
        assert pusher.push(FORM, version=n)
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == list(range(110))
    assert versions(bridge, OTHER) == list(range(100))
    assert pusher.drained >= 200
    until(lambda: pusher.push(OTHER, version=0) is Outcome.ACKNOWLEDGED)


def test_flushed_is_counted(pusher: ReliablePusher, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever flushes and then asks for the counters, as the command does, is not told less than has arrived."""
    count = ReliablePusher._count_drained

    def late(counting: ReliablePusher, number: int) -> None:
        # As a thread from which the processor was taken.
        time.sleep(0.3)
        count(counting, number)

    monkeypatch.setattr(ReliablePusher, "_count_drained", late)
    assert pusher.push(FORM) is Outcome.SPOOLED
    bridge.start()
    assert pusher.flush(WITHIN_S)
    assert pusher.drained == 1


def test_silent(hasty: ReliablePusher, bridge: FakeBridge) -> None:
    """U39: a bridge that is there and says nothing costs one request its time-out, and the others next to nothing."""
    bridge.doing = bridge.ignore
    bridge.start()
    began = time.monotonic()
    assert hasty.push(FORM, version=0) is Outcome.SPOOLED
    assert 0.3 < time.monotonic() - began < SHORT_S + SLACK_S
    began, others = time.monotonic(), []
    for n in range(1, 100):
        assert hasty.push(FORM, version=n) is Outcome.SPOOLED
        if n % 10 == 0:
            # Of this form nothing waits.
            other = time.monotonic()
            assert hasty.push(f"{FORM}-{n}") is Outcome.SPOOLED
            others.append(time.monotonic() - other)
    # Each is written to the disk; waiting each time as well would be two and a half minutes more, or 1.5 s for another form.
    assert time.monotonic() - began < 10 * SLACK_S
    assert min(others) < SHORT_S / 2
    bridge.doing = bridge.take
    assert hasty.flush(WITHIN_S)
    assert versions(bridge) == list(range(100))


def test_threads_silent(hasty: ReliablePusher, bridge: FakeBridge) -> None:
    """U39: fifty requests at once with a silent bridge: none waits beyond the time-out, on one form or on many."""
    bridge.doing = bridge.ignore
    bridge.start()
    took: list[float] = []

    def work(n: int) -> None:
        began = time.monotonic()
        assert hasty.push(FORM if n % 2 else f"{FORM}-{n}") is Outcome.SPOOLED
        took.append(time.monotonic() - began)

    run_in_threads(work, list(range(50)))
    assert len(took) == 50
    assert max(took) < SHORT_S + SLACK_S


def test_late_answer(hasty: ReliablePusher, bridge: FakeBridge) -> None:
    """An answer that comes after its request has gone on takes the update out of the spool, and it is in the journal once."""
    late: list[dict[str, Any]] = []
    asked = threading.Event()

    def slow(message: dict[str, Any]) -> dict[str, Any]:
        if not late:
            late.append(message)
            asked.wait(WITHIN_S)
        return bridge.take(message)

    bridge.doing = slow
    bridge.start()
    assert hasty.push(FORM, version=1) is Outcome.SPOOLED
    asked.set()
    assert hasty.flush(WITHIN_S)
    assert versions(bridge) == [1]
    assert hasty.drained == 1


def test_always_late(address: str, spool: Path, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge that answers, but after the time-out, makes some requests wait and not each: they rest for longer each time."""
    waited: list[bool] = []
    fail = Circuit.fail
    monkeypatch.setattr(Circuit, "fail", lambda circuit, now: (waited.append(True), fail(circuit, now))[1])

    def slow(message: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.06)
        return bridge.take(message)

    bridge.doing = slow
    bridge.start()
    with ReliablePusher(address, spool=spool, timeout_ms=60) as pusher:
        # A connection that does not stand yet is not waited for twice.
        until(lambda: pusher.push(FORM) is not None and bool(waited))
        for _ in range(200):
            pusher.push(FORM)
    # Without resting it would be each of them.
    assert 0 < len(waited) < 100


def test_dies_before_the_answer(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """A bridge that dies between its journal and its answer is asked again, and the update is there once."""
    bridge.doing = bridge.lose
    bridge.start()
    pushed = threading.Thread(target=pusher.push, args=(FORM,), kwargs={"version": 1})
    pushed.start()
    until(lambda: len(bridge.journal) == 1)
    bridge.stop()
    pushed.join()
    assert pusher.waiting == 1
    bridge.doing = bridge.take
    bridge.start()
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [1]
    assert bridge.seen >= 2


def test_comes_and_goes(address: str, spool: Path, bridge: FakeBridge) -> None:
    """U38: a bridge that is killed ten times in mid-stream: 0 lost, 0 twice, 0 out of order on each of 20 forms."""
    with patient(address, spool) as pusher:
        comes_and_goes(pusher, bridge)


def comes_and_goes(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    stop = threading.Event()
    said: dict[str, int] = {}

    def work(form: str) -> None:
        while not stop.is_set():
            assert pusher.push(form, version=said.get(form, 0))
            said[form] = said.get(form, 0) + 1
            time.sleep(0.001)

    def kill() -> None:
        for _ in range(10):
            before = len(bridge.journal)
            bridge.start()
            # New ones: those before which it died come again.
            until(lambda: len(bridge.journal) >= before + 60)  # noqa: B023 (called at once)
            bridge.stop()
        stop.set()

    killing = threading.Thread(target=kill)
    killing.start()
    run_in_threads(work, [f"com.example.form.invoice.{n}" for n in range(20)])
    killing.join()
    bridge.start()
    assert pusher.flush(WITHIN_S)
    assert pusher.dropped == 0
    assert sum(said.values()) >= 600
    for form, count in said.items():
        assert versions(bridge, form) == list(range(count))


# -- the order


def test_behind_what_another_has_left(address: str, spool: Path, bridge: FakeBridge) -> None:
    """What waits in the spool goes first, whoever put it there: a newer update of that form follows it, another form's need not."""
    with patient(address, spool) as before:
        for n in range(30):
            assert before.push(FORM, version=n) is Outcome.SPOOLED
    held = threading.Event()

    def slowly(message: dict[str, Any]) -> dict[str, Any]:
        if message["form"] == FORM:
            held.wait(WITHIN_S)
        return bridge.take(message)

    bridge.start()
    with patient(address, spool, timeout_ms=round(SHORT_S * 1_000)) as after:
        assert after.push(OTHER, version=0) is Outcome.ACKNOWLEDGED
        bridge.doing = slowly
        outcome = after.push(FORM, version=30)
        held.set()
        assert outcome in (Outcome.SPOOLED, Outcome.ACKNOWLEDGED)
        assert after.flush(WITHIN_S)
    assert versions(bridge) == list(range(31))


def test_behind_one_that_is_being_written(address: str, spool: Path, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update whose predecessor is on its way into the spool follows it there: the file does not show that one yet."""
    writing, hung = threading.Event(), threading.Event()
    add, holds = Spool._add, Spool.holds
    unknown = iter([None])

    def hang(self: Spool, writer: sqlite3.Connection, letters: Any) -> Any:
        writing.set()
        assert hung.wait(WITHIN_S)
        return add(self, writer, letters)

    bridge.start()
    monkeypatch.setattr(Spool, "_add", hang)
    # The first one can't find out whether it may go directly.
    monkeypatch.setattr(Spool, "holds", lambda self, form: next(unknown) if not writing.is_set() else holds(self, form))
    with ReliablePusher(address, spool=spool, timeout_ms=20_000) as pusher:
        pusher.start()
        office = pusher._office
        until(lambda: office._line is not None and office._line.up is True)
        threads = [threading.Thread(target=pusher.push, args=(FORM,), kwargs={"version": n}) for n in (1, 2)]
        threads[0].start()
        assert writing.wait(WITHIN_S)
        threads[1].start()
        until(lambda: bridge.seen > 0 or (office._keeper is not None and office._keeper._inbox.qsize() > 0))
        hung.set()
        for thread in threads:
            thread.join()
        assert pusher.spooled == 2
        assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [1, 2]


def test_in_the_order_of_their_turns(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """An update waits for its predecessor's answer, and stays behind it when that one has to go by the spool."""
    asked, answer = ({name: threading.Event() for name in "123"} for _ in range(2))

    def slowly(message: dict[str, Any]) -> dict[str, Any]:
        asked[message["id"]].set()
        assert answer[message["id"]].wait(WITHIN_S)
        return bridge.busy(message) if message["id"] == "2" else bridge.take(message)

    bridge.doing = slowly
    bridge.start()
    threads = [threading.Thread(target=pusher.push, args=(FORM,), kwargs={"version": n, "id": f"{n}"}) for n in (1, 2, 3)]
    threads[0].start()
    assert asked["1"].wait(WITHIN_S)
    threads[1].start()
    until(lambda: pusher._office._under_way[FORM].id == "2")
    answer["1"].set()
    assert asked["2"].wait(WITHIN_S)
    threads[2].start()
    until(lambda: FORM in pusher._office._under_way and pusher._office._under_way[FORM].id == "3")
    answer["3"].set()
    answer["2"].set()
    for thread in threads:
        thread.join()
    assert (pusher.acknowledged, pusher.spooled) == (1, 2)
    bridge.doing = bridge.take
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [1, 2, 3]


def test_busy(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """What the bridge has no room for goes into the spool and is taken later; nothing overtakes it, although the bridge would
    take the next one of that form."""
    calls = 0

    def now_and_then(message: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return bridge.busy(message) if calls % 3 == 1 else bridge.take(message)

    bridge.doing = now_and_then
    bridge.start()
    for n in range(12):
        assert pusher.push(FORM, version=n)
    assert pusher.spooled > 0
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == list(range(12))


# -- what is never taken


def test_refused(pusher: ReliablePusher, bridge: FakeBridge, spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is final: counted, logged once, put aside with its reason, and not tried again."""
    bridge.doing = bridge.refuse
    bridge.start()
    for n in range(3):
        assert pusher.push(FORM, version=n) is Outcome.REFUSED
        # While the file is being made for it, nobody can say whether something waits there.
        until(lambda: len(Spool(spool).refused()) > n)  # noqa: B023 (called at once)
    assert not Outcome.REFUSED
    pusher.close()
    assert bridge.seen == 3
    assert (pusher.refused, pusher.waiting) == (3, 0)
    # `close` waits for no disk longer than LINGER.
    until(lambda: len(Spool(spool).refused()) == 3)
    kept = Spool(spool).refused()
    assert [(one.form, one.reason, json.loads(one.data)["version"]) for one in kept] == [(FORM, "not_allowed", n) for n in range(3)]
    lines = [record.getMessage() for record in caplog.records if record.name == "formlock_push"]
    assert len(lines) == 1
    assert "not_allowed" in lines[0]


def test_refused_later(pusher: ReliablePusher, bridge: FakeBridge, spool: Path) -> None:
    """What was spooled and is then refused holds up nothing behind it."""
    bridge.doing = lambda message: bridge.refuse(message) if message["version"] == 1 else bridge.take(message)
    for n in range(3):
        assert pusher.push(FORM, version=n) is Outcome.SPOOLED
    bridge.start()
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [0, 2]
    assert pusher.refused == 1
    assert [one.reason for one in Spool(spool).refused()] == ["not_allowed"]


def test_unreadable_to_the_bridge(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """A refusal without an id is one of the message that was to be answered next."""
    bridge.doing = lambda message: {"id": None, "error": "too_deep", "message": "Nested too deep", "retry": False}
    bridge.start()
    assert pusher.push(FORM) is Outcome.REFUSED


def test_whose_answer_it_is(address: str) -> None:
    """An answer is its letter's, one without a name is the oldest's, and one that nobody waits for is nobody's."""
    line = Line(address, None, answered=lambda _letter, _answer: None, connected=lambda _up: None)
    letters = [Letter(FORM, "", name, b"") for name in ("a", "b", "c", "b")]
    for letter in letters:
        line._pending.setdefault(letter.id, deque()).append((letter, 0.0))
    names = ("b", None, "x", "b", "b", "c", None)
    found = [line._whose(Answer(name, "too_deep")) for name in names]
    assert found == [letters[1], letters[0], None, letters[3], None, letters[2], None]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"\xff", b'{"id": 1, "seq": 1}', b'{"id": "a"}', b'{"id": "a", "error": 1}', b"[" * 9_999]
)
def test_strange_answers(answer: bytes) -> None:
    """What is no answer is none: not an acknowledgement, and nothing that ends the connection's thread."""
    with pytest.raises(ValueError, match=r"."):
        Answer.decode(answer)


def test_never_raises(pusher: ReliablePusher, bridge: FakeBridge, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with an update or the address, the caller's request goes on; the log says what it was."""
    bridge.start()

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no name")

    endless: dict[str, Any] = {}
    endless["a"] = endless
    wrong: list[dict[str, Any]] = [
        {"change_set": {"a": [None, float("nan")]}},
        {"change_set": {"a": [None, "\ud800"]}},
        {"change_set": {"a": [None, Broken()]}},
        {"representation": endless},
        {"representation": "x" * MAX_BYTES},
        {"id": "x" * 201},
        {"source": "x" * 201},
    ]
    for facts in wrong:
        assert pusher.push(FORM, **facts) is Outcome.DROPPED
    assert pusher.dropped == len(wrong)
    assert bridge.seen == 0
    assert "nan is no number in JSON" in caplog.text


def test_no_address(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An address that is none is a bridge that is away: it is logged, and nothing is lost by it."""
    with patient("nowhere", spool) as pusher:
        assert pusher.push(FORM) is Outcome.SPOOLED
        until(lambda: "Invalid argument" in caplog.text)


# -- the spool's bounds, and its file


def test_full(address: str, spool: Path, bridge: FakeBridge, caplog: pytest.LogCaptureFixture) -> None:
    """At a bound the new is not taken: counted and logged. What waits is kept, and goes when the bridge is back."""
    with patient(address, spool, bounds=Bounds(max_messages=5)) as pusher:
        outcomes = [pusher.push(FORM, version=n) for n in range(8)]
        assert outcomes == [Outcome.SPOOLED] * 5 + [Outcome.DROPPED] * 3
        assert (pusher.spooled, pusher.dropped, pusher.waiting) == (5, 3, 5)
        assert "the spool is full (5 updates" in caplog.text
        bridge.start()
        assert pusher.flush(WITHIN_S)
        assert versions(bridge) == list(range(5))


def test_full_in_one_write(address: str, spool: Path) -> None:
    """Of updates that are written together each is told its own outcome."""
    line = Line(address, None, answered=lambda _letter, _answer: None, connected=lambda _up: None)
    kept = Spool(spool, Bounds(max_messages=2))
    keeper = Keeper(kept, line, Circuit(), Counted(lambda _number: None, lambda _letter, _answer: None))
    letters = [Letter(FORM, "", f"{number}", b"x") for number in range(3)]
    keeper._write(letters)
    assert [letter.written is None for letter in letters] == [True, True, False]
    assert all(letter.wrote.is_set() for letter in letters)
    assert [letter.id for letter in kept.after(0, 10, MAX_BYTES)] == ["0", "1"]


def test_full_of_bytes(address: str, spool: Path) -> None:
    """The bound of bytes counts what waits, and what has gone no longer does."""
    with patient(address, spool, bounds=Bounds(max_bytes=10_000)) as pusher:
        outcomes = [pusher.push(FORM, representation="x" * 4_000) for _ in range(3)]
    assert outcomes == [Outcome.SPOOLED, Outcome.SPOOLED, Outcome.DROPPED]
    kept = Spool(spool)
    kept.settle(kept.after(0, 10, 1 << 20))
    assert (kept.waiting().messages, kept.waiting().bytes) == (0, 0)


def test_too_old(address: str, spool: Path, bridge: FakeBridge, caplog: pytest.LogCaptureFixture) -> None:
    """When the oldest has waited for too long, somebody has to look: the new is refused and the old is kept."""
    with patient(address, spool, bounds=Bounds(max_age_s=3_600)) as pusher:
        assert pusher.push(FORM, version=0)
        with sqlite3.connect(spool) as database:
            database.execute("UPDATE waiting SET at = at - 3601")
        database.close()
        assert pusher.push(OTHER) is Outcome.DROPPED
        assert "3600 s" in caplog.text
        bridge.start()
        assert pusher.flush(WITHIN_S)
        assert versions(bridge) == [0]
        until(lambda: pusher.push(OTHER) is Outcome.ACKNOWLEDGED)


def _garbage(spool: Path) -> None:
    spool.write_bytes(b"no database at all" * 500)


def _foreign(spool: Path) -> None:
    with sqlite3.connect(spool) as database:
        database.execute("CREATE TABLE customers (name TEXT)")
    database.close()


def _torn(spool: Path) -> None:
    kept = Spool(spool)
    kept.waiting()
    with patient("tcp://127.0.0.1:1", spool) as pusher:
        for _ in range(50):
            assert pusher.push(FORM, representation="x" * 1_000)
    data = bytearray(spool.read_bytes())
    data[4_096:] = b"\xee" * (len(data) - 4_096)
    spool.write_bytes(data)


@pytest.mark.parametrize("spoil", [_garbage, _foreign, _torn])
def test_broken_file(
    address: str, spool: Path, bridge: FakeBridge, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    """A file that is broken, or is none of ours, is moved aside and kept; a new one is begun and nothing new is lost."""
    spoil(spool)
    before = spool.read_bytes()
    with patient(address, spool) as pusher:
        for n in range(5):
            assert pusher.push(FORM, version=n) is Outcome.SPOOLED
        [aside] = spool.parent.glob("spool.corrupt-*[0-9]")
        assert aside.read_bytes()[4_096:] == before[4_096:]
        assert str(aside) in caplog.text
        bridge.start()
        assert pusher.flush(WITHIN_S)
        assert versions(bridge) == list(range(5))


def test_moved_under_a_writer(spool: Path) -> None:
    """A process whose file was moved away by another one goes on in the file that is there now."""
    ours = Spool(spool)
    pusher = patient("tcp://127.0.0.1:1", spool)
    assert pusher.push(FORM, version=0)
    spool.rename(spool.with_name("moved"))
    assert pusher.push(FORM, version=1)
    assert [json.loads(letter.data)["version"] for letter in ours.after(0, 10, 1 << 20)] == [1]
    pusher.close()
    ours.close()


def test_no_folder(address: str, tmp_path: Path, bridge: FakeBridge, caplog: pytest.LogCaptureFixture) -> None:
    """A spool that can't be made costs nothing while the bridge is there; when it is not, it is said that the update is lost."""
    bridge.start()
    with patient(address, tmp_path / "missing" / "spool") as pusher:
        assert pusher.push(FORM) is Outcome.ACKNOWLEDGED
        bridge.stop()
        until(lambda: pusher.push(FORM) is Outcome.DROPPED)
        assert "No such file" in caplog.text


def test_no_room_at_the_commit(address: str, spool: Path, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update that can't be written is the bridge's directly where it is there, also when the disk says so as late as in the
    commit: its answer is heard."""
    bridge.start()
    # It can't be found out in time whether something waits: so it is to go by the spool.
    monkeypatch.setattr(Spool, "holds", lambda _self, _form: None)
    monkeypatch.setattr(Spool, "_writing", failing_commit(Spool._writing))
    with patient(address, spool) as pusher:
        pusher.start()
        until(lambda: pusher._office._line is not None and pusher._office._line.up is True)
        assert pusher.push(FORM, version=1) is Outcome.ACKNOWLEDGED
        assert (pusher.acknowledged, pusher.dropped, pusher.waiting) == (1, 0, 0)
    assert versions(bridge) == [1]


def failing_commit(original: Any) -> Any:
    @contextmanager
    def writing(self: Spool, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with original(self, durable=durable) as writer:
            yield writer
            raise sqlite3.OperationalError("disk I/O error")

    return writing


def test_last_resort_overtakes_nothing(address: str, spool: Path, bridge: FakeBridge) -> None:
    """With a full spool the bridge is not asked directly about a form of which something waits: that would come too late then."""
    with patient(address, spool, bounds=Bounds(max_messages=1)) as pusher:
        assert pusher.push(FORM, version=1) is Outcome.SPOOLED
        bridge.doing = lambda message: bridge.busy(message) if message["version"] == 1 else bridge.take(message)
        bridge.start()
        until(lambda: bridge.seen > 0)
        assert pusher.push(FORM, version=2) is Outcome.DROPPED
        assert versions(bridge) == []
        bridge.doing = bridge.take
        assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [1]


def test_written_too_late(address: str, spool: Path, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """U39: a disk that hangs holds up a request for its time-out. What was then said to be lost does not come after all, when newer
    updates of its form have gone directly."""
    writing, hung = threading.Event(), threading.Event()
    original = Spool._add

    def hang(self: Spool, writer: sqlite3.Connection, letters: Any) -> Any:
        added = original(self, writer, letters)
        writing.set()
        assert hung.wait(WITHIN_S)
        return added

    monkeypatch.setattr(Spool, "_add", hang)
    with patient(address, spool, timeout_ms=round(SHORT_S * 1_000)) as pusher:
        began = time.monotonic()
        assert pusher.push(FORM, version=1) is Outcome.DROPPED
        assert time.monotonic() - began < SHORT_S + SLACK_S
        assert writing.is_set()
        bridge.start()
        until(lambda: pusher._office._line is not None and pusher._office._line.up is True)
        assert pusher.push(FORM, version=2) is Outcome.ACKNOWLEDGED
        hung.set()
        assert pusher.push(FORM, version=3)
        until(lambda: versions(bridge)[-1] == 3)
        assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [2, 3]


def test_unknown_is_not_free(pusher: ReliablePusher, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can't be found out whether something waits, an update goes by the spool, and from there at once, not only with the
    next look at what others have left."""
    monkeypatch.setattr("formlock_push.keeper.LOOK_IDLE_S", 3_600.0)
    monkeypatch.setattr(Spool, "holds", lambda _self, _form: None)
    bridge.start()
    pusher.start()
    until(lambda: pusher._office._line is not None and pusher._office._line.up is True)
    assert pusher.push(FORM, version=1) is Outcome.SPOOLED
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == [1]


def test_answer_that_cannot_be_noted(pusher: ReliablePusher, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails as an answer is to be noted, or anything else does, it is noted later: nothing stays in the spool for
    ever."""
    settle = Spool.settle
    failures = iter([Unusable("disk I/O error"), RuntimeError("unheard of")])

    def fail(self: Spool, arrived: Any, refused: Any = ()) -> int:
        if (error := next(failures, None)) is not None:
            raise error
        return settle(self, arrived, refused)

    monkeypatch.setattr(Spool, "holds", lambda _self, _form: None)
    monkeypatch.setattr(Spool, "settle", fail)
    bridge.start()
    assert pusher.push(FORM, version=1) is Outcome.SPOOLED
    assert pusher.flush(WITHIN_S)
    assert (versions(bridge), bridge.repeated) == ([1], 0)


def test_goes_on_in_a_new_file(pusher: ReliablePusher, bridge: FakeBridge, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file is moved away, what is in the new one is drained from its beginning: its numbers have begun anew."""
    monkeypatch.setattr(Spool, "holds", lambda _self, _form: None)
    bridge.start()
    for n in range(5):
        assert pusher.push(FORM, version=n) is Outcome.SPOOLED
    assert pusher.flush(WITHIN_S)
    spool.rename(spool.with_name("moved"))
    assert pusher.push(FORM, version=5) is Outcome.SPOOLED
    assert pusher.flush(WITHIN_S)
    assert versions(bridge) == list(range(6))


def test_private(pusher: ReliablePusher, spool: Path) -> None:
    """Nobody else can read what waits."""
    assert pusher.push(FORM)
    for file in spool.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


# -- its life


def test_nothing_until_it_is_used(tmp_path: Path) -> None:
    """Making one starts no thread and makes no file, so that a server may fork afterwards."""
    before = set(threading.enumerate())
    ReliablePusher(spool=tmp_path / "spool")
    assert set(threading.enumerate()) <= before
    assert list(tmp_path.iterdir()) == []


def test_close_and_go_on(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """Closing ends both threads and loses nothing, may be repeated, and a later push opens again."""
    bridge.start()
    threads = set(threading.enumerate())
    for n in range(3):
        assert pusher.push(FORM, version=n) is Outcome.ACKNOWLEDGED
        pusher.close()
        pusher.close()
        until(lambda: set(threading.enumerate()) <= threads)
    assert versions(bridge) == [0, 1, 2]


def test_forgotten(address: str, spool: Path, bridge: FakeBridge) -> None:
    """A pusher that nobody has any more ends its threads."""
    bridge.start()
    threads = set(threading.enumerate())
    assert patient(address, spool).push(FORM)
    until(lambda: set(threading.enumerate()) <= threads)


def test_start_drains(address: str, spool: Path, bridge: FakeBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """`start` drains what an earlier process has left, without a push, and as soon as the connection stands."""
    monkeypatch.setattr("formlock_push.keeper.LOOK_IDLE_S", 3_600.0)
    with patient(address, spool) as before:
        assert before.push(FORM, version=1) is Outcome.SPOOLED
    with patient(address, spool) as after:
        after.start()
        until(lambda: after._office._line is not None and after._office._line.up is False)
        bridge.start()
        until(lambda: versions(bridge) == [1])


def test_keys(address: str, spool: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With keys everything is encrypted; with keys that are not the bridge's nothing gets out, and nothing is lost."""
    keys, server_secret = made_keys()
    wrong, _ = made_keys()
    path = tmp_path / "shop.toml"
    path.write_text(
        f'name = "shop"\nserver_public_key = "{keys.server_public_key}"\npublic_key = "{keys.public_key}"\n'
        f'secret_key = "{keys.secret_key}"\nhttp_secret = "s"\n'
    )
    with FakeBridge(address, secret_key=server_secret) as bridge:
        with patient(address, spool, keys=wrong) as pusher:
            assert pusher.push(FORM, version=0) is Outcome.SPOOLED
            assert bridge.seen == 0
        with patient(address, spool, keys=Keys.read(path)) as pusher:
            assert pusher.flush(WITHIN_S)
            assert versions(bridge) == [0]
    assert keys.secret_key not in repr(keys)


def test_keys_refused_for_a_while(address: str, spool: Path) -> None:
    """A bridge that does not know our key yet refuses us for good, as ZeroMQ sees it; once it does, what has waited arrives."""
    keys, server_secret = made_keys()
    with (
        FakeBridge(address, secret_key=server_secret, allowed=set()) as bridge,
        patient(address, spool, keys=keys) as pusher,
    ):
        assert pusher.push(FORM, version=0) is Outcome.SPOOLED
        bridge.allowed = {keys.public_key}
        assert pusher.flush(WITHIN_S)
        assert versions(bridge) == [0]


def test_circuit() -> None:
    """It rests for twice as long after each failure, up to a bound, and one answer in time makes it forget them."""
    circuit = Circuit()
    rests = []
    for _ in range(10):
        circuit.fail(100.0)
        rests.append(circuit.rests_until - 100.0)
        circuit.recover(circuit.rests_until - 0.01)
        assert circuit.down
        circuit.recover(circuit.rests_until)
        assert not circuit.down
    assert rests[:3] == [0.25, 0.5, 1.0]
    assert rests[-1] == MAX_REST_S
    circuit.answered()
    circuit.fail(100.0)
    assert circuit.rests_until == 100.25


def test_circuit_last_resort() -> None:
    """Who has no other way may ask while it is down: once in each rest."""
    circuit = Circuit()
    assert circuit.may_ask(100.0)
    circuit.fail(100.0)
    assert not circuit.may_ask(100.2)
    assert circuit.may_ask(100.3)
    assert not circuit.may_ask(100.31)


def test_hook_interface(pusher: ReliablePusher, bridge: FakeBridge) -> None:
    """It serves as what an ORM's hook sends to."""
    from formlock_push import Update
    from formlock_push.sqlalchemy import Sender

    sender: Sender = pusher
    # Spooled is taken, too.
    assert sender.send(Update(form=FORM)) is True
    bridge.start()
    assert pusher.flush(WITHIN_S)
    until(lambda: sender.send(Update(form=FORM)) and pusher.acknowledged > 0)
    assert bridge.journal[0]["id"]


def test_logged_quietly(pusher: ReliablePusher, caplog: pytest.LogCaptureFixture) -> None:
    """Spooling is what it is made for, and no warning."""
    for _ in range(10):
        assert pusher.push(FORM)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
