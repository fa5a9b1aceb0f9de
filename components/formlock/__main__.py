"""`python -m formlock` and the script `formlock`: the command, or what to install for it."""

import sys


def run() -> None:
    """Whoever has installed only what pushes has the script too."""
    try:
        from formlock.cli import main
    except ModuleNotFoundError as missing:
        if missing.name != "click":
            raise
        sys.exit("The formlock command needs the server's packages: pip install 'formlock[server]'.")
    main(prog_name="formlock")


if __name__ == "__main__":
    run()
