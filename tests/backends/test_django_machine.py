"""A random walk over Django's transactions: what is told at a commit is what differs in the database, whatever blocks came and went.

Written to the outbox too, at the same time: its rows are exactly what is told.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from formlock_push import Update
from formlock_push.django.hook import install
from formlock_push.django.outbox import Outbox
from tests.backends.django_app.models import Plain
from tests.backends.django_support import databases

NUMBERS = st.integers(1, 3)
VALUES = st.integers(0, 2)
FIELDS = ("a", "b")
PREFIX = "com.example.form.plain."
Row = dict[str, int]
Table = dict[int, Row]


@pytest.fixture(autouse=True, scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with databases(tmp_path_factory.mktemp("walk"), "django_app", "formlock_outbox"):
        yield


class Layer:
    """What has happened since a block began, as a model that is not our own code's: the table itself, and what is not known."""

    def __init__(self, table: Table, unknown: set[int], reborn: set[int]) -> None:
        self.table = copy.deepcopy(table)
        # Changed from or to a value that nobody knows, or deleted and inserted again: that they changed is told, not how.
        self.unknown = set(unknown)
        self.reborn = set(reborn)


class Walk(RuleBasedStateMachine):
    """One connection, a few records, blocks at any depth; the outermost one is left by a commit or a rollback."""

    @initialize(there=st.sets(NUMBERS, min_size=1))
    def begin(self, there: set[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_app_plain")
            cursor.execute("DELETE FROM formlock_outbox")
        self.written: list[Update] = []
        walk = self

        class Both(Outbox):
            def write(self, connection: Any, updates: Any) -> int:
                walk.written.extend(updates)
                return super().write(connection, updates)

        self.hook = install(Both(), jobs=True)
        self.committed: Table = {}
        self.blocks: list[Any] = []
        self.layers = [Layer({}, set(), set())]
        # Objects that live on, as they do in an application: what they have loaded may have been rolled back since.
        self.things: dict[int, Plain] = {}
        self.read_at: dict[int, int] = {}
        self.enter()
        for number in there:
            self.insert(number, 0, 1, again=False)
        self.commit()

    def teardown(self) -> None:
        if not hasattr(self, "hook"):
            return
        self.hook.remove()
        while self.blocks:
            self.leave(undo=True)
        assert self.hook.failed == 0

    @property
    def now(self) -> Layer:
        return self.layers[-1]

    def enter(self) -> None:
        block = transaction.atomic()
        block.__enter__()
        self.blocks.append(block)

    def leave(self, *, undo: bool) -> None:
        error = Exception() if undo else None
        self.blocks.pop().__exit__(type(error) if error else None, error, None)
        for number, depth in list(self.read_at.items()):
            if depth > len(self.blocks):
                # What was read inside a block and rolled back with it was never there.
                if undo:
                    self.things.pop(number, None)
                self.read_at[number] = len(self.blocks)

    def thing(self, number: int, fresh: bool) -> Plain:
        thing = self.things.get(number)
        if fresh or thing is None or thing.pk is None:
            thing = self.things[number] = Plain.objects.get(pk=number)
            self.read_at[number] = len(self.blocks)
        else:
            # Its values are what the row has, whatever was rolled back; what our code knows of it is its own affair.
            thing.a, thing.b = self.now.table[number]["a"], self.now.table[number]["b"]
        return thing

    @rule(number=NUMBERS, a=VALUES, b=VALUES, again=st.booleans())
    def insert(self, number: int, a: int, b: int, again: bool) -> None:
        if number in self.now.table:
            return
        old = self.things.get(number)
        if again and old is not None and old.pk is not None:
            old.a, old.b = a, b
            old.save()
        else:
            self.things[number] = Plain.objects.create(pk=number, a=a, b=b)
            self.read_at[number] = 0
        self.now.table[number] = {"a": a, "b": b}
        if number in self.committed or any(number in layer.table for layer in self.layers[:-1]):
            self.now.reborn.add(number)

    @rule(number=NUMBERS, field=st.sampled_from(FIELDS), value=VALUES, only=st.booleans(), fresh=st.booleans())
    def change(self, number: int, field: str, value: int, only: bool, fresh: bool) -> None:
        if number not in self.now.table:
            return
        thing = self.thing(number, fresh)
        setattr(thing, field, value)
        thing.save(update_fields=[field] if only else None)
        self.now.table[number][field] = value

    @rule(number=NUMBERS, field=st.sampled_from(FIELDS), value=VALUES, again=st.booleans())
    def change_in_vain(self, number: int, field: str, value: int, again: bool) -> None:
        """By an object that lives on: when the same is saved again, it is a change after all."""
        if number not in self.now.table:
            return
        thing = self.thing(number, fresh=False)
        self.enter()
        setattr(thing, field, value)
        thing.save()
        self.leave(undo=True)
        if again:
            thing.save()
            self.now.table[number][field] = value

    @rule(number=NUMBERS, field=st.sampled_from(FIELDS))
    def compute(self, number: int, field: str) -> None:
        if number not in self.now.table:
            return
        thing = Plain.objects.get(pk=number)
        setattr(thing, field, F(field) + 1)
        thing.save()
        self.now.table[number][field] += 1
        self.now.unknown.add(number)
        # Another object has not seen it: what that one tells starts from what it has loaded.
        self.things.pop(number, None)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if number not in self.now.table:
            return
        self.thing(number, fresh=False).delete()
        del self.now.table[number]
        self.now.unknown.discard(number)

    @rule(value=VALUES, to=VALUES)
    def bulk_update(self, value: int, to: int) -> None:
        Plain.objects.filter(a=value).update(b=to)
        for row in self.now.table.values():
            if row["a"] == value:
                row["b"] = to
        self.things.clear()

    @rule(value=st.just(2))
    def bulk_delete(self, value: int) -> None:
        Plain.objects.filter(b=value).delete()
        for number in [number for number, row in self.now.table.items() if row["b"] == value]:
            del self.now.table[number]
            self.now.unknown.discard(number)
        self.things.clear()

    @precondition(lambda self: len(self.blocks) < 5)
    @rule()
    def block(self) -> None:
        self.enter()
        self.layers.append(Layer(self.now.table, self.now.unknown, self.now.reborn))

    @precondition(lambda self: len(self.blocks) > 1)
    @rule()
    def release(self) -> None:
        self.leave(undo=False)
        self.layers[-2:] = [self.layers[-1]]

    @precondition(lambda self: len(self.blocks) > 1)
    @rule()
    def roll_back_block(self) -> None:
        self.leave(undo=True)
        del self.layers[-1]

    @rule()
    def roll_back_all(self) -> None:
        while self.blocks:
            self.leave(undo=True)
        self.layers = [Layer(self.committed, set(), set())]
        assert self.written == []
        self.enter()

    @precondition(lambda self: len(self.blocks) == 1)
    @rule()
    def commit(self) -> None:
        assert self.written == []
        self.leave(undo=False)
        before, after, last = self.committed, self.now.table, self.now
        rows = Plain.objects.values_list("pk", "a", "b")
        assert {pk: {"a": a, "b": b} for pk, a, b in rows} == after, "the model is wrong"
        self.check_outbox()
        told = {int(update.form.removeprefix(PREFIX)): update for update in self.written}
        assert len(told) == len(self.written), "a form was told twice"
        for number in range(1, 4):
            self.check(number, before.get(number), after.get(number), told.pop(number, None), last)
        assert not told
        self.written.clear()
        self.committed = copy.deepcopy(after)
        self.layers = [Layer(after, set(), set())]
        self.enter()

    def check(self, number: int, old: Row | None, new: Row | None, update: Update | None, last: Layer) -> None:
        blurred = number in last.unknown or number in last.reborn
        if old is None and new is None:
            assert update is None, "told of what never was"
        elif new is None:
            assert update is not None
            assert (update.status, update.change_set) == ("deleted", None)
        elif old is None:
            assert update is not None
            assert update.status == "inserted"
            if not blurred:
                assert update.change_set == {"id": (None, number), **{field: (None, new[field]) for field in FIELDS}}
        else:
            pairs = {field: (old[field], new[field]) for field in FIELDS if old[field] != new[field]}
            if blurred:
                assert update is not None
                assert (update.status, update.change_set) == ("updated", None)
            elif pairs:
                assert update is not None
                assert (update.status, update.change_set) == ("updated", pairs)
            else:
                assert update is None, "told of no change"

    def check_outbox(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT message_id, form, message FROM formlock_outbox ORDER BY id")
            rows = cursor.fetchall()
            cursor.execute("DELETE FROM formlock_outbox")
        assert [(row[0], row[1]) for row in rows] == [(update.id, update.form) for update in self.written]
        assert [json.loads(row[2])["status"] for row in rows] == [update.status for update in self.written]


Walk.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase
