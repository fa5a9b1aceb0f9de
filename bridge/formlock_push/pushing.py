"""The words in which a backend says what has changed; the pushers have them in common."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from formlock_push.message import MAX_IDS, UPDATED, Update
from formlock_push.names import topic_of_type

Result = TypeVar("Result")


class Pushing(ABC, Generic[Result]):
    """`push` and `bulk` make an update and hand it over; what comes back is the pusher's own answer."""

    @abstractmethod
    def deliver(self, update: Update) -> Result:
        """Hand over an update that exists already, and say what became of it. Never raises."""

    def push(
        self,
        form: str,
        change_set: Mapping[str, Sequence[Any]] | None = None,
        *,
        status: str = UPDATED,
        id: str | None = None,  # noqa: A002 (the message's own word)
        source: str | None = None,
        version: int | str | None = None,
        origin: str | None = None,
        actor: Mapping[str, str] | str | None = None,
        representation: Mapping[str, Any] | str | None = None,
        redact: Mapping[str, str] | None = None,
    ) -> Result:
        """Say that the record behind `form` has changed; see `Update` for the words. Call it after the commit (U35).

        Returns what became of it, within the time-out. Whatever happens, nothing is raised into the caller's request.
        """
        return self.deliver(
            Update(
                form=form,
                change_set=change_set,
                status=status,
                id=id if id is not None else uuid.uuid4().hex,
                source=source,
                version=version,
                origin=origin,
                actor=actor,
                representation=representation,
                redact=redact,
            )
        )

    def bulk(
        self,
        type: str,  # noqa: A002 (the form's own word)
        count: int,
        ids: Sequence[str] | None = None,
        change_set: Mapping[str, Sequence[Any]] | None = None,
        *,
        status: str = UPDATED,
        id: str | None = None,  # noqa: A002
        source: str | None = None,
        origin: str | None = None,
        actor: Mapping[str, str] | str | None = None,
        redact: Mapping[str, str] | None = None,
    ) -> Result:
        """Say that `count` records of a type have changed at once: lists reload, instead of one event for each record (U36).

        `type`: "invoice", or the topic of all of them, `com.example.form.invoice.*`, where the prefix is another one. `ids`:
        which ones, as in topics, 1,000 at most; left out when there are more. `change_set`: what all have in common,
        `{field: [None, new]}`.
        """
        return self.deliver(
            Update(
                form=_of_type(type),
                change_set=change_set,
                status=status,
                id=id if id is not None else uuid.uuid4().hex,
                source=source,
                origin=origin,
                actor=actor,
                redact=redact,
                count=count,
                ids=ids if ids is None or len(ids) <= MAX_IDS else None,
            )
        )


def _of_type(type: str) -> str:  # noqa: A002
    if type.endswith(".*"):
        return type
    try:
        return topic_of_type(type)
    except ValueError:
        return type  # the bridge refuses it, and the log says so
