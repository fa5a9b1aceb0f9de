"""`make run` shows what the node's own components say, what went wrong, and what to open; not Crossbar's steps."""

from __future__ import annotations

import signal
import subprocess
import sys

from tools.run import ENDED, NOT_READY, NOT_WELL, OPEN, Screen

from tests.support.node import ROOT

LOG = """\
2026-11-29T06:25:05+0000 [Controller   9819]     Copyright (c) 2013-2026 typedef int GmbH. Licensed under EUPLv1.2.
2026-11-29T06:25:05+0000 [Controller   9819]\x20
2026-11-29T06:25:05+0000 [Controller   9819] <crossbar.router.router.RouterFactory.add_role>: realm="crossbar", config=
{'name': 'controller',
 'permissions': []}
2026-11-29T06:25:09+0000 [Router      10042] started component: formlock.guard.GuardComponent id=3246667813548697
2026-11-29T06:25:09+0000 [Router      10042] auth.development warning="anybody may be anybody here"
2026-11-29T06:25:12+0000 [Guest       10045] Serving on http://127.0.0.1:8081
2026-11-29T06:25:14+0000 [Router      10042] formlock.ready url=http://127.0.0.1:8080/
2026-11-29T06:25:15+0000 [Router      10042] <crossbar.router.router.Router.attach> new session attached, authextra=
{'user': 'ann'}
2026-11-29T06:25:16+0000 [Container   10043] lock.granted form=invoice.42 user=ann
""".splitlines()

AT_THE_END = """\
2026-11-29T09:50:53+0000 [Controller  28182] Controller received SIGINT [signal=2]: shutting down node [shutdown_was_clean=True] ..
2026-11-29T09:50:54+0000 [Container   28492] Native worker received SIGTERM - shutting down ..
2026-11-29T09:50:54+0000 [Container   28492] session closed with reason wamp.close.transport_lost [WAMP transport was lost ..]
2026-11-29T09:50:54+0000 [Container   28492] Lost connection to component 'locks' uncleanly
2026-11-29T09:50:54+0000 [Router      28491] cannot detach session "8190589532526538": session not currently attached
""".splitlines()
FAILED = [
    "2026-11-29T09:50:54+0000 [Container   28492] locks.failed error=OSError",
    "Traceback (most recent call last):",
    "OSError: the disk is full",
]


def shown(screen: Screen, *lines: str) -> list[str]:
    return [text for line in lines for text in screen.lines(line)]


def warned(screen: Screen, *lines: str) -> list[str]:
    return [text for line in lines for text in screen.warnings(line)]


def test_what_is_shown() -> None:
    """Our components' lines, and every line of the demo; none of Crossbar's, nor what goes on from one."""
    screen = Screen()
    found = shown(screen, *LOG)
    ours = [LOG[at] for at in (6, 7, 8, 11)]
    assert found == [*ours[:3], OPEN.format(url="http://127.0.0.1:8080/"), ours[3]]
    assert screen.ready


def test_a_traceback_of_ours_stays_whole() -> None:
    """What goes on from a line that is shown is shown."""
    lines = ["2026-11-29T06:25:14+0000 [Container   10044] bridge.failed error=OSError", "Traceback (most recent call last):"]
    screen = Screen()
    assert shown(screen, *lines) == lines


def test_a_start_that_fails() -> None:
    """What was hidden is kept, in case there is nothing to open."""
    screen = Screen()
    assert shown(screen, *LOG[:6]) == []
    assert (list(screen.hidden), screen.ready) == (LOG[:6], False)
    assert list(screen.last(1)) == [NOT_READY, *LOG[:6]]


def test_a_quiet_end() -> None:
    """Told to end, Crossbar warns of its own doing: one line of ours is enough. A failure meanwhile is seen, whole."""
    screen = Screen()
    shown(screen, *LOG)
    assert warned(screen, "", *AT_THE_END) == AT_THE_END, "nobody has told it to"
    screen.told = True
    assert warned(screen, *AT_THE_END[:3], *FAILED, *AT_THE_END[3:]) == FAILED
    assert list(screen.last(0)) == [ENDED]


def test_an_end_that_fails() -> None:
    """A node that ends by itself, or as a failure, shows what was hidden until then."""
    for told in (False, True):
        screen = Screen()
        shown(screen, *LOG)
        screen.told = told
        hidden = [line for line in LOG if line in screen.hidden] + (AT_THE_END if told else [])
        warned(screen, *AT_THE_END)
        assert list(screen.last(1)) == [NOT_WELL, *hidden]


def test_a_start_that_is_given_up() -> None:
    """What was interrupted in the middle of its start has nothing to tell."""
    screen = Screen()
    assert warned(screen, *FAILED) == FAILED
    screen.told = True
    assert warned(screen, *FAILED) == []
    assert list(screen.last(130)) == [ENDED]


def test_beside_other_containers() -> None:
    """The router's container shows the same lines, but not what to open: its address is another one outside."""
    screen = Screen(opens=False)
    assert shown(screen, *LOG) == [LOG[at] for at in (6, 7, 8, 11)]
    assert screen.ready


DEAF = """
import signal, sys
told = []
def hear(*_):
    told.append(1)
    if len(told) > 1:
        print("2026-11-29T09:50:53+0000 [Controller  1] Controller received SIGINT [signal=2]: ..", file=sys.stderr)
        sys.exit(0)
signal.signal(signal.SIGINT, hear)
print("2026-11-29T06:25:14+0000 [Router  1] formlock.ready url=http://127.0.0.1:1/", flush=True)
while True:
    signal.pause()
"""
RUN = "import sys; from tools.run import Screen, run; sys.exit(run([sys.executable, '-c', sys.argv[1]], Screen()))"


def test_a_node_that_has_missed_it_is_told_again() -> None:
    """Crossbar may miss Ctrl+C in the middle of a line of its log."""
    command = [sys.executable, "-c", RUN, DEAF]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        while "Ctrl+C" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, f"{ENDED}\n")
