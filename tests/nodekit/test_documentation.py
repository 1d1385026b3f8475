"""The documentation's examples run as they stand, page by page."""

import re
from pathlib import Path

import pytest

PAGES = [
    page
    for page in ["README.md", *sorted(map(str, Path("docs").glob("*.md")))]
    if "```python" in Path(page).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page):
    text = Path(page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
