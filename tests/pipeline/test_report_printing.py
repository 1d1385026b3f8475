"""The report's PDF: what the page says is on it, with contents and links, or one clear message."""

import re
import zlib

import pytest

from pipeline.report.printing import PrintError, print_report

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Invented page</title>
<meta name="description" content="Profile test"></head><body><main>
<section id="what-was-reproduced" class="level1"><h1>What was reproduced</h1>
<p>See <a href="#P1">P1</a> and <math display="inline"><semantics><mrow><mi>y</mi></mrow>
<annotation encoding="application/x-tex">y</annotation></semantics></math>.</p>
<section id="P1" class="level2"><h2>P1 #panic("typst code") $x$</h2>
<div class="table claims"><table><thead><tr><th>Quantity</th><th class="number">Value</th></tr></thead>
<tbody><tr><td>#panic()<small>small words</small></td><td class="number">1</td></tr>
<tr><td><span class="verdict good">✓ reproduced</span></td><td>2</td></tr></tbody></table></div>
<details><summary><span class="fold">More</span></summary>
<div class="details" data-title="More of it" data-of="P1"><p>folded</p></div></details>
</section></section></main></body></html>"""


@pytest.fixture
def page(tmp_path):
    (tmp_path / "report.html").write_text(PAGE, encoding="utf-8")
    return tmp_path / "report.html"


def objects(pdf):
    """What a PDF holds, its compressed parts unpacked."""
    parts = [pdf]
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL):
        try:
            parts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return b"\n".join(parts)


def test_the_pdf_has_the_titles_as_bookmarks_and_links_within(page):
    pdf = print_report(page, page.with_suffix(".pdf")).read_bytes()
    assert pdf.startswith(b"%PDF-")
    inside = objects(pdf)
    assert b"What was reproduced" in inside
    # What was folded away is in the appendix, under whose it is.
    assert b"Appendix: details" in inside
    assert b"/Outlines" in inside
    assert inside.count(b"/Subtype /Link") + inside.count(b"/Subtype/Link") >= 3


def test_the_same_page_gives_the_same_pdf(page):
    first = print_report(page, page.parent / "first.pdf").read_bytes()
    assert print_report(page, page.parent / "second.pdf").read_bytes() == first


def test_a_link_to_what_the_page_does_not_have_is_plain_words(page):
    page.write_text(PAGE.replace('href="#P1"', 'href="#nowhere"'), encoding="utf-8")
    assert print_report(page, page.with_suffix(".pdf")).exists()


def test_a_page_that_cannot_be_set_leaves_the_old_pdf_and_names_itself(page):
    old = page.with_suffix(".pdf")
    old.write_text("the old one")
    broken = '<img src="data:image/png;base64,AAAA">'
    page.write_text(PAGE.replace("<details>", f"<p>{broken}</p><details>"), encoding="utf-8")
    with pytest.raises(PrintError, match=r"report\.html was not printed"):
        print_report(page, old)
    assert old.read_text() == "the old one"
