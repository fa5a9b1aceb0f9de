"""What the environment says, with the defaults of a developer's machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Paths are relative to the working directory, as is the file of a `sqlite:///` address.

    - `database`: an address as SQLAlchemy takes it
    - `push`: where the bridge of Form lock listens
    - `http`: where the node serves the browser package, and locks for pages without JavaScript
    - `http_key`: the file with the key for that; the node makes it, too
    - `receipt_key`: the file with the key of the node's receipts; the node makes it at its first start
    - `trusted_hosts`: the names that this application is reached by; any other is refused (DNS rebinding)
    - `watch_parent`: end when the process that started this one is gone
    """

    host: str = "127.0.0.1"
    port: int = 8081
    database: str = "sqlite:///.crossbar/invoices.sqlite"
    push: str = "tcp://127.0.0.1:5555"
    http: str = "http://127.0.0.1:8080/formlock/"
    http_key: Path = Path(".crossbar/credentials/http")
    receipt_key: Path = Path(".crossbar/credentials/receipts")
    trusted_hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    watch_parent: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """INVOICES_HOST, _PORT, _DATABASE, _TRUSTED_HOSTS (with commas), _PARENT=watch; FORMLOCK_PUSH, _HTTP, _HTTP_KEY_FILE and
        _RECEIPT_KEY_FILE.

        A port that is no number raises ValueError.
        """
        default = cls()
        hosts = environment.get("INVOICES_TRUSTED_HOSTS")
        return cls(
            host=environment.get("INVOICES_HOST", default.host),
            port=int(environment.get("INVOICES_PORT", default.port)),
            database=environment.get("INVOICES_DATABASE", default.database),
            push=environment.get("FORMLOCK_PUSH", default.push),
            http=environment.get("FORMLOCK_HTTP", default.http),
            http_key=Path(environment.get("FORMLOCK_HTTP_KEY_FILE", default.http_key)),
            receipt_key=Path(environment.get("FORMLOCK_RECEIPT_KEY_FILE", default.receipt_key)),
            trusted_hosts=tuple(hosts.split(",")) if hosts else default.trusted_hosts,
            watch_parent=environment.get("INVOICES_PARENT") == "watch",
        )
