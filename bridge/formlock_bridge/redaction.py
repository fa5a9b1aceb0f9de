"""What somebody may see of an update. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def cut(facts: Mapping[str, Any], redact: Mapping[str, str] | None, allows: Callable[[str], bool]) -> dict[str, Any]:
    """The facts as whoever has the rights that `allows` may see them.

    A field without its right is nowhere in change set and representation, and a fragment of HTML, which may show it anywhere, is
    left out. `redacted` are the rights that are missing, sorted, whether or not their fields have changed: that is a secret too.
    `redact` itself, which names the fields, never leaves.
    """
    left = {name: value for name, value in facts.items() if name != "redact"}
    hidden = {field: right for field, right in (redact or {}).items() if not allows(right)}
    if not hidden:
        return left
    for name in ("change_set", "representation"):
        value = left.get(name)
        if isinstance(value, Mapping):
            left[name] = {field: item for field, item in value.items() if field not in hidden}
        else:
            left.pop(name, None)
    left["redacted"] = sorted(set(hidden.values()))
    return left
