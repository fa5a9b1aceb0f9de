"""The policy file on disk: read at the start, and again whenever it changes, without a restart.

A look costs one `stat`. A changed file counts from the second look that finds it the same, so that no half-written one is read; a
wrong one is told once, and the policies of before go on. What leases were promised under them stays: their times are absolute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from formlock.clock import Clock, Timer
from formlock.model import FormId
from formlock.policies import MAX_FILE_BYTES, PolicyBook, PolicyError, parse
from formlock.policy import Policy

LOOK_MS = 2_000

# Which file it is, and whether it has been written: (inode, size, time of the last change). None: it is not there.
Mark = tuple[int, int, int] | None


class PolicyFile:
    """See policies.Policies. `changed(book)` is told a new book, `wrong(why)` each wrong version once."""

    def __init__(self, path: Path, base: Policy, changed: Callable[[PolicyBook], None], wrong: Callable[[str], None]) -> None:
        """PolicyError when the file can't be used now: nothing starts with a policy that nobody wanted."""
        self._path = path
        self._base = base
        self._changed = changed
        self._wrong = wrong
        self._timer: Timer | None = None
        # Before reading: what is written meanwhile is noticed by the next look.
        self._used = self._seen = _mark(path)
        self._book = read(path, base)

    def of(self, form: FormId) -> Policy:
        """The policy of a form, by the last right version of the file."""
        return self._book.of(form)

    def watch(self, clock: Clock) -> None:
        """Look every two seconds, until `stop`."""
        self._timer = clock.later(LOOK_MS, lambda: self._look_and_go_on(clock))

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Read the file if it has changed, and has been left alone since the look before."""
        mark, before = _mark(self._path), self._seen
        self._seen = mark
        if mark == self._used or mark != before:
            return
        self._used = mark
        try:
            book = read(self._path, self._base)
        except PolicyError as error:
            self._wrong(str(error))
            return
        if book != self._book:
            self._book = book
            self._changed(book)

    def _look_and_go_on(self, clock: Clock) -> None:
        self.watch(clock)
        self.look()


def base_of(extra: Mapping[str, Any]) -> Policy:
    """What a component's configuration says (`policy`) for all that its file leaves out; ValueError when that can't be."""
    given = extra.get("policy", {})
    try:
        return Policy(**given)
    except TypeError:
        known = ", ".join(Policy.__struct_fields__)
        raise ValueError(f"policy: {given!r} is not made of whole milliseconds by the names {known}") from None


def policies(extra: Mapping[str, Any], changed: Callable[[PolicyBook], None], wrong: Callable[[str], None]) -> Policy | PolicyFile:
    """A component's policies: `policy_file` (relative to its folder, `cbdir`), else one for all forms. ValueError as above, and
    when the file is wrong."""
    base, name = base_of(extra), extra.get("policy_file")
    if name is None:
        return base
    return PolicyFile(Path(extra.get("cbdir", ".")) / name, base, changed, wrong)


def read(path: Path, base: Policy) -> PolicyBook:
    """The file's policies; PolicyError says why not."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise PolicyError(f"{path}: a policy file has at most {MAX_FILE_BYTES} bytes")
        return parse(content.decode("utf-8"), str(path), base)
    except OSError as error:
        raise PolicyError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyError(f"{path}: is not UTF-8") from None


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
