"""The checker of deliveries: what is right is accepted, and each way of losing, doubling or mixing up is found and explained."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.delivered import Heard, Journal, Kept, Sent, read_heard, read_sent, written
from tests.faults.delivery_checker import check

EPOCH = "e"
MESSAGES = 30
# Two senders take turns at two forms; what each says is: my number of before, my number now.
ROWS = tuple(
    Kept(form, nth + 1, f"s{nth % 2}", nth // 2, nth // 2 + 1) for nth in range(MESSAGES) for form in (0, 1)
)  # fmt: skip
SENT = [Sent(row.sender, row.form, row.number, "acknowledged", row.seq, EPOCH) for row in ROWS]
FOLLOWS = {0: (0, 1), 1: (0,)}


def event(row: Kept, who: int = 0) -> Heard:
    return Heard(who, "event", row.form, row.seq, row.seq, row.sender, row.before, row.number)


def kept(row: Kept, who: int = 0) -> Heard:
    return event(row, who)._replace(kind="kept")


def answered(form: int, since: int, seq: int, who: int = 0) -> Heard:
    return Heard(who, "answered", form, since, seq)


def of(form: int) -> list[Kept]:
    return [row for row in ROWS if row.form == form]


def heard() -> list[Heard]:
    """Everything, told as it came, to both."""
    told = [Heard(0, "began"), answered(0, 0, 0), answered(1, 0, 0), Heard(1, "began"), answered(0, 0, 0, who=1)]
    for row in ROWS:
        told += [event(row, who) for who, forms in FOLLOWS.items() if row.form in forms]
    return told


def faults(
    *,
    sent: list[Sent] | None = None,
    rows: tuple[Kept, ...] = ROWS,
    told: list[Heard] | None = None,
    restarts: int = 0,
    untold: int = 0,
    parked: int = 0,
) -> list[str]:
    journal = Journal(EPOCH, rows, untold, parked)
    return check(SENT if sent is None else sent, journal, heard() if told is None else told, FOLLOWS, restarts).faults


def kinds(found: list[str]) -> set[str]:
    return {fault.partition(":")[0] for fault in found}


def test_all_is_well() -> None:
    """Everything promised, kept and told once in order: no fault, and the figures say how much it was."""
    verdict = check(SENT, Journal(EPOCH, ROWS, 0, 0), heard(), FOLLOWS, 0)
    assert verdict.faults == []
    assert (verdict.figures["sent"], verdict.figures["kept"], verdict.figures["applied"]) == (60, 60, 90)


def test_catching_up() -> None:
    """A line is lost; what was missed comes in an answer, what was told before the answer waits for it, the overlap is dropped."""
    rows = of(0)
    told = [one for one in heard() if one.subscriber == 1 or one.form == 1]
    told += [answered(0, 0, 0), *map(event, rows[:10]), Heard(0, "began"), answered(1, MESSAGES, MESSAGES)]
    told += [event(rows[20]), *map(kept, rows[10:21]), answered(0, 10, 21), *map(event, rows[21:])]
    assert faults(told=told) == []


def test_ends_while_it_comes_back() -> None:
    """Who has everything when the run ends may be on a new line that has not been answered; who lacks something may not."""
    told = heard()
    assert faults(told=[*told, Heard(0, "began"), event(of(1)[-1])]) == []
    told.remove(event(of(1)[-1]))
    # Told, but behind an answer that has not come.
    assert kinds(faults(told=[*told, Heard(0, "began"), event(of(1)[-1])])) == {"not heard"}


def test_repeated_after_a_restart() -> None:
    """What the bridge had told and not marked comes again: once for each restart, and never without one."""
    told = heard()
    rows = of(1)
    again = [*told, *map(event, rows[-3:])]
    assert faults(told=again, restarts=1) == []
    assert kinds(faults(told=again)) == {"out of order"}
    assert kinds(faults(told=[*again, event(rows[-2])], restarts=1)) == {"out of order"}


def test_unknown_and_spooled() -> None:
    """What was not answered may be kept or not; what went to the spool has to be, without its number being known."""
    unknown, spooled = SENT[0]._replace(outcome="unknown", seq=0), SENT[1]._replace(outcome="spooled", seq=0)
    assert faults(sent=[unknown, spooled, *SENT[2:], Sent("s9", 0, 1, "unknown")]) == []
    assert kinds(faults(sent=[*SENT, Sent("s9", 0, 1, "spooled")])) == {"lost"}


def test_lost_by_the_journal() -> None:
    """Acknowledged and not kept: the fault names form, sender and number, and the hole in the numbers is another."""
    found = faults(rows=tuple(row for row in ROWS if row != ROWS[21]))
    assert "lost: form 1: s0's 6 was acknowledged and is not kept" in found
    assert "numbering: form 1 has 12 where 11 should be" in found


def test_kept_wrongly() -> None:
    """Twice, under another number than was told, by nobody, behind what was sent later, refused, given up, or not marked."""
    last = ROWS[-1]
    assert "doubled" in kinds(faults(rows=(*ROWS, last._replace(seq=last.seq + 1))))
    assert kinds(faults(sent=[SENT[0]._replace(seq=2), *SENT[1:]])) == {"told wrong"}
    assert kinds(faults(sent=[SENT[0]._replace(epoch="f"), *SENT[1:]])) == {"told wrong"}
    assert kinds(faults(sent=SENT[1:])) == {"invented"}
    assert kinds(faults(sent=[*SENT, Sent("s9", 0, 1, "refused")])) == {"refused"}
    assert kinds(faults(untold=1)) == {"untold"}
    assert kinds(faults(parked=1)) == {"parked"}
    # s0's third and fourth message of form 0 change places.
    third, fourth = ROWS[8], ROWS[12]
    mixed = [*ROWS]
    mixed[8] = third._replace(before=fourth.before, number=fourth.number)
    mixed[12] = fourth._replace(before=third.before, number=third.number)
    assert "order: form 0: s0's 3 is behind its 4, as 7" in faults(rows=tuple(mixed))


def test_not_told() -> None:
    """One event left out: on the line it is a number skipped, at the end it is what the subscriber does not know."""
    told = heard()
    told.remove(event(of(1)[9]))
    found = faults(told=told)
    assert "skipped: subscriber 0, form 1: 11 to 11 came behind 9" in found
    assert "not heard: subscriber 0, form 1: knows 9 of 30" in found
    told = heard()
    told.remove(event(of(0)[-1], who=1))
    assert faults(told=told) == ["not heard: subscriber 1, form 0: knows 29 of 30"]


def test_told_out_of_order() -> None:
    """Two events change places: an overtaking is a number skipped, and one that comes late."""
    told = heard()
    one, other = told.index(event(of(0)[4], who=1)), told.index(event(of(0)[5], who=1))
    told[one], told[other] = told[other], told[one]
    assert {"skipped", "out of order"} <= kinds(faults(told=told))


def test_told_twice() -> None:
    """The same number twice on one line, without a restart."""
    told = heard()
    told.insert(told.index(event(of(0)[4])), event(of(0)[4]))
    assert kinds(faults(told=told)) == {"out of order"}


def test_told_another() -> None:
    """A number that comes with another message than the journal has there, in an event or an answer; and one that nobody gave."""
    row = of(1)[3]
    told = heard()
    told[told.index(event(row))] = event(row)._replace(number=99)
    assert kinds(faults(told=told)) == {"another"}
    assert kinds(faults(told=[*heard(), kept(row)._replace(sender="s9")])) == {"another"}
    assert "unknown number" in kinds(faults(told=[*heard(), event(row)._replace(first=31, seq=31)]))


def test_answers_that_leave_out() -> None:
    """An answer that says that some are missing, and one that is shorter than its newest number."""
    told = [one for one in heard() if one.kind != "event"]
    told += [*map(event, of(1)), *(event(row, 1) for row in of(0))]
    rows = of(0)
    assert "short" in kinds(faults(told=[*told, *map(kept, rows[:-1]), answered(0, 0, MESSAGES)]))
    assert "cut" in kinds(faults(told=[*told, *map(kept, rows), Heard(0, "cut", 0, 0, MESSAGES), answered(0, 0, MESSAGES)]))


def folded(rows: list[Kept], who: int = 0) -> Heard:
    """One event for them all, as it should be."""
    first, last = rows[0], rows[-1]
    return event(last, who)._replace(first=first.seq, before=first.before)


def test_folded() -> None:
    """Events that stand for several are right when they tell from where the first began, overlap or not; else they are not."""
    # One sender only, so that all may be folded.
    rows = [Kept(0, nth + 1, "s0", nth, nth + 1) for nth in range(MESSAGES)]
    sent = [Sent(row.sender, row.form, row.number, "acknowledged") for row in rows]
    begun = [Heard(0, "began"), answered(0, 0, 0)]

    def found(*told: Heard, restarts: int = 0) -> set[str]:
        journal = Journal(EPOCH, tuple(rows), 0, 0)
        return kinds(check(sent, journal, [*begun, *told], {0: (0,)}, restarts).faults)

    assert found(event(rows[0]), folded(rows[1:20]), folded(rows[20:])) == set()
    assert found(event(rows[0]), folded(rows[1:20]), folded(rows[10:]), restarts=1) == set()
    assert found(event(rows[0]), folded(rows[1:20]), folded(rows[21:])) == {"skipped", "gap", "not heard"}
    assert found(event(rows[0]), folded(rows[1:20])._replace(before=5), folded(rows[20:])) == {"another"}


PLANTS: dict[str, Callable[[list[Heard], int], None]] = {
    "loss": lambda told, at: told.pop(at) and None,
    "doubling": lambda told, at: told.insert(at, told[at]),
    "another's": lambda told, at: told.__setitem__(at, told[at]._replace(number=told[at].number + 1)),
}


@pytest.mark.parametrize("what", PLANTS)
def test_planted_anywhere(what: str) -> None:
    """Whichever of the events it is, one loss, doubling or change is found."""
    chance = random.Random(what)
    for _ in range(50):
        told = heard()
        PLANTS[what](told, chance.choice([at for at, one in enumerate(told) if one.kind == "event"]))
        assert faults(told=told), what


def test_lines(tmp_path: Path) -> None:
    """Both records are read as they were written."""
    (tmp_path / "sent").write_text(written([*SENT, Sent("s9", 0, 1, "spooled")]))
    assert list(read_sent(tmp_path / "sent")) == [*SENT, Sent("s9", 0, 1, "spooled")]
    (tmp_path / "heard").write_text(written(heard()))
    assert list(read_heard(tmp_path / "heard")) == heard()
