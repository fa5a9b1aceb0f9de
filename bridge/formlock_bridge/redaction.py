"""What somebody may see of an update. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def cut(facts: Mapping[str, Any], redact: Mapping[str, str] | None, allows: Callable[[str], bool]) -> dict[str, Any]:
    """The facts without the fields whose rights are not allowed, and `redacted` with these rights, when there are any."""
    hidden = {field: right for field, right in (redact or {}).items() if not allows(right)}
    left = dict(facts)
    if not hidden:
        return left
    for name in ("change_set", "representation"):
        value = left.get(name)
        if isinstance(value, Mapping):
            left[name] = {field: item for field, item in value.items() if field not in hidden}
    if isinstance(left.get("representation"), str):
        del left["representation"]
    left["redacted"] = sorted(set(hidden.values()))
    return left
