"""A real Crossbar node on free ports, from the very configuration that ships."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.support.ports import free_port
from tests.support.processes import kill_group

ROOT = Path(__file__).parents[2]
# Only against hanging.
START_WITHIN_S = 180
STOP_WITHIN_S = 40
LOGGED_WITHIN_S = 60
PUSHED_WITHIN_S = 60


class Node:
    """`crossbar start` in a folder of its own. `change(config)` may edit the shipped configuration before it is written."""

    def __init__(self, folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.folder = folder / ".crossbar"
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.zmq_url = f"tcp://127.0.0.1:{free_port()}"
        self.acknowledged_url = f"tcp://127.0.0.1:{free_port()}"
        self.updates_url = f"http://127.0.0.1:{free_port()}"
        self.demo_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        self.log_path = folder / "node.log"
        self.process: subprocess.Popen[bytes] | None = None
        config = yaml.safe_load((ROOT / ".crossbar" / "config.yaml").read_text())
        self._place(config)
        if change is not None:
            change(config)
        shutil.copy(ROOT / ".crossbar" / "policy.toml", self.folder)
        (self.folder / "config.json").write_text(json.dumps(config, indent=1))

    def _place(self, config: dict[str, Any]) -> None:
        """Free ports, and paths that hold from another folder."""
        for worker in config["workers"]:
            if worker["type"] != "guest":
                worker["options"]["pythonpath"] = [str(ROOT / "x" / path) for path in worker["options"]["pythonpath"]]
        router = config["workers"][0]
        web = router["transports"][0]
        web["endpoint"]["port"] = self.port
        web["paths"]["/"]["extra"] = {"pages": str(ROOT / "web/demo"), "package": str(ROOT / "web/formlock/dist")}
        for component in router["components"]:
            if component["id"] == "ready":
                component["extra"]["url"] = self.url
        ways = {"pull": self.zmq_url, "acknowledged": self.acknowledged_url, "http": self.updates_url}
        worker_of(config, "bridge")["components"][0]["extra"] |= ways
        web["paths"]["invoices"]["extra"]["port"] = self.demo_port
        self._place_demo(worker_of(config, "demo"))

    def _place_demo(self, demo: dict[str, Any]) -> None:
        """This Python, and this node's folder: its database, its socket and its key are found there as ever."""
        python = demo["executable"]
        demo["executable"] = sys.executable
        places = {python: sys.executable, "tools/keep.py": str(ROOT / "tools/keep.py")}
        demo["arguments"] = [places.get(argument, argument) for argument in demo["arguments"]]
        variables = demo["options"]["env"]["vars"]
        variables["PYTHONPATH"] = ":".join(str(ROOT / path) for path in variables["PYTHONPATH"].split(":"))
        variables |= {"INVOICES_PORT": str(self.demo_port), "FORMLOCK_PUSH": self.zmq_url, "FORMLOCK_HTTP": self.url + "formlock/"}

    def start(self) -> Node:
        """Start, and wait until every component answers a real call."""
        self.launch()
        return self.wait_ready()

    def launch(self) -> None:
        """Start without waiting."""
        command = [str(Path(sys.executable).parent / "crossbar"), "start", "--cbdir", str(self.folder)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, start_new_session=True)

    def wait_ready(self) -> Node:
        """Until `/readyz` says yes."""
        limit = time.monotonic() + START_WITHIN_S
        while time.monotonic() < limit:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"the node ended at its start:\n{self.log()[-3000:]}")
            try:
                with urllib.request.urlopen(self.url + "readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return self
            except (OSError, urllib.error.HTTPError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"the node was not ready within {START_WITHIN_S} s:\n{self.log()[-3000:]}")

    def log(self) -> str:
        """All that the node has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def logged(self, line: str) -> str:
        """The log, as soon as it has this: the node collects it from its workers a moment later."""
        limit = time.monotonic() + LOGGED_WITHIN_S
        while line not in (log := self.log()):
            assert time.monotonic() < limit, f"no {line!r} within {LOGGED_WITHIN_S} s:\n{log[-3000:]}"
            time.sleep(0.05)
        return log

    def pids(self) -> dict[str, int]:
        """The processes by worker: controller, router, locks, bridge."""
        assert self.process is not None
        found = {"controller": self.process.pid}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError, ValueError):
                continue
            if parent == self.process.pid and command[0].startswith(b"formlock-"):
                found[command[0].decode().removeprefix("formlock-").strip()] = int(entry.name)
        return found

    def kill(self) -> None:
        """`kill -9` of everything at once, as a power cut would."""
        assert self.process is not None
        kill_group(self.process)
        self.process = None

    def stop(self) -> None:
        """As an operator would."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            kill_group(self.process)
        self.process = None

    def push(self, update: dict[str, Any]) -> None:
        """Push as a backend does that must lose nothing: the bridge has it then, and what is pushed next comes after it."""
        from formlock_push import Outcome, ReliablePusher

        spool = self.folder / "pushed.sqlite"
        with ReliablePusher(self.acknowledged_url, spool=spool, timeout_ms=PUSHED_WITHIN_S * 1000) as pusher:
            update = dict(update)
            form = update.pop("form")
            outcome = pusher.push(form, update.pop("change_set", None), **update)
        assert outcome is Outcome.ACKNOWLEDGED, outcome


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    """A change that leaves workers out; readiness then asks only for the rest."""

    def change(config: dict[str, Any]) -> None:
        config["workers"] = [worker for worker in config["workers"] if worker["id"] not in names]
        for component in config["workers"][0]["components"]:
            if component["id"] == "ready":
                component["extra"]["components"] = [name for name in ("locks", "bridge") if name not in names]

    return change


def worker_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    """One worker of a configuration."""
    found: dict[str, Any] = next(worker for worker in config["workers"] if worker["id"] == name)
    return found
