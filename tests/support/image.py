"""The image without an engine: what the Dockerfile copies and where to, read from the Dockerfile itself.

Nothing here can build an image. But what would be in it can be laid out: the folder that its second stage fills, and the wheel of
this project, made by the first stage's sources only. So a `COPY` that is missing, or that .dockerignore keeps from the builder, is
a test that fails.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

from tests.support.node import ROOT

# What this reader knows; another instruction is a reason to look at it.
KNOWN = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "CMD"}


@dataclass(frozen=True, slots=True)
class Copy:
    """One `COPY` from the checkout: sources relative to it, target absolute in the image."""

    sources: tuple[str, ...]
    target: PurePosixPath


@dataclass(slots=True)
class Stage:
    """One stage of the Dockerfile."""

    base: str
    name: str = ""
    folder: PurePosixPath = field(default_factory=lambda: PurePosixPath("/"))
    user: str = "root"
    environment: dict[str, str] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    from_stages: list[str] = field(default_factory=list)


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile."""
    found: list[Stage] = []
    joined = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        word, _, rest = line.partition(" ")
        assert word in KNOWN, f"{word} is new in the Dockerfile: teach it to tests/support/image.py"
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
        else:
            _instruction(found[-1], word, rest.strip())
    return found


def _instruction(stage: Stage, word: str, rest: str) -> None:
    match word:
        case "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "WORKDIR":
            stage.folder /= rest
        case "USER":
            stage.user = rest
        case "RUN":
            stage.runs.append(rest)
        case "COPY" if rest.startswith("--from="):
            stage.from_stages.append(rest.partition("=")[2].split()[0])
        case "COPY":
            *sources, target = rest.split()
            # A target that ends so, or that has several sources, is a folder.
            into = target.endswith("/") or len(sources) > 1
            stage.copies += [
                Copy((source,), stage.folder / target / PurePosixPath(source).name if into else stage.folder / target)
                for source in sources
            ]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps a path of the checkout from the builder. The last pattern that fits it or a parent counts."""
    out = False
    lineage = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if any(_fits(each, bare) for each in lineage):
            out = not pattern.startswith("!")
    return out


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(fnmatch("/".join(path.split("/")[start:]), pattern[3:]) for start in range(path.count("/") + 1))
    return path.count("/") == pattern.count("/") and fnmatch(path, pattern)


def patterns() -> list[str]:
    """The lines of .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def lay_out(stage: Stage, root: Path) -> None:
    """Put what the stage copies under `root`, as the builder would: without what is ignored, and what is not there fails."""
    ignoring = patterns()
    for copy in stage.copies:
        (source,) = copy.sources
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which is not there"
        target = root / copy.target.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        for file in [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*")):
            name = str(file.relative_to(ROOT))
            if file.is_file() and not ignored(name, ignoring):
                into = target / file.relative_to(ROOT / source) if file != ROOT / source else target
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, into)


def installed(stage: Stage, folder: Path) -> Path:
    """The project as the first stage installs it: a wheel of what that stage copies, in its own folder; scripts in its `bin`.

    With it on the path, packages that are not in requirements.lock can't be imported.
    """
    sources, wheels, target = folder / "sources", folder / "wheels", folder / "installed"
    lay_out(stage, sources)
    python = sys.executable
    build = [python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=sources / stage.folder.relative_to("/"), check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    uv = Path(python).parent / "uv"
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, "--target", target, wheel]
    subprocess.run([str(word) for word in install], check=True, capture_output=True)
    (target / "sitecustomize.py").write_text(HIDING.format(hidden=_not_locked()))
    return target


# Runs first in every process of the image that is laid out: what only tests have installed is not there.
HIDING = """
import sys


class NotInTheImage:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {{name!r}} (requirements.lock does not bring it)", name=name)


HIDDEN = frozenset({hidden!r})
sys.meta_path.insert(0, NotInTheImage())
"""


def _not_locked() -> list[str]:
    """Top-level modules that are installed here, and that requirements.lock does not bring."""
    locked = {_normal(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)}
    return sorted(
        module
        for module, distributions in packages_distributions().items()
        if locked.isdisjoint(map(_normal, distributions)) and not module.startswith(("_", "formlock"))
    )


def _normal(name: str) -> str:
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()
