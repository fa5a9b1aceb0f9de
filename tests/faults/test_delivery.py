"""Updates while bridge and router are killed in mid-stream: nothing that was promised is lost, doubled or out of order.

3,000 messages here; `python -m tests.faults.delivery` does 100,000, as docs/explanation/updates.md tells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.delivery import Run, deliver

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]

MESSAGES, SUBSCRIBERS = 3_000, 20


def test_killed_in_mid_stream(tmp_path: Path) -> None:
    """U38: what was acknowledged or spooled reaches every subscriber once and in order, with the bridge killed twice and the router
    once; subscribers that leave and come back miss nothing."""
    run = Run(MESSAGES, SUBSCRIBERS, bridge_kills=2, router_kills=1, senders=4, forms=20, rate=500)
    report = deliver(tmp_path, run)
    assert report.verdict.faults == [], str(report)
    figures = report.verdict.figures
    assert (figures["kept"], figures["acknowledged"] + figures["spooled"]) == (MESSAGES, MESSAGES)
    # Not by chance: lines were lost, the spool was used, answers were needed.
    assert figures["lines"] > 2 * SUBSCRIBERS
    assert figures["acknowledged"] > 100
    assert min(figures["spooled"], figures["caught up"], report.senders["again"]) > 0
    assert report.log["bridge.rejected"] == report.log["bridge.failed"] == report.log["Traceback"] == 0
    assert report.log["bridge.ready"] >= 4


def test_folded(tmp_path: Path) -> None:
    """U38: the same while one event stands for several: each says truly which, and they leave nothing out."""
    run = Run(1_000, SUBSCRIBERS, bridge_kills=1, router_kills=0, senders=2, forms=4, follow=2, rate=300, coalesce_ms=None)
    report = deliver(tmp_path, run)
    assert report.verdict.faults == [], str(report)
    assert report.verdict.figures["folded"] > 0
