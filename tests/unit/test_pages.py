"""How the browser package is served: what may be kept for how long, what is sent compressed, and what an older page gets."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast

import brotli
import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

from formlock.bundle import Folder, accepts, bundle, matches
from formlock.pages import PackageFiles

reactor: Any = _reactor
SCRIPT = b"// what the page loads\n" + b"export const answer = 42;\n" * 200
PART = b"export const part = true;\n" * 40


class Served:
    """The package's folder on a port of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "formlock.js").write_bytes(SCRIPT)
        (folder / "formlock-part.js").write_bytes(PART)
        (folder / "small.txt").write_bytes(b"small")
        self.folder = folder
        root = cast("Any", Resource)()
        root.putChild(b"formlock", PackageFiles(folder))
        self._port = reactor.listenTCP(0, cast("Any", Site)(root), interface="127.0.0.1")

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        def asked() -> tuple[HTTPResponse, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self._port.getHost().port, timeout=10)
            connection.request(
                method, f"/formlock/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            return answer, body

        found: tuple[HTTPResponse, bytes] = await deferToThread(asked)
        return found

    async def version(self) -> str:
        found: str = json.loads((await self.get("manifest.json"))[1])["version"]
        return found

    async def end(self) -> None:
        await self._port.stopListening()


@pytest_twisted.async_yield_fixture
async def served(tmp_path: Path) -> Any:
    site = Served(tmp_path)
    yield site
    await site.end()


@pytest.mark.parametrize(
    ("accepted", "encoding", "read"),
    [
        ("gzip, deflate, br", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("br;q=0, gzip;q=0.5", "gzip", gzip.decompress),
        ("*", "br", brotli.decompress),
        ("identity", None, bytes),
        ("br;q=wrong", None, bytes),
        ("", None, bytes),
    ],
)
@pytest_twisted.ensureDeferred
async def test_compressed(served: Served, accepted: str, encoding: str | None, read: Callable[[bytes], bytes]) -> None:
    """A browser is sent the smallest form that it takes, with its own ETag, and caches are told what it depends on."""
    answer, body = await served.get("formlock.js", accept_encoding=accepted)
    assert (answer.status, answer.headers["content-encoding"], answer.headers["vary"]) == (200, encoding, "accept-encoding")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert int(answer.headers["content-length"]) == len(body)
    assert (len(body) < len(SCRIPT)) is (encoding is not None)
    assert read(body) == SCRIPT
    again, nothing = await served.get("formlock.js", accept_encoding=accepted, if_none_match=answer.headers["etag"])
    assert (again.status, nothing, again.headers["etag"]) == (304, b"", answer.headers["etag"])


@pytest_twisted.ensureDeferred
async def test_what_is_too_small(served: Served) -> None:
    """A file that compression would not make smaller is sent as it is."""
    answer, body = await served.get("small.txt", accept_encoding="br, gzip")
    assert (answer.headers["content-encoding"], body) == (None, b"small")


@pytest_twisted.ensureDeferred
async def test_the_name_that_stays(served: Served) -> None:
    """`formlock.js` is asked for anew each time, and after a build the old one's ETag brings the new one."""
    before, _ = await served.get("formlock.js")
    assert before.headers["cache-control"] == "no-cache"
    (served.folder / "formlock.js").write_bytes(SCRIPT + b"// newer")
    after, body = await served.get("formlock.js", if_none_match=before.headers["etag"])
    assert (after.status, body) == (200, SCRIPT + b"// newer")


@pytest_twisted.ensureDeferred
async def test_the_address_of_one_version(served: Served) -> None:
    """Below its version a file is kept for ever; the manifest names the version, and each file's path and integrity."""
    answer, body = await served.get("manifest.json")
    assert answer.headers["cache-control"] == "no-cache"
    manifest = json.loads(body)
    found = manifest["files"]["formlock-part.js"]
    assert found["path"] == f"{manifest['version']}/formlock-part.js"
    kept, part = await served.get(found["path"])
    assert (part, kept.headers["cache-control"]) == (PART, "public, max-age=31536000, immutable")
    assert found["integrity"].startswith("sha384-")


@pytest_twisted.ensureDeferred
async def test_an_older_page(served: Served) -> None:
    """A page made before the node's update is led to the present files, all by names that stay: no mixture, not for long."""
    before = await served.version()
    (served.folder / "formlock-part.js").write_bytes(PART + b"// newer")
    assert await served.version() != before
    answer, _ = await served.get(f"{before}/formlock.js")
    assert (answer.status, answer.headers["location"], answer.headers["cache-control"]) == (307, "../formlock.js", "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "", "other.js", "0123456789abcdef/other.js", "0123456789abcdef/", "0123456789abcdef", "formlock.js/",
        "0123456789abcdef/formlock.js/x", "..%2fsecret", "%2e%2e/secret", ".hidden", "manifest.json/x",
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_nothing_else(served: Served, path: str) -> None:
    """Only the files of the folder itself: no listing, no way out of it."""
    (served.folder / ".hidden").write_text("hidden")
    (served.folder.parent / "secret").write_text("secret")
    answer, body = await served.get(path)
    assert answer.status == 404
    assert b"secret" not in body


@pytest_twisted.ensureDeferred
async def test_other_origins(served: Served) -> None:
    """A page of any origin may load it, as a module and with `integrity`; nobody may take it for something else than it is."""
    for path in ("formlock.js", f"{await served.version()}/formlock.js", "0123456789abcdef/formlock.js"):
        headers = (await served.get(path))[0].headers
        assert headers["access-control-allow-origin"] == "*"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert headers["x-content-type-options"] == "nosniff"


@pytest_twisted.ensureDeferred
async def test_head(served: Served) -> None:
    """HEAD says what GET would."""
    get, _ = await served.get("formlock.js", accept_encoding="br")
    head, body = await served.get("formlock.js", method="HEAD", accept_encoding="br")
    assert body == b""
    for name in ("content-length", "content-encoding", "etag", "content-type"):
        assert head.headers[name] == get.headers[name]


def test_the_version() -> None:
    """The version is of all files together: another byte or another name in any of them is another version, their order is not."""
    files = {"a.js": b"1", "b.js": b"2"}
    version = bundle(files).version
    assert bundle(dict(reversed(files.items()))).version == version
    for other in ({**files, "b.js": b"3"}, {"a.js": b"1"}, {"a.js": b"1", "c.js": b"2"}, {"a.js": b"2", "b.js": b"1"}):
        assert bundle(other).version != version


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A node whose package is not built yet serves an empty one, and the built one as soon as it is there."""
    folder = Folder(tmp_path / "dist")
    assert not folder.bundle().files
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/formlock.js").write_bytes(SCRIPT)
    assert list(folder.bundle().files) == ["formlock.js"]


def test_accept_encoding() -> None:
    """By RFC 9110, 12.5.3: the name itself before `*`, and a quality of 0 is a no."""
    assert accepts("*;q=0, br", "br")
    assert not accepts("*, br;q=0", "br")
    assert not accepts("*;q=0", "br")
    assert not accepts(None, "br")
    assert accepts("GZIP", "gzip")


def test_if_none_match() -> None:
    """A list, tags that a proxy has made weak, and `*`."""
    assert matches('"a", W/"b"', '"b"')
    assert matches("*", '"b"')
    assert not matches('"a"', '"b"')
    assert not matches(None, '"b"')
