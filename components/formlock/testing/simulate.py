"""The simulator: the real service in a world of pages, lines, crashes and clocks that one seed decides.

    python -m formlock.testing.simulate --seed 7 [--count 1] [--steps 4000] [--forms 2] [--clients 5]

A run that breaks a promise (simulation/truth.py has all of them) prints its last steps and the command that repeats it; the same
seed and numbers always give the same run. Fewer `--steps` begin the quiet end earlier: that is how a failing run is made short.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import fields

from formlock.testing.simulation.messages import Call
from formlock.testing.simulation.world import World

SHOWN = 80


@dataclass
class Tally:
    """What runs have done."""

    steps: int = 0
    seconds: int = 0
    """Simulated ones."""
    grants: int = 0
    claims: int = 0
    saves: int = 0
    late: int = 0
    late_words: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """One more."""
        self.steps += world.steps
        self.seconds += (world.clock.now() - 1_000_000) // 1_000
        self.grants += len(world.truth.grants)
        self.claims += world.application.claims
        self.saves += world.application.saves
        self.late += world.application.late
        self.late_words += world.truth.late_words
        self.ends.update(world.truth.ends)
        self.excuses.update(world.truth.excuses)


class Failed(AssertionError):
    """A run that broke a promise; its text is the report."""


def simulate(seed: int, *, steps: int = 4_000, forms: int = 2, clients: int = 5, tally: Tally | None = None) -> Tally:
    """One run; Failed with the story of its end when a promise is broken, or anything unexpected is raised."""
    tally = tally if tally is not None else Tally()
    world = World(seed, forms=forms, clients=clients)
    try:
        world.run(steps)
    except Exception as error:
        raise Failed(story(world, error, seed, steps)) from error
    finally:
        for server in world.servers:
            world.kill(server)
        tally.add(world)
        world.disk.connection.close()
    return tally


def story(world: World, error: Exception, seed: int, steps: int) -> str:
    """The last steps, and how to repeat them."""
    lines = [f"{at / 1_000:>10.3f}  {' '.join(told(part) for part in parts)}" for at, parts in list(world.notes)[-SHOWN:]]
    numbers = f"--seed {seed} --steps {steps} --forms {len(world.records)} --clients {world.clients}"
    text = "\n".join(
        [
            *lines,
            f"{type(error).__name__} in step {world.steps}: {error}",
            f"again: python -m formlock.testing.simulate {numbers}   (shorter: --steps {min(steps, world.steps)})",
        ]
    )
    return short(text, world.disk.first_token)


def told(part: object) -> str:
    """In a few words: what has its usual value is not said."""
    if isinstance(part, Call):
        return f"[{part.number}] " + ", ".join(f"{form} {told(command)}" for form, command in part.wanted)
    if isinstance(part, list):
        return ", ".join(told(one) for one in part)
    if isinstance(part, tuple):
        return ".".join(str(one) for one in part if one != "")
    if isinstance(part, type):
        return part.__name__
    if isinstance(part, Struct):
        facts = [(field.name, getattr(part, field.name), field.default) for field in fields(part)]
        return f"{type(part).__name__}({', '.join(f'{name}={told(value)}' for name, value, usual in facts if value != usual)})"
    return str(part)


def short(text: str, first_token: int) -> str:
    """Tokens as #1, #2, ...: the first has thirteen digits."""
    return re.sub(rf"{first_token // 10_000}(\d{{4}})\b", lambda found: f"#{int(found[1])}", text)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m formlock.testing.simulate", description="Run the lock service in a simulated world."
    )
    for name, default in (("seed", 0), ("count", 1), ("steps", 4_000), ("forms", 2), ("clients", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(arguments)
    tally, began, failed = Tally(), time.monotonic(), 0
    for seed in range(given.seed, given.seed + given.count):
        try:
            simulate(seed, steps=given.steps, forms=given.forms, clients=given.clients, tally=tally)
        except Failed as failure:
            failed += 1
            sys.stdout.write(f"{failure}\n")
    took = time.monotonic() - began
    sys.stdout.write(
        f"{given.count} runs, {failed} failed\n"
        f"{tally.steps} steps ({tally.steps / took:.0f} a second), {tally.seconds} s simulated\n"
        f"{tally.grants} grants, {tally.claims} claims, {tally.saves} saves, {tally.late} late ones refused, "
        f"{tally.late_words} late last words\n"
        f"ends: {dict(tally.ends.most_common())}\nexceptions: {dict(tally.excuses.most_common())}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
