"""The `formlock` command: its groups, its exit codes, and how an error looks. What each command does is a file beside this one.

Only click is imported here and at the head of those files: `formlock --help` and a health check must not load the router's packages
(3 s). A command imports what it needs when it runs.
"""

from __future__ import annotations

import click

from formlock import __version__
from formlock.cli.check import check
from formlock.cli.keys import keys
from formlock.cli.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Form lock: locks web forms while somebody edits them.

    Every option can also be given by the environment, by the name that its help shows. Exit codes: 0 done, 1 refused or not found,
    2 wrong use, 3 service not reached.
    """


main.add_command(check)
main.add_command(keys)
main.add_command(worker)
