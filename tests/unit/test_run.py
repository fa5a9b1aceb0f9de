"""`make run` shows what the node's own components say, what went wrong, and what to open; not Crossbar's steps."""

from __future__ import annotations

from tools.run import OPEN, Screen

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


def test_what_is_shown() -> None:
    """Our components' lines, and every line of the demo; none of Crossbar's, nor what goes on from one."""
    screen = Screen()
    shown = [text for line in LOG for text in screen.lines(line)]
    ours = [LOG[at] for at in (6, 7, 8, 11)]
    assert shown == [*ours[:3], OPEN.format(url="http://127.0.0.1:8080/"), ours[3]]
    assert screen.ready


def test_a_traceback_of_ours_stays_whole() -> None:
    """What goes on from a line that is shown is shown."""
    lines = ["2026-11-29T06:25:14+0000 [Container   10044] bridge.failed error=OSError", "Traceback (most recent call last):"]
    screen = Screen()
    assert [text for line in lines for text in screen.lines(line)] == lines


def test_a_start_that_fails() -> None:
    """What was hidden is kept, in case there is nothing to open."""
    screen = Screen()
    assert [text for line in LOG[:6] for text in screen.lines(line)] == []
    assert (list(screen.hidden), screen.ready) == (LOG[:6], False)
