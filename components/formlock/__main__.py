"""`python -m formlock` is the `formlock` command."""

from formlock.cli import main

main(prog_name="formlock")
