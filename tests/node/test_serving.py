"""The browser package as the real Crossbar serves it: what is kept for how long, what is sent compressed, what isn't there."""

from __future__ import annotations

import gzip
import http.client
import json
import re

import brotli
import pytest

from tests.support.node import ROOT, Node

pytestmark = pytest.mark.node

ENTRY = (ROOT / "web/formlock/dist/formlock.js").read_bytes()
A_YEAR = "public, max-age=31536000, immutable"
# More would mean that most of a part's text has come uncompressed.
SHARE = 0.5


def get(node: Node, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_entry_is_asked_for_each_time(node: Node) -> None:
    """Page and entry are never kept without a question, and the answer is short when nothing is new."""
    page, _ = get(node, "/")
    assert page.headers["cache-control"] == "no-cache"
    entry, body = get(node, "/formlock/formlock.js")
    assert (entry.headers["cache-control"], entry.headers["content-encoding"], body) == ("no-cache", None, ENTRY)
    again, nothing = get(node, "/formlock/formlock.js", if_none_match=entry.headers["etag"])
    assert (again.status, nothing) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("gzip, deflate, br, zstd", "br"), ("gzip, deflate", "gzip"), ("br;q=0, gzip", "gzip")]
)
def test_the_smallest_form_that_is_taken(node: Node, accepted: str, encoding: str) -> None:
    """Brotli before gzip, as the browser accepts it; a cache between is told that it depends on that."""
    answer, body = get(node, "/formlock/formlock.js", accept_encoding=accepted)
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (encoding, "accept-encoding")
    assert {"br": brotli.decompress, "gzip": gzip.decompress}[encoding](body) == ENTRY
    assert len(body) < SHARE * len(ENTRY)


def test_a_hashed_address_is_kept_for_a_year(node: Node) -> None:
    """Each file that the manifest names, and each part that a file there loads by its relative name, is immutable at its address."""
    manifest = json.loads(get(node, "/formlock/manifest.json")[1])
    assert {"formlock.js", "formlock-face.js"} <= manifest["files"].keys()
    for name, file in manifest["files"].items():
        answer, body = get(node, f"/formlock/{file['path']}", accept_encoding="br")
        assert (answer.status, answer.headers["cache-control"]) == (200, A_YEAR), name
        text = brotli.decompress(body) if answer.headers["content-encoding"] == "br" else body
        loads = set(re.findall(r"""["']\./(formlock[\w-]*\.js)["']""", text.decode()))
        assert loads <= manifest["files"].keys(), f"{name} loads what is not there"


@pytest.mark.parametrize("path", ["{version}/formlock-other.js", "{version}/", "{version}", "0123456789abcdef/other.js", "other.js"])
def test_what_is_not_there(node: Node, path: str) -> None:
    """404, and nothing that a cache would keep for a year."""
    version = json.loads(get(node, "/formlock/manifest.json")[1])["version"]
    answer, _ = get(node, f"/formlock/{path.format(version=version)}", accept_encoding="br")
    assert (answer.status, answer.headers["cache-control"]) == (404, None)


def test_an_address_of_before(node: Node) -> None:
    """A page that was made before an update is led to the present file, and doesn't keep that."""
    answer, _ = get(node, "/formlock/0123456789abcdef/formlock.js")
    assert (answer.status, answer.headers["location"], answer.headers["cache-control"]) == (307, "../formlock.js", "no-store")
