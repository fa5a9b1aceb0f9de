"""How deep JSON is nested, found without parsing it: what parses it recurses, and a bomb of brackets must not come that far."""

from __future__ import annotations

import re

# Of a payload. A whole WAMP message has a few levels of its own around it.
MAX_DEPTH = 32
MAX_MESSAGE_DEPTH = MAX_DEPTH + 4

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def deeper_than(limit: int, text: bytes) -> bool:
    """Whether arrays and objects are nested deeper than the limit; brackets within texts don't count."""
    # Most messages are decided here, by two counts in C.
    if text.count(b"[") + text.count(b"{") <= limit:
        return False
    depth = 0
    for token in _TOKENS.finditer(text):
        match token.group()[0]:
            case 0x5B | 0x7B:
                depth += 1
                if depth > limit:
                    return True
            case 0x5D | 0x7D:
                depth -= 1
    return False
