"""The reader of our Markdown sees what a reader of the page sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import markdown
from tests.docs.markdown import anchors, blocks, links

TEXT = """\
# It's `here`: a first

[a](x.md#y) and `[b](no.md)`

<!-- not run: it never ends -->
<!-- needs: node -->

```python
while True: ...
```

## Again

- In a list

  ```sh title
  make run [c](no.md)
  ```

<!-- not run: -->
```
nothing
```
A sentence.

## Again
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(markdown, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(TEXT)
    return path


def test_blocks(page: Path) -> None:
    """Language, text, line and marks of each; marks belong to the block right below them."""
    assert [(str(block), block.language, block.text, block.not_run, block.needs) for block in blocks(page)] == [
        ("page.md:9", "python", "while True: ...\n", "it never ends", "node"),
        ("page.md:17", "sh", "make run [c](no.md)\n", None, ""),
        ("page.md:22", "", "nothing\n", "", ""),
    ]


def test_links_and_anchors(page: Path) -> None:
    """Code has no links; headings of one name are numbered."""
    assert links(page) == ["x.md#y"]
    assert anchors(page) == {"its-here-a-first", "again", "again-1"}
