"""Who may push, by key and by name; read again whenever the files change, without a restart.

A look every two seconds costs a `stat` per backend. A changed file counts from the second look that finds it the same, so that no
half-written one is read; one that is not right is told once, and what it said before goes on. One that is gone counts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from formlock.clock import Clock, Timer
from formlock_bridge.ways.keys import Backend, KeyFileError, KeyFolder

LOOK_MS = 2_000

# Which file it is, and whether it has been written: (inode, size, time of the last change).
Mark = tuple[int, int, int]


class KeyBook:
    """The backends of a folder. `changed(names)` is told who is let in now, `wrong(why)` each wrong version of a file once."""

    def __init__(self, folder: KeyFolder, changed: Callable[[list[str]], None], wrong: Callable[[str], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._wrong = wrong
        self._timer: Timer | None = None
        self._seen: dict[str, Mark] = {}
        self._used: dict[str, Mark] = {}
        self._by_name: dict[str, Backend] = {}
        self._by_key: dict[str, Backend] = {}
        for name in folder.names():
            mark = _mark(folder.file(name))
            if mark is not None:
                self._seen[name] = mark
                self._take(name, mark)
        self._index()

    def by_name(self, name: str) -> Backend | None:
        """None: there is none of that name (any more)."""
        return self._by_name.get(name)

    def by_key(self, public_key: str) -> Backend | None:
        """None: nobody with that key is let in (any more)."""
        return self._by_key.get(public_key)

    def names(self) -> list[str]:
        """Of all who are let in."""
        return sorted(self._by_name)

    def watch(self, clock: Clock) -> None:
        """Look every two seconds, until `stop`."""
        self._timer = clock.later(LOOK_MS, lambda: self._look_and_go_on(clock))

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Take what has changed, and been left alone since the look before."""
        before, self._seen = self._seen, {}
        was = dict(self._by_name)
        for name in self._folder.names():
            mark = _mark(self._folder.file(name))
            if mark is None:
                continue
            self._seen[name] = mark
            if mark == before.get(name) and mark != self._used.get(name):
                self._take(name, mark)
        for name in self._used.keys() - self._seen.keys():
            del self._used[name]
            self._by_name.pop(name, None)
        if self._by_name != was:
            self._index()
            self._changed(self.names())

    def _take(self, name: str, mark: Mark) -> None:
        self._used[name] = mark
        try:
            self._by_name[name] = self._folder.backend(name)
        except KeyFileError as error:
            self._wrong(str(error))

    def _index(self) -> None:
        self._by_key = {backend.public_key: backend for backend in self._by_name.values()}

    def _look_and_go_on(self, clock: Clock) -> None:
        self.watch(clock)
        self.look()


def _mark(file: Path) -> Mark | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
