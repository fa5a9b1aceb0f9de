"""Which driver a URL in the configuration names: of the lock store, or of the bridge's journal."""

from __future__ import annotations


def driver_of(url: object, what: str) -> tuple[str, str]:
    """`memory:` or `sqlite:///file` (four slashes for an absolute path): the driver, and its file. ValueError for any other says
    which are known of `what`, so that it can be refused before anything is started."""
    scheme, _, rest = url.partition(":") if isinstance(url, str) else ("", "", "")
    if scheme == "memory" and not rest:
        return scheme, ""
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > len("///"):
        return scheme, rest[len("///") :]
    raise ValueError(f"no {what} is known by {url!r}: use memory: or sqlite:///FILE")
