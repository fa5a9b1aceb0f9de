"""The `formlock` command: exit codes, sentences, the environment, and how little it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from formlock import worker as worker_module
from formlock.cli import main
from tests.support.node import ROOT, free_port

# Three tests look at what a fresh interpreter does.
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'components'}:{ROOT / 'bridge'}"}


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that answers every request so; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/readyz"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


READY = b'{"ready": true, "locks": true, "bridge": true}'
NO_BRIDGE = b'{"ready": false, "locks": true, "bridge": false}'
STARTING = b'{"ready": false}'


@pytest.mark.parametrize(
    ("said", "parts", "code", "output"),
    [
        ((200, READY), [], 0, "The node answers."),
        ((200, READY), ["bridge"], 0, "bridge answers."),
        ((503, NO_BRIDGE), [], 1, "bridge does not answer: wait if it has just been started, else look at its log."),
        ((503, NO_BRIDGE), ["bridge"], 1, "bridge does not answer"),
        ((503, NO_BRIDGE), ["locks"], 0, "locks answers."),
        ((503, NO_BRIDGE), ["router"], 0, "router answers."),
        ((503, b'{"ready": false, "locks": false, "bridge": false}'), [], 1, "locks and bridge do not answer"),
        ((503, b'{"ready": false, "locks": false, "bridge": false}'), ["router"], 0, "router answers."),
        ((503, STARTING), ["router"], 1, "router does not answer"),
        ((503, STARTING), ["locks"], 1, "locks does not answer"),
        ((200, b'{"ready": true}'), ["router"], 0, "router answers."),
        ((200, b'{"ready": true, "locks": true}'), ["bridge"], 1, "This router does not ask for bridge"),
        ((404, b"<h1>nothing</h1>"), [], 3, "is not Form lock's router: give the address of its /readyz"),
        ((200, b"[1]"), ["locks"], 3, "is not Form lock's router"),
        ((200, b'{"status": "UP"}'), ["router"], 3, "is not Form lock's router"),
    ],
)
def test_check(said: tuple[int, bytes], parts: list[str], code: int, output: str) -> None:
    """0 when it answers, 1 when it does not, 3 when somebody else does; and one line that says so."""
    with answering(*said) as url:
        result = run("check", *parts, "--url", url)
    assert (result.exit_code, output in result.output) == (code, True), result.output
    assert result.output.count("\n") == 1


def test_check_says_when_nobody_is_there() -> None:
    """3, with the reason and what to look at; also for an address that can't be one."""
    result = run("check", "router", "--url", f"http://127.0.0.1:{free_port()}/readyz")
    assert result.exit_code == 3
    assert "(Connection refused): is the router running, and is this its address?" in result.output
    assert run("check", "--url", "http://127.0.0.1:port/").exit_code == 3


def test_check_opens_no_files() -> None:
    """An address that is not HTTP is wrong use, not a file to read."""
    result = run("check", "--url", "file:///etc/hostname")
    assert (result.exit_code, result.output) == (2, "--url must begin with http:// or https://, not file:///etc/hostname.\n")


def test_check_for_machines() -> None:
    """`--json` prints what was found, whatever it was, with the same exit codes."""
    with answering(503, NO_BRIDGE) as url:
        result = run("check", "bridge", "--json", "--url", url)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "reached": True,
        "ready": False,
        "parts": {"router": True, "locks": True, "bridge": False},
    }
    away = run("check", "--json", "--url", f"http://127.0.0.1:{free_port()}/")
    assert (away.exit_code, json.loads(away.stdout)) == (3, {"reached": False, "ready": False, "parts": {}})


def test_check_by_the_environment() -> None:
    """A container's health check gets its address from FORMLOCK_URL, and no proxy comes in between."""
    with answering(200, READY) as url:
        nowhere = f"http://127.0.0.1:{free_port()}"
        assert run("check", "locks", FORMLOCK_URL=url, http_proxy=nowhere, HTTP_PROXY=nowhere).exit_code == 0


# -- worker

Started = list[tuple[str, str, dict[str, Any], str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have been run."""
    calls: Started = []
    monkeypatch.setattr(worker_module, "run", lambda *arguments: calls.append(arguments))
    return calls


def test_a_worker_by_its_options(started: Started, tmp_path: Path) -> None:
    """Options become the component's configuration; `--extra` has the last word, except about the folder."""
    folder = str(tmp_path)
    extra = '{"policy": {"ttl_ms": 1}, "store": "memory:", "cbdir": "/elsewhere"}'
    result = run("worker", "locks", "--router", "unix:r.sock", "--folder", folder, "--extra", extra, "--loglevel", "debug")
    assert result.exit_code == 0, result.output
    configuration = {"store": "memory:", "credentials": "credentials", "policy": {"ttl_ms": 1}, "cbdir": folder}
    assert started == [("locks", "unix:r.sock", configuration, "debug")]


def test_a_worker_by_the_environment(started: Started, tmp_path: Path) -> None:
    """Every option of a worker can come from the environment."""
    environment = {
        "FORMLOCK_ROUTER": "ws://router:9000/",
        "FORMLOCK_FOLDER": str(tmp_path),
        "FORMLOCK_CREDENTIALS": "/credentials",
        "FORMLOCK_STORE": "sqlite:///other.sqlite",
        "FORMLOCK_PULL": "tcp://0.0.0.0:7777",
        "FORMLOCK_JOURNAL": "memory:",
        "FORMLOCK_ACKNOWLEDGED": "curve://0.0.0.0:7778",
        "FORMLOCK_HTTP": "off",
        "FORMLOCK_KEYS": "/keys",
        "FORMLOCK_TRUST_NETWORK": "1",
        "FORMLOCK_LOGLEVEL": "warn",
        "FORMLOCK_EXTRA": '{"prefix": "org.example"}',
    }
    for name in ("locks", "bridge"):
        result = run("worker", name, **environment)
        assert result.exit_code == 0, result.output
    common = {"credentials": "/credentials", "prefix": "org.example", "cbdir": str(tmp_path)}
    ways = {"pull": "tcp://0.0.0.0:7777", "acknowledged": "curve://0.0.0.0:7778", "http": "off"}
    ways |= {"push_keys": "/keys", "trusted_network": True}
    assert started == [
        ("locks", "ws://router:9000/", {"store": "sqlite:///other.sqlite", **common}, "warn"),
        ("bridge", "ws://router:9000/", {**ways, "journal": "memory:", **common}, "warn"),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["locks", "--folder", "."], "Missing option '--router'"),
        (["locks", "--router", "ws://x", "--folder", "nowhere"], "Directory 'nowhere' does not exist"),
        (["locks", "--router", "ws://x", "--folder", ".", "--extra", "{"], "is not JSON"),
        (["locks", "--router", "ws://x", "--folder", ".", "--extra", "[]"], "must be a JSON object"),
        (["locks", "--router", "ws://x", "--folder", ".", "--pull", "tcp://x:1"], "No such option"),
        (["locks", "--router", "ws://x", "--folder", ".", "--loglevel", "loud"], "'loud' is not one of"),
        (["nonsense", "--router", "ws://x", "--folder", "."], "No such command 'nonsense'"),
    ],
)
def test_wrong_use_of_a_worker(started: Started, arguments: list[str], sentence: str) -> None:
    """What can't be understood ends at once with a sentence and exit code 2."""
    result = run("worker", *arguments)
    assert (result.exit_code, sentence in result.output) == (2, True), result.output
    assert started == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--router", "ws://x", "--extra", '{"policy": {"ttl_ms": 1}}'], "ttl_ms must be at least"),
        (["--router", "ws://x", "--extra", '{"policy": {"tll_ms": 1}}'], "by the names ttl_ms"),
        (["--router", "http://x"], "the router's address must be ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or unix:PATH"),
        (["--router", "ws://x:port/"], "the router's address must be"),
    ],
)
def test_a_configuration_that_can_never_work(arguments: list[str], sentence: str) -> None:
    """It ends the real process at once, with one sentence and exit code 2; it is not tried again for ever."""
    command = [sys.executable, "-m", "formlock", "worker", "locks", "--folder", ".", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
    assert (ended.returncode, sentence in ended.stderr) == (2, True), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_command_loads_nothing_heavy() -> None:
    """`--help` and health checks load none of the router's packages, which take seconds."""
    code = "import sys, formlock.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=ENVIRONMENT)
    names = set(loaded.stdout.split())
    assert "click" in names
    assert {"twisted", "autobahn", "crossbar", "txzmq", "zmq", "txaio", "msgspec"}.isdisjoint(names)


def test_without_the_servers_packages() -> None:
    """Where only the pusher is installed, the command says what to install."""
    code = "import sys; sys.modules['click'] = None; from formlock.__main__ import run; run()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "The formlock command needs the server's packages: pip install 'formlock[server]'.\n",
    )


def test_help() -> None:
    """Each command's help says what it does and by which names of the environment it is told."""
    command = [sys.executable, "-m", "formlock"]
    for arguments in ([], ["worker"], ["worker", "locks"], ["worker", "bridge"], ["check"]):
        shown = subprocess.run([*command, *arguments, "-h"], capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout.startswith(f"Usage: formlock {' '.join(arguments)}".rstrip())
    assert "FORMLOCK_URL" in shown.stdout
