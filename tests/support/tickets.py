"""A router that lets pages in by ticket only, as production does: the folder's file `ticket` says which one is good."""

from __future__ import annotations

from typing import Any

from formlock.auth import BROWSER_ROLE, COMPONENTS, AuthComponent
from formlock.claims import development
from formlock.wamp import Call, Denied
from tests.support.node import ROOT


class TicketAuth(AuthComponent):
    """Whoever brings the good ticket is who the `authid` says."""

    async def _authenticate(self, call: Call) -> dict[str, Any]:
        realm, authid, details = call.args
        if authid in COMPONENTS:
            return await super()._authenticate(call)
        if details.get("ticket") != self.folder("ticket").read_text():
            raise Denied("an old ticket")
        return {
            "realm": realm,
            "authid": authid,
            "role": BROWSER_ROLE,
            "extra": development({"user": authid, "name": authid.title()}, guest="").to_extra(),
        }


def by_ticket(config: dict[str, Any]) -> None:
    """The change that makes a node such a router."""
    router = config["workers"][0]
    router["options"]["pythonpath"].append(str(ROOT))
    for component in router["components"]:
        if component["id"] == "auth":
            component["classname"] = "tests.support.tickets.TicketAuth"
    router["transports"][0]["paths"]["ws"]["auth"] = {
        "ticket": {"type": "dynamic", "authenticator": "com.example.formlock.authenticate"}
    }
