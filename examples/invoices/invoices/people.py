"""Who uses the application. A real one has a login; here the user is part of the path, so that two may stand side by side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """`user` is the stable id that Form lock knows, `name` what others read."""

    user: str
    name: str

    @property
    def actor(self) -> dict[str, str]:
        """As the hook is told who does something."""
        return {"user": self.user, "name": self.name}


PEOPLE = {person.user: person for person in (Person("ann", "Ann Weber"), Person("bob", "Bob Novak"), Person("eva", "Eva Lind"))}
