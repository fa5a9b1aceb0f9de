"""docker-compose.yml by the real compose program, the Dockerfile by what it copies, router.yaml by config.yaml."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from tests.support.composition import FILE, compose_program, ordered, read_composition
from tests.support.image import ignored, installed, lay_out, patterns, stages
from tests.support.node import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
FIRST, SECOND = stages(DOCKERFILE)


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    return read_composition()


# -- the compose program


def test_compose_accepts_it() -> None:
    """The program that people run finds nothing wrong, and nothing to warn of."""
    read = compose_program("config", "--quiet")
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("  locks:\n    <<", "  locks:\n    comand: x\n    <<", "additional properties 'comand' not allowed"),
        ("      router: {condition: service_healthy}", "      ruter: {condition: service_healthy}", "undefined service"),
        ("service_healthy", "service_well", "condition"),
        ("- locks:/app/data", "- lockz:/app/data", "undefined volume"),
        ("}:8080", "}:eighty", "invalid containerPort: eighty"),
        ("interval: 5s", "interval: soon", "soon"),
        ("    build: .", "    build: .\n    depends_on: [locks]", "dependency cycle detected"),
        ("services:", "services:\n\tx", "found"),
    ],
)
def test_compose_refuses_mistakes(right: str, wrong: str, said: str, tmp_path: Path) -> None:
    """Planted mistakes are refused, so acceptance means something."""
    text = FILE.read_text()
    assert right in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(right, wrong))
    read = compose_program("config", "--quiet", file=broken)
    assert read.returncode != 0
    assert said in read.stderr


# -- what the composition promises


def test_nothing_is_published_but_on_loopback(composition: dict[str, Any]) -> None:
    """Anybody may be anybody here, so only this machine gets in; the workers' way in is not published at all."""
    published = [port for service in composition["services"].values() for port in service.get("ports", [])]
    assert {(port["host_ip"], port["target"]) for port in published} == {("127.0.0.1", port) for port in (8080, 5555, 5556)}


def test_other_ports(composition: dict[str, Any]) -> None:
    """Taken ports are changed by three names of the environment."""
    names = {"FORMLOCK_PORT": "18080", "FORMLOCK_PUSH_PORT": "15555", "FORMLOCK_ACKNOWLEDGED_PORT": "15556"}
    read = compose_program("config", environment=names)
    published = [
        port["published"] for service in yaml.safe_load(read.stdout)["services"].values() for port in service.get("ports", [])
    ]
    assert published == ["15555", "15556", "18080"]


def test_one_image_made_once(composition: dict[str, Any]) -> None:
    """All services run the image that the router's service builds, and none asks a registry for it."""
    services = composition["services"]
    assert {service["image"] for service in services.values()} == {"formlock:development"}
    assert [name for name, service in services.items() if "build" in service] == ["router"]
    assert {service["pull_policy"] for name, service in services.items() if name != "router"} == {"never"}


def test_every_service_is_shut_in(composition: dict[str, Any]) -> None:
    """Read only, without a capability, unable to gain one, as a user of its own, restarted, and its health is asked for."""
    for name, service in composition["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert "user" not in service, f"{name}: the image says who"
    assert SECOND.user == "10001:10001"


def test_health_waits_for_nobody_who_waits(composition: dict[str, Any]) -> None:
    """The router's health depends on no worker, and every other service waits for the router's."""
    services = composition["services"]
    assert ordered(services)[0] == "router"
    assert services["router"]["healthcheck"]["test"] == ["CMD", "formlock", "check", "router"]
    for name, service in services.items():
        if name != "router":
            assert service["depends_on"]["router"]["condition"] == "service_healthy", name


def test_only_the_router_writes_credentials(composition: dict[str, Any]) -> None:
    """Tickets and keys are made by the router; the others have them to read only."""
    writers = {
        name
        for name, service in composition["services"].items()
        for volume in service["volumes"]
        if volume["source"] == "credentials" and not volume.get("read_only", False)
    }
    assert writers == {"router"}


def test_the_router_starts_after_any_end(composition: dict[str, Any]) -> None:
    """Its node.pid is on a tmpfs, where no former start's can lie; it ends by SIGINT, which Crossbar takes for success."""
    router = composition["services"]["router"]
    folder = router["command"][router["command"].index("--cbdir") + 1]
    assert folder in router["tmpfs"]
    assert router["stop_signal"] == "SIGINT"


# -- the image


def test_everything_copied_is_there() -> None:
    """Every source of a COPY exists and gets past .dockerignore; the second stage takes from the first."""
    sources = [source for stage in (FIRST, SECOND) for copy in stage.copies for source in copy.sources]
    assert sources, "the Dockerfile copies something"
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source, patterns()), source
    assert SECOND.from_stages == [FIRST.name] == ["build"]
    assert FIRST.base.partition(" ")[0] == SECOND.base == "python:3.11-slim"


def test_nothing_secret_goes_to_the_builder() -> None:
    """What a started node, a test run or an editor leaves behind stays outside, and so does whatever comes to the folder later."""
    left_behind = """
        .crossbar/key.priv .crossbar/credentials/receipts .crossbar/locks.sqlite .crossbar/config.yaml .git/config .env new.txt
        examples/invoices/.crossbar/credentials/x examples/invoices/invoices.sqlite components/formlock/__pycache__/x.pyc
        web/formlock/node_modules/x.js tests/conftest.py
    """
    for path in left_behind.split():
        assert ignored(path, patterns()), path
    assert not ignored("components/formlock/cli.py", patterns())


def test_what_is_installed_is_locked() -> None:
    """Every package comes by its hash; nothing is resolved, and no build tool is fetched beside the locked ones."""
    for run in FIRST.runs:
        for command in re.findall(r"bin/pip (?:--python \S+ )?(?:install|wheel) [^&]*", run):
            assert "--no-deps" in command, command
            assert "--require-hashes -r" in command or "--no-index" in command or command.strip().endswith("."), command
            if " wheel " in command:
                assert "--no-build-isolation" in command, command
    asked = set(re.findall(r"-r (\S+)", " ".join(FIRST.runs)))
    assert asked == {"requirements.lock", "requirements-build.lock"}
    for name in asked:
        pinned = re.findall(r"^[^\s#].*$", (ROOT / name).read_text(), flags=re.MULTILINE)
        assert all(re.fullmatch(r"[\w.-]+==\S+ \\", line) for line in pinned), name
    assert not any("pip" in run for run in SECOND.runs), "the second stage installs nothing"


def test_where_it_may_write(composition: dict[str, Any]) -> None:
    """Exactly the folders that services mount are made for the image's user; the rest is root's."""
    (made,) = [run for run in SECOND.runs if "install -d" in run]
    assert "useradd --system --uid 10001 --user-group" in made
    owned = set(re.findall(r"/app/\w+", made))
    mounted = {volume["target"] for service in composition["services"].values() for volume in service["volumes"]}
    mounted |= {target for service in composition["services"].values() for target in service["tmpfs"] if target != "/tmp"}
    assert owned == mounted
    assert "--chown" not in DOCKERFILE
    assert SECOND.folder == PurePosixPath("/app")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(FIRST, tmp_path_factory.mktemp("image"))


@pytest.mark.parametrize(
    "module",
    [
        "formlock.worker",
        "formlock.locks",
        "formlock_bridge.component",
        "formlock.guard",
        "formlock.pages",
        "formlock.forward",
        "invoices.app",
    ],
)
def test_what_runs_needs_nothing_more(image: Path, module: str) -> None:
    """All that the services load is in requirements.lock: nothing is there only because a test wants it."""
    path = f"{image}:{ROOT / 'examples/invoices'}"
    loaded = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False, env={"PYTHONPATH": path}
    )
    assert loaded.returncode == 0, loaded.stderr


def test_what_only_tests_have_is_hidden(image: Path) -> None:
    """The claim above could fail: a package of the tests can't be imported there."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import greenlet"], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(image)}
    )
    assert "requirements.lock does not bring it" in loaded.stderr


def test_the_image_has_the_command_and_the_pages(image: Path, tmp_path: Path) -> None:
    """The first stage's wheel brings the `formlock` script; pages and configuration are where they are asked for."""
    assert (image / "bin" / "formlock").is_file()
    assert (image / "formlock_bridge" / "component.py").is_file()
    lay_out(SECOND, tmp_path / "root")
    config = yaml.safe_load((tmp_path / "root/app/.crossbar/router.yaml").read_text())
    extra = config["workers"][0]["transports"][0]["paths"]["/"]["extra"]
    # Relative to the node's folder, which a container has as a tmpfs.
    (tmp_path / "root/app/run").mkdir()
    for name, file in (("pages", "index.html"), ("package", "formlock.js")):
        assert (tmp_path / "root/app/run" / extra[name] / file).is_file(), name


# -- router.yaml against config.yaml


def _router(name: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / ".crossbar" / name).read_text())
    found: dict[str, Any] = config["workers"][0]
    return found


def test_both_routers_are_alike() -> None:
    """Realm, roles, embedded components and all that a browser meets are the same in both configurations."""
    whole, alone = _router("config.yaml"), _router("router.yaml")
    assert alone["realms"] == whole["realms"]
    assert [_identity(component) for component in alone["components"]] == [_identity(component) for component in whole["components"]]
    web, web_alone = whole["transports"][0], alone["transports"][0]
    assert web_alone["paths"]["ws"] == web["paths"]["ws"]
    assert web_alone["paths"]["/"] == web["paths"]["/"]
    assert web_alone["paths"].keys() == web["paths"].keys()
    assert web_alone["paths"]["invoices"] == {**web["paths"]["invoices"], "extra": {"host": "demo", "port": 8081}}
    assert _without(web_alone, "endpoint", "paths") == _without(web, "endpoint", "paths")
    internal, internal_alone = whole["transports"][1], alone["transports"][1]
    # A unix socket has no host; its `url` stands for one.
    assert _without(internal_alone, "endpoint") == _without(internal, "endpoint", "url")


def _identity(component: dict[str, Any]) -> dict[str, Any]:
    return _without(component, "extra")


def _without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in names}


def test_the_workers_way_in_needs_a_ticket() -> None:
    """The internal transport knows no way to log in but tickets: no `anonymous`."""
    (internal,) = [transport for transport in _router("router.yaml")["transports"] if transport["id"] == "internal"]
    assert internal["auth"].keys() == {"ticket"}
