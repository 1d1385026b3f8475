"""The documentation's examples run as they stand, page by page."""

import re
from pathlib import Path

import pytest

PAGES = ["README.md", *sorted(map(str, Path("docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page):
    text = Path(page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert blocks, f"{page} has no example"
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
