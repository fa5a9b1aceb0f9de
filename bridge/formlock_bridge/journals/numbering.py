"""Which number each arrival gets, and what of a page is complete: the same in every journal. Pure.

A number of a form is one more than the one before, whatever else happens. A form that has been forgotten, or was never heard of,
goes on from the floor, the highest number of all forms forgotten: it may be one of them, and no number falls.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from hashlib import blake2b

from formlock_bridge.journals import Arrival, Entry, Known, Page

# Of a name's digest. Half of all pairs of 2**64 names would have to meet before two are taken for one by chance.
KEY_BYTES = 16


def key(arrival: Arrival) -> bytes | None:
    """What its duplicates have too: short, whatever its names are. None: it has no id.

    The form is part of it: what is sent again is for the same form, and a backend that counts its ids form by form loses nothing.
    """
    if not arrival.id:
        return None
    # A form has no space, and the length in front: no two of these are one text.
    named = f"{arrival.form} {len(arrival.source)} {arrival.source}{arrival.id}"
    return blake2b(named.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def number(
    arrivals: Sequence[Arrival], keys: Sequence[bytes | None], last: MutableMapping[str, int], known: MutableMapping[bytes, Known]
) -> list[Entry | Known]:
    """In their order. `last` has the last number of each of their forms, `known` those of their keys that have come before; both are
    brought up to date, so that the second of two in one batch is a duplicate too."""
    outcomes: list[Entry | Known] = []
    for arrival, name in zip(arrivals, keys, strict=True):
        if name is not None:
            before = known.get(name)
            if before is not None:
                outcomes.append(before)
                continue
        seq = last[arrival.form] = last[arrival.form] + 1
        outcomes.append(Entry(arrival.form, seq, arrival.at, arrival.message, arrival.id))
        if name is not None:
            known[name] = Known(arrival.form, seq)
    return outcomes


def page(last: int, since: int | None, oldest_first: Iterable[Entry], max_bytes: int) -> Page:
    """Of the form's entries after `since`, which are given, as many as fit; `last` is its newest number. One always fits, so that
    whoever asks for page after page comes to an end. Reads no more of them than it needs."""
    if since is None or since == last:
        return Page(last, complete=True, entries=())
    if since > last:
        return Page(last, complete=False, entries=())
    entries: list[Entry] = []
    room = max_bytes
    for entry in oldest_first:
        room -= len(entry.message)
        if entries and room < 0:
            break
        entries.append(entry)
    return Page(last, complete=bool(entries) and entries[0].seq == since + 1, entries=tuple(entries))
