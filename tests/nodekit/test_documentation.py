"""The documentation: its examples run as they stand, its links lead somewhere and say where."""

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


WRITTEN = [Path(name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    page for page in Path("docs").rglob("*.md") if page.parent != Path("docs/r")
)
GUIDES = sorted(page for page in Path("docs/guides").glob("*.md") if page.stem != "index")


def prose_of(page):
    """The text of a page without its programs."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def links_of(page):
    """The words and the target of every link and picture of a page that leads into this project."""
    links = re.findall(r"\[([^]]*)\]\(([^)#\s]+)", prose_of(page))
    return [(" ".join(words.split()), target) for words, target in links if not re.match(r"https?:|mailto:", target)]


@pytest.mark.parametrize("page", WRITTEN, ids=str)
def test_links_lead_to_what_exists_and_say_what_it_is(page):
    for words, target in links_of(page):
        if not target.startswith(("r/", "../r/")):  # Pages that are made from R's help as the site is built.
            assert (page.parent / target).exists(), f"{page}: {target}"
        assert words, f"{page}: a link to {target} without words"
        assert not re.fullmatch(r"[\w/]+\.md|docs(/\w+)*", words), (
            f"{page}: the words of a link are a file's name, {words}"
        )


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_guide_is_listed_by_its_title(guide):
    title = re.search(r"^# (.*)$", guide.read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert (title, guide.name) in links_of(Path("docs/guides/index.md"))
    assert f"\nguides/{guide.stem}\n" in Path("docs/index.md").read_text(encoding="utf-8")


def test_the_first_page_links_to_no_page_twice():
    start = Path("README.md").read_text(encoding="utf-8").split("## What the study shows")[0]
    targets = re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", start)
    assert len(targets) == len(set(targets))
