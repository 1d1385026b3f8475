"""The companions of docs/companions: their programs run, with their answers and without, and no erratum is left out."""

import re
from pathlib import Path

import pytest

from pipeline.errata import load_errata
from pipeline.report.contents import load_contents

FOLDER = Path("docs/companions")
COMPANIONS = sorted(page for page in FOLDER.glob("*.md") if page.stem != "index")
DOCUMENTS = sorted({page.stem for page in COMPANIONS} & {erratum.document for erratum in load_errata()})


def cells_of(page: Path) -> list[tuple[bool, str]]:
    """Every code cell: whether it is an answer, and its program."""
    blocks = re.findall(r"^```\{code-cell\}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    split = [re.match(r"((?::\w+: [^\n]*\n)*)(.*)", block, re.DOTALL).groups() for block in blocks]
    return [("hide-cell" in options, program) for options, program in split]


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
    answers = [program for is_answer, program in cells_of(page) if is_answer]
    assert answers
    assert [answer for answer in answers if not re.search(r"assert |stopifnot\(", answer)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_erratum_is_an_exercise_in_its_own_words(document):
    text = words_of((FOLDER / f"{document}.md").read_text(encoding="utf-8"))
    for erratum in load_errata():
        if erratum.document == document or erratum.id in text:
            assert erratum.id in text
            assert [part for part in erratum.words.split("…") if words_of(part) not in text] == [], erratum.id


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sections_are_the_documents_in_its_order(document):
    text = (FOLDER / f"{document}.md").read_text(encoding="utf-8")
    headings = [number_of(heading) for heading in re.findall(r"^##+ (.*)$", text, re.MULTILINE)]
    sections = [number_of(one.section) for one in load_contents()[document]]
    assert [heading for heading in headings if heading in sections] == sections


def number_of(heading: str) -> str:
    """What tells a section from others: its number or, where a document has none, its heading."""
    return re.match(r"Task \d+|\d[\d.]*(?= )|.*", heading)[0]


def words_of(text: str) -> str:
    """Text without the marks of Markdown and of quotations, its lines joined."""
    return " ".join(re.sub(r"[\\`\"']", "", text.replace("\n> ", " ")).split())
