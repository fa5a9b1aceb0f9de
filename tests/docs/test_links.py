"""Links within our documents lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.markdown import anchors, links, name, pages


@pytest.mark.parametrize("page", [page for page in pages() if links(page)], ids=name)
def test_links(page: Path) -> None:
    """A link without a host names a file or folder that exists, and an anchor that its page has."""
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: the page has {sorted(anchors(target))}"
