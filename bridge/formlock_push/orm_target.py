"""Which sessions are meant: a maker, a class or one session, plain or asynchronous, as what SQLAlchemy's events are heard on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.orm import Session, scoped_session, sessionmaker

if TYPE_CHECKING:
    # Importing these needs greenlet, which an application with plain sessions has no reason to install.
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

    Target = (
        type[Session]
        | Session
        | sessionmaker[Any]
        | scoped_session[Any]
        | type[AsyncSession]
        | AsyncSession
        | async_sessionmaker[Any]
        | async_scoped_session[Any]
    )


def resolve(target: Target) -> type[Session] | Session:
    """The class or session that SQLAlchemy's events are heard on."""
    if isinstance(target, scoped_session):
        return resolve(cast("Any", target.session_factory))
    if isinstance(target, sessionmaker):
        return cast("type[Session]", target.class_)
    if isinstance(target, Session) or (isinstance(target, type) and issubclass(target, Session)):
        return target
    if "sqlalchemy.ext.asyncio" in sys.modules:
        return _resolve_asynchronous(target)
    raise _no_sessions(target)


def _resolve_asynchronous(target: Target) -> type[Session] | Session:
    """As `resolve`, for whoever has loaded SQLAlchemy's asynchronous sessions: only he can have one."""
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

    if isinstance(target, async_scoped_session):
        return resolve(cast("Any", target.session_factory))
    if isinstance(target, async_sessionmaker):
        chosen = target.kw.get("sync_session_class") or target.class_.sync_session_class
        if chosen is Session:
            # Else every session of the process would be meant.
            chosen = type("Session", (Session,), {})
            target.configure(sync_session_class=chosen)
        return cast("type[Session]", chosen)
    if isinstance(target, AsyncSession):
        return target.sync_session
    if isinstance(target, type) and issubclass(target, AsyncSession):
        return target.sync_session_class
    raise _no_sessions(target)


def _no_sessions(target: object) -> TypeError:
    return TypeError(f"{target!r} makes no sessions of SQLAlchemy's ORM.")


def overlap(one: type[Session] | Session, other: type[Session] | Session) -> bool:
    """Whether a session may be heard on both."""
    if isinstance(one, type):
        return issubclass(other, one) or issubclass(one, other) if isinstance(other, type) else isinstance(other, one)
    return one is other if not isinstance(other, type) else isinstance(one, other)
