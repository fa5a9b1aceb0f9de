"""What one transaction has done, folded into one change per record. Pure: no database, no clock, no network.

Each savepoint has a ledger of its own, which is added to the one around it when the savepoint is released and thrown away when it is
rolled back. So a change says what happened between two moments, and `fold` joins two that follow each other.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from formlock_push.message import MAX_IDS, UPDATED, Update
from formlock_push.scope import NOBODY, Acting

INSERTED = "inserted"
DELETED = "deleted"

Pairs = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to one record.

    - `status`: "inserted", "updated" or "deleted"
    - `form`: the topic it names; None when it names none
    - `part`: what the record is called within a form that is another record's (`lines.3`); None when the form is its own
    - `pairs`: `{field: (old, new)}`; None when it is not known which fields changed, or from what. A deleted part has them too
    - `version`, `representation`: as in `Update`, after the change; None when not known
    - `acting`: who did it
    """

    status: str
    form: str | None
    part: str | None = None
    pairs: Pairs | None = None
    version: int | str | None = None
    representation: Mapping[str, Any] | str | None = None
    acting: Acting = NOBODY

    @property
    def nothing(self) -> bool:
        """An update that has changed no field."""
        return self.status == UPDATED and self.pairs is not None and not self.pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """What happened to more records of one type than anybody has looked at one by one.

    `form`: `<prefix>.<type>.*`; `status`: as a change's; `count`: how many records
    """

    form: str
    status: str
    count: int
    acting: Acting = NOBODY


def fold(first: Change, then: Change) -> Change | None:
    """Both as one, in this order; None when nothing is left of them. A field keeps its first old value and its last new one."""
    status = _status(first.status, then.status)
    if status is None:
        return None
    # A deletion has no pairs, so what follows it has none either: which fields differ from the old record nobody has looked at. Of a
    # part it has: its fields are the form's.
    pairs = _join(first.pairs, then.pairs) if first.pairs is not None and then.pairs is not None else None
    # A record that no longer names its form (or could not) is told of under the name it had.
    folded = replace(then, status=status, pairs=pairs, form=then.form or first.form)
    return None if folded.nothing else folded


class Ledger:
    """The changes of one transaction or savepoint, one per record, in the order of the first change."""

    def __init__(self) -> None:
        self._changes: dict[Hashable, Change] = {}
        self._many: list[Many] = []

    def add(self, record: Hashable, change: Change) -> None:
        """`record`: whatever names the record within the session."""
        if change.nothing:
            return
        if change.part is not None:
            # One that moves to another form is gone from the first and new in the other.
            record = (record, change.form, change.part)
        self._put(record, change)

    def add_many(self, many: Many) -> None:
        """What happened to so many records that only their number is known."""
        self._many.append(many)

    def add_all(self, other: Ledger) -> None:
        """What a released savepoint has done."""
        for record, change in other._changes.items():
            self._put(record, change)
        self._many.extend(other._many)

    def updates(self, bulk_limit: int | None = None) -> Iterator[Update]:
        """What is to be told after the commit: one update per form (U37); of more forms of one type than the limit, one for the type
        (U36)."""
        forms: dict[str, list[Change]] = {}
        for change in self._changes.values():
            if change.form:
                forms.setdefault(change.form, []).append(change)
        types: dict[str, list[str]] = {}
        for form in forms:
            types.setdefault(type_of(form), []).append(form)
        many: dict[str, list[Many]] = {}
        for one in self._many:
            many.setdefault(one.form, []).append(one)
        for type_, names in types.items():
            if type_ in many:
                continue
            if bulk_limit is not None and len(names) > bulk_limit:
                yield _bulk(type_, names, [change for name in names for change in forms[name]])
                continue
            for name in names:
                yield _update(name, forms[name])
        for type_, several in many.items():
            names = types.get(type_, [])
            yield _bulk(type_, None, [*several, *(change for name in names for change in forms[name])], len(names))

    def _put(self, key: Hashable, change: Change) -> None:
        before = self._changes.get(key)
        folded = change if before is None else fold(before, change)
        if folded is None:
            del self._changes[key]
        else:
            self._changes[key] = folded


def same(first: object, then: object) -> bool:
    """Whether two values are equal; those that can't say so are not."""
    try:
        return first is then or bool(first == then)
    except Exception:  # noqa: BLE001 (an application's own type)
        return False


def kept(value: Any) -> Any:
    """The value as it is at this moment: what the application may still alter in place is copied."""
    if isinstance(value, (dict, list, set, bytearray)):
        try:
            return copy.deepcopy(value)
        except Exception:  # noqa: BLE001 (then it has to do as it is)
            return value
    return value


def _status(first: str, then: str) -> str | None:
    if then == DELETED:
        return None if first == INSERTED else DELETED
    if first == DELETED:
        return UPDATED
    return first


def _join(first: Pairs, then: Pairs) -> Pairs:
    joined = dict(first)
    for field, (old, new) in then.items():
        oldest = joined[field][0] if field in joined else old
        if same(oldest, new):
            joined.pop(field, None)
        else:
            joined[field] = (oldest, new)
    return joined


def type_of(form: str) -> str:
    """`com.example.form.invoice.*` of `com.example.form.invoice.42` and of its sections; of what is no form's topic: itself."""
    return _type_and_id(form)[0]


def _type_and_id(form: str) -> tuple[str, str]:
    parts = form.split(".")
    # Counted from the end: a prefix may have any number of parts, a section is the fourth.
    if parts[-4:-3] == ["form"]:
        return ".".join([*parts[:-2], "*"]), parts[-2]
    if parts[-3:-2] == ["form"]:
        return ".".join([*parts[:-1], "*"]), parts[-1]
    return form, form


def _update(form: str, changes: Sequence[Change]) -> Update:
    """One form's. The changes of its own record decide what happened; parts only add their fields."""
    whole = [change for change in changes if change.part is None]
    # More than one record names this form as its own: that it changed is all that can be said.
    status = whole[0].status if len(whole) == 1 else UPDATED
    acting = changes[-1].acting
    return Update(
        form=form,
        status=status,
        change_set=None if status == DELETED or len(whole) > 1 else _fields(changes),
        version=whole[0].version if len(whole) == 1 else None,
        # Made when its own record was flushed, perhaps before a part was.
        representation=whole[0].representation if len(changes) == len(whole) == 1 else None,
        origin=acting.origin,
        actor=acting.actor,
        source=acting.source,
    )


def _fields(changes: Sequence[Change]) -> Pairs | None:
    """All that changed, a part's fields under its name; None when not all is known."""
    fields: dict[str, tuple[Any, Any]] = {}
    for change in changes:
        if change.pairs is None:
            return None
        for name, pair in change.pairs.items():
            fields[name if change.part is None else f"{change.part}.{name}"] = pair
    return fields


def _bulk(form: str, names: Sequence[str] | None, changes: Sequence[Change | Many], others: int = 0) -> Update:
    """One for a whole type. `names`: all forms, when they are known; `others`: how many are meant beside those of each `Many`."""
    statuses = {change.status for change in changes}
    acted = {(acting.origin, str(acting.actor), acting.source): acting for acting in (change.acting for change in changes)}
    acting = acted.popitem()[1] if len(acted) == 1 else NOBODY
    count = others + sum(change.count for change in changes if isinstance(change, Many))
    # Sections of one record are one record.
    ids = None if names is None else list(dict.fromkeys(_type_and_id(name)[1] for name in names))
    return Update(
        form=form,
        status=statuses.pop() if len(statuses) == 1 else UPDATED,
        count=count if ids is None else len(ids),
        ids=ids if ids is not None and len(ids) <= MAX_IDS else None,
        origin=acting.origin,
        actor=acting.actor,
        source=acting.source,
    )
