"""docker-compose.yml without an engine: each service's own command, environment and health check, as local processes.

The real compose program reads the file (`config --format json`), and each service is started as soon as those it depends on are as
it asks: healthy means that the service's own health check has been run and has succeeded. What is changed, and nothing else:

- `/app` of a service is a folder of the test, filled as the Dockerfile's second stage fills it; the service's volumes and tmpfs are
  folders and links in it, so two services share a volume and nothing more;
- the names of services, and 0.0.0.0, become 127.0.0.1; fixed ports become free ones, in the router's configuration too;
- `python` and what is installed beside it are those that run the tests, less what requirements.lock does not bring; `formlock` is
  installed from a wheel, as in the image.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compose
import yaml

from tests.support.image import installed, lay_out, stages
from tests.support.node import ROOT
from tests.support.ports import free_port
from tests.support.processes import kill_group

FILE = ROOT / "docker-compose.yml"
HEALTHY_WITHIN_S = 90
# The engine gives a container 10 s; four that end beside other work may need more.
STOP_WITHIN_S = 40
# Each check is a Python of its own, beside services that are starting.
CHECK_EVERY_S = 0.5


def compose_program(
    *arguments: str, file: Path = FILE, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the real compose program. (Its package's console script ends with 0 whatever it found; the program itself does not.)"""
    program = Path(compose.__file__).parent / "docker-compose"
    return subprocess.run(
        [str(program), "--file", str(file), "--project-directory", str(ROOT), *arguments],
        capture_output=True, text=True, timeout=60, check=False, env={"HOME": "/nonexistent", **(environment or {})},
    )  # fmt: skip


def read_composition() -> dict[str, Any]:
    """docker-compose.yml as the compose program understands it."""
    read = compose_program("config", "--format", "json")
    assert read.returncode == 0, read.stderr
    found: dict[str, Any] = json.loads(read.stdout)
    return found


def ordered(services: dict[str, Any]) -> list[str]:
    """Names of services, each after those it depends on."""
    order: list[str] = []
    while len(order) < len(services):
        free = [name for name in services if name not in order and set(services[name].get("depends_on", {})) <= set(order)]
        assert free, f"these wait for each other: {set(services) - set(order)}"
        order += free
    return order


@dataclass(slots=True)
class Service:
    """One service as a local process."""

    name: str
    command: list[str]
    check: list[str]
    folder: Path
    environment: dict[str, str]
    stop_signal: int
    log_path: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, as the engine starts a container, also again."""
        assert self.process is None
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def checked(self) -> subprocess.CompletedProcess[str]:
        """Run its health check once."""
        return subprocess.run(
            self.check, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )

    def wait_healthy(self) -> None:
        """Until its health check succeeds."""
        limit = time.monotonic() + HEALTHY_WITHIN_S
        while True:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()[-3000:]}"
            checked = self.checked()
            if checked.returncode == 0:
                return
            assert time.monotonic() < limit, f"{self.name} is not healthy: {checked.stdout}{checked.stderr}\n{self.log()[-3000:]}"
            time.sleep(CHECK_EVERY_S)

    def kill(self) -> None:
        """`kill -9`, of its children too: a container's processes end with its first."""
        if self.process is not None:
            kill_group(self.process)
            self.process = None

    def stop(self) -> int:
        """As the engine stops a container: its own stop signal to its first process. The exit code."""
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        code = self.process.wait(STOP_WITHIN_S)
        self.process = None
        return code

    def log(self) -> str:
        """All that it has printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Composition:
    """The services of docker-compose.yml, without those in `leave_out`. Use `url`, `ws_url`, `push`, and `services` by name."""

    def __init__(self, folder: Path, leave_out: Collection[str] = ()) -> None:
        config = read_composition()
        self.definitions: dict[str, Any] = {name: found for name, found in config["services"].items() if name not in leave_out}
        self._all = list(config["services"])
        self._folder = folder
        self._first, self._second = stages((ROOT / "Dockerfile").read_text())
        self._ports = {port: free_port() for port in _fixed_ports(config)}
        self._installed = installed(self._first, folder / "image")
        self.services = {name: self._service(name) for name in ordered(self.definitions)}
        self.url = f"http://127.0.0.1:{self._ports[8080]}/"
        self.ws_url = f"ws://127.0.0.1:{self._ports[8080]}/ws"
        self.zmq_url = f"tcp://127.0.0.1:{self._ports[5555]}"
        self._shipped = {name: _files(self._root(name)) for name in self.services}

    def start(self) -> Composition:
        """Start all, each when those it depends on are healthy; return when all are."""
        for name, service in self.services.items():
            for other, how in self.definitions[name].get("depends_on", {}).items():
                if how["condition"] == "service_healthy":
                    self.services[other].wait_healthy()
            service.start()
        for service in self.services.values():
            service.wait_healthy()
        return self

    def push(self, update: dict[str, Any]) -> None:
        """Push as a backend on the host does."""
        from formlock_push import Pusher

        with Pusher(self.zmq_url) as pusher:
            update = dict(update)
            form = update.pop("form")
            pusher.push(form, update.pop("change_set", None), **update)

    def written(self, name: str) -> set[str]:
        """The files that a service has made outside its volumes and tmpfs, where its container can be read only."""
        return _files(self._root(name)) - self._shipped[name]

    def close(self) -> None:
        """End whatever still runs."""
        for service in self.services.values():
            service.kill()

    # -- the changes

    def _root(self, name: str) -> Path:
        return self._folder / "roots" / name

    def _service(self, name: str) -> Service:
        definition = self.definitions[name]
        root = self._root(name)
        lay_out(self._second, root)
        self._mount(definition, root)
        environment = {
            **self._second.environment,
            **{key: self._here(value, root) for key, value in definition.get("environment", {}).items()},
            "PATH": f"{self._installed / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin",
            # `formlock` as the image has it; whatever stands in the checkout is not on this path.
            "PYTHONPATH": str(self._installed),
            # Nobody's: what is written there would be missing in a container.
            "HOME": str(root / "nonexistent"),
        }
        router = root / "app/.crossbar/router.yaml"
        router.write_text(json.dumps(self._router(yaml.safe_load(router.read_text())), indent=1))
        kind, *check = definition["healthcheck"]["test"]
        assert kind == "CMD"
        folder = root / definition.get("working_dir", str(self._second.folder)).lstrip("/")
        return Service(
            name=name,
            command=[self._here(word, root) for word in definition["command"]],
            check=[self._here(word, root) for word in check],
            folder=folder,
            environment=environment,
            stop_signal=signal.Signals[definition.get("stop_signal", "SIGTERM")],
            log_path=self._folder / f"{name}.log",
        )

    def _mount(self, definition: dict[str, Any], root: Path) -> None:
        for target in definition.get("tmpfs", []):
            (root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        # As the Dockerfile makes it, for a service that mounts nothing there.
        (root / "app/data").mkdir(parents=True, exist_ok=True)
        for volume in definition.get("volumes", []):
            assert volume["type"] == "volume"
            place = self._folder / "volumes" / volume["source"]
            place.mkdir(parents=True, exist_ok=True)
            target = root / volume["target"].lstrip("/")
            if target.is_dir():
                target.rmdir()
            target.symlink_to(place)

    def _here(self, text: str, root: Path) -> str:
        """One word of a command, or one value of the environment."""
        names = "|".join(re.escape(name) for name in self._all)
        text = re.sub(rf"(?<=//)({names})(?=[:/])", "127.0.0.1", text).replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"(?<=:)\d{4,5}\b|^\d{4,5}$", lambda found: str(self._ports.get(int(found[0]), found[0])), text)
        return re.sub(r"/app\b", lambda _: f"{root}/app", text)

    def _router(self, config: dict[str, Any]) -> dict[str, Any]:
        for transport in config["workers"][0]["transports"]:
            transport["endpoint"] |= {"interface": "127.0.0.1", "port": self._ports[transport["endpoint"]["port"]]}
            for service in transport.get("paths", {}).values():
                # The one that forwards to another service.
                if "host" in service.get("extra", {}):
                    service["extra"] |= {"host": "127.0.0.1", "port": self._ports[service["extra"]["port"]]}
        return config


def _fixed_ports(config: dict[str, Any]) -> set[int]:
    """Every port that the composition names, in addresses or alone, and every one that the router listens on."""
    router = yaml.safe_load((ROOT / ".crossbar/router.yaml").read_text())["workers"][0]
    ports = {transport["endpoint"]["port"] for transport in router["transports"]}
    for service in config["services"].values():
        ports |= {published["target"] for published in service.get("ports", [])}
        for value in [*service.get("environment", {}).values(), *service["healthcheck"]["test"]]:
            ports |= {int(port) for port in re.findall(r"(?<=:)\d{4,5}\b|^\d{4,5}$", value)}
    return ports


def _files(root: Path) -> set[str]:
    """The files under a folder; links, which stand for volumes, are not followed, and tmpfs folders are the service's own."""
    own = {"tmp", "app/run"}
    found = set()
    for path, folders, files in os.walk(root):
        here = str(Path(path).relative_to(root))
        folders[:] = [name for name in folders if str(Path(here) / name) not in own]
        found |= {str(Path(here) / name) for name in files}
    return found
