"""The companions of docs/companions: their programs run, with their answers and without, and no erratum is left out."""

import re
from pathlib import Path

import pytest

from pipeline.errata import load_errata

FOLDER = Path("docs/companions")
COMPANIONS = sorted(page for page in FOLDER.glob("*.md") if page.stem != "index")


def cells_of(page: Path) -> list[tuple[bool, str]]:
    """Every code cell: whether it is an answer, and its program."""
    blocks = re.findall(r"^```\{code-cell\}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    split = [re.match(r"(?::tags: \[([^\]]*)\]\n)?(.*)", block, re.DOTALL).groups() for block in blocks]
    return [("hide-cell" in (tags or ""), program) for tags, program in split]


@pytest.mark.parametrize("answered", [True, False], ids=["with answers", "without answers"])
@pytest.mark.parametrize("page", COMPANIONS, ids=lambda page: page.stem)
def test_programs_run(page, answered, monkeypatch):
    shells = pytest.importorskip("IPython.core.interactiveshell", reason="IPython runs the pages (group docs)")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    shell = shells.InteractiveShell.instance()
    try:
        for is_answer, program in cells_of(page):
            if answered or not is_answer:
                shell.run_cell(program, silent=True).raise_error()
    finally:
        import matplotlib.pyplot

        matplotlib.pyplot.close("all")
        shells.InteractiveShell.clear_instance()


@pytest.mark.parametrize("page", COMPANIONS, ids=lambda page: page.stem)
def test_every_answer_checks_itself(page):
    unchecked = [program for is_answer, program in cells_of(page) if is_answer and not re.search(r"assert |stopifnot\(", program)]
    assert not unchecked


@pytest.mark.parametrize("document", [page.stem for page in COMPANIONS if page.stem in {e.document for e in load_errata()}])
def test_every_erratum_is_an_exercise_in_its_own_words(document):
    text = words_of((FOLDER / f"{document}.md").read_text(encoding="utf-8"))
    for erratum in load_errata():
        if erratum.document == document or erratum.id in text:
            assert erratum.id in text
            assert [part for part in erratum.words.split("…") if words_of(part) not in text] == [], erratum.id


def words_of(text: str) -> str:
    """Text without the marks of Markdown, its lines joined."""
    return re.sub(r"\s+", " ", re.sub(r"\n> |[\\`]", lambda mark: " " if "\n" in mark[0] else "", text)).strip()
