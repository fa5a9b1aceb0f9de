"""What all commands do alike: exit codes, errors of one sentence that says what to do next, output for people or machines."""

from __future__ import annotations

import json
from typing import IO, Any

import click

DONE, REFUSED, WRONG_USE, NOT_REACHED = 0, 1, 2, 3


class Failed(click.ClickException):
    """Ends the command with a sentence on standard error: `exit_code` is one of the four above."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        # click has it as its class's; an error of ours has its own.
        vars(self)["exit_code"] = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """The sentence alone."""
        click.echo(self.format_message(), err=file is None, file=file)


def as_json(facts: object) -> None:
    """One line for machines."""
    click.echo(json.dumps(facts, ensure_ascii=False))
