"""Figures and the report through R: what is written, what R says, and what must never be lost or loaded."""

import json
import logging
import re
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml

from pipeline.report.figures import load_figures
from pipeline.report.rendering import RSCRIPTS, FigureError, ReportError, draw_figure, render_report, text_or_number
from pipeline.study import ConfigurationError, load_experiments


def curves():
    """A table in the shape of P1's, plainly invented."""
    rows = [
        {"series": f"y(0) = {y0}", "x": x, "y": 3 + (y0 - 3) / 2**x, "exact": 3.0, "highlighted": y0 == 2}
        for y0 in (0, 2)
        for x in range(5)
    ]
    return pd.DataFrame(rows).assign(data_source="made, for a test", origin="simulated", reduced=float("nan"))


def test_importing_the_renderer_does_not_start_r():
    code = "import sys, pipeline.report.rendering, pipeline.report.figures; sys.exit('rpy2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_figure_is_written_in_three_kinds(tmp_path):
    written = draw_figure("curves", "figure_solution_curves", {"history": curves()}, tmp_path / "sub" / "curves")
    assert [path.name for path in written] == ["curves.png", "curves.svg", "curves.pdf"]
    png, svg, pdf = (path.read_bytes() for path in written)
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg
    assert b"</svg>" in svg
    assert pdf.startswith(b"%PDF-")
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["curves.pdf", "curves.png", "curves.svg"]


def test_an_error_in_r_names_the_figure_the_missing_column_and_those_there_are(tmp_path):
    table = curves().drop(columns="exact")
    with pytest.raises(FigureError, match="curves") as caught:
        draw_figure(
            "curves", "figure_solution_curves", {"history": table}, tmp_path / "c", {"history": "some/file.csv"}
        )
    message = str(caught.value)
    assert "missing column exact" in message
    assert "some/file.csv" in message
    assert "history: series, x, y, highlighted" in message
    assert not list(tmp_path.iterdir())


def test_a_warning_in_r_is_logged_and_fails_the_figure(tmp_path, caplog):
    from rpy2 import robjects

    draw_figure("curves", "figure_solution_curves", {"history": curves()}, tmp_path / "good")
    robjects.r("figure_of_doubt <- function(history) { warning('the axis is odd'); ggplot2::ggplot() }")
    with caplog.at_level(logging.WARNING), pytest.raises(FigureError, match="the axis is odd"):
        draw_figure("doubt", "figure_of_doubt", {"history": curves()}, tmp_path / "doubt")
    assert "the axis is odd" in caplog.text
    assert not list(tmp_path.glob("doubt*"))


def test_an_unknown_function_is_refused(tmp_path):
    with pytest.raises(FigureError, match="no function figure_nowhere"):
        draw_figure("x", "figure_nowhere", {"history": curves()}, tmp_path / "x")


def test_rscript_draws_the_same_picture_as_python(tmp_path):
    curves().to_csv(tmp_path / "history.csv", index=False)
    script = RSCRIPTS / "draw.R"
    command = ["Rscript", "--vanilla", script, "solution_curves", tmp_path / "r", f"history={tmp_path / 'history.csv'}"]
    subprocess.run(command, check=True, capture_output=True)
    table = pd.read_csv(tmp_path / "history.csv")
    draw_figure("solution_curves", "figure_solution_curves", {"history": table}, tmp_path / "python")
    assert (tmp_path / "r.png").read_bytes() == (tmp_path / "python.png").read_bytes()


def test_missing_text_reaches_r_as_missing_text():
    ready = text_or_number(
        pd.DataFrame({"text": ["a", None], "empty": [float("nan")] * 2, "number": [1.0, float("nan")]})
    )
    assert ready.text.tolist() == ["a", None]
    assert ready["empty"].tolist() == [None, None]
    assert ready.number.dtype == float


def test_the_registry_names_functions_and_tables(tmp_path):
    figures = load_figures()
    assert figures["shapes_accuracy"].files("out") == {
        "history": "out/tables/S1/history.csv",
        "published": "data/published/claims.csv",
    }
    wrong = tmp_path / "figures.yaml"
    wrong.write_text("curves: {function: figure_x, experiment: P1, document: thind, place: here, tittle: a}")
    with pytest.raises(ConfigurationError, match=r"figures\.yaml: curves"):
        load_figures(wrong)


# The report, from results that are plainly invented.
HOSTILE = '<script>alert("1")</script> & *stars* $x$'


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with one figure, invented numbers, and text that would break a page that did not escape it."""
    folder = tmp_path_factory.mktemp("results")
    labels = {"experiment": "P1", "variant": "main", "seed": 1}
    sources = {"data_source": "invented for a test", "origin": "simulated", "reduced": "2 of 5 curves"}
    for table, rows in {
        "history": curves().assign(**labels, **sources),
        "metrics": pd.DataFrame([{**labels, "quantity": "largest_error", "value": 0.1234567, "unit": "", **sources}]),
    }.items():
        (folder / "tables/P1").mkdir(parents=True, exist_ok=True)
        rows.to_csv(folder / f"tables/P1/{table}.csv", index=False)
    claim = {
        "id": "P1",
        "document": "thind",
        "place": "nowhere",
        "variant": "main",
        "metric": "m",
        "epoch": None,
        "unit": "%",
        "relation": "<",
        "headline": "",
        "kind": "printed",
        "tolerance": 1,
        "n": 3,
        "repeats": "seeds",
        "judged": "this run",
        "kept": None,
        "kept_in": "",
        "command": "snakemake --cores -- " + HOSTILE,
    }
    claims = [
        {"quantity": HOSTILE, "published": 43.483, "reproduced": 71.98765, "ci_low": 70.5, "ci_high": 73.25},
        {"quantity": "second", "published": 2, "reproduced": 1.5, "ci_low": None, "ci_high": None},
        {"quantity": "third", "published": 7, "reproduced": None, "ci_low": None, "ci_high": None},
    ]
    verdicts = [("not reproduced", "out of tolerance"), ("reproduced", "within"), ("not comparable", HOSTILE)]
    pd.DataFrame(
        {**claim, **row, "verdict": verdict, "reason": reason}
        for row, (verdict, reason) in zip(claims, verdicts, strict=True)
    ).to_csv(folder / "tables/claims.csv", index=False)
    file = {"path": "data/raw/invented.gz", "bytes": 12345, "sha256": "ab" * 32}
    provenance = {
        "commit": "f" * 40,
        "dirty": True,
        "profile": "ci",
        "device": "CPU",
        "cpu": HOSTILE,
        "cores": 2,
        "configuration": {"profile": "ci", "experiments": ["P1"], "note": HOSTILE},
        "platform": "a platform",
        "versions": {"nodekit": "0.0.0"},
        "created": "2000-01-01T00:00:00+00:00",
        "wall_seconds": 42.0,
        "data": [{"name": "invented", "data_source": HOSTILE, "origin": "simulated", "files": [file]}],
        "runs": [{**labels, "seconds": 12.5, "device": "cpu", "threads": 1}],
    }
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    draw_figure("solution_curves", "figure_solution_curves", {"history": curves()}, folder / "figures/solution_curves")
    return folder


@pytest.fixture(scope="module")
def page(results):
    return render_report(results).read_text(encoding="utf-8")


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.inside = [], [], []
        self.feed(source)
        self.words = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_has_words_for_every_document_and_experiment():
    words = yaml.safe_load((RSCRIPTS / "report" / "texts.yaml").read_text(encoding="utf-8"))
    experiments = load_experiments()
    assert set(words["experiments"]) == set(experiments)
    assert set(words["documents"]) == {experiment.document for experiment in experiments.values()}


def test_the_report_loads_nothing(page):
    loading = {"link", "iframe", "object", "embed", "source", "video", "audio"}
    tags = Page(page).tags
    assert not [tag for tag, _ in tags if tag in loading]
    # One script, the step figure's, stands in the page itself and asks nothing of any network.
    assert [attributes for tag, attributes in tags if tag == "script"] == [{}]
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL).group(1)
    own = (RSCRIPTS / "report" / "step_size.js").read_text(encoding="utf-8")
    assert script.strip() == own.strip()
    assert not re.search(r"fetch|XMLHttpRequest|WebSocket|import|eval|innerHTML|https?:|sendBeacon", script)
    images = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert images
    assert all(source.startswith("data:image/") for source in images)
    assert not re.search(r"url\(|@import", page)


def test_every_link_of_the_report_leads_into_the_page_itself_and_every_formula_is_set(page):
    tags = Page(page).tags
    known = {attributes["id"] for _, attributes in tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in tags if tag == "a"]
    assert "#document-thind" in links
    assert [link for link in links if link.removeprefix("#") not in known] == []
    # What pandoc cannot set as MathML it leaves as TeX in a span.
    assert not [attributes for tag, attributes in tags if tag == "span" and "math" in attributes.get("class", "")]


def test_the_report_escapes_what_it_shows(page):
    parsed = Page(page)
    assert parsed.words.count(HOSTILE) >= 5
    assert "alert(" not in "".join(attributes.get("onload", "") for _, attributes in parsed.tags)


def test_the_report_shows_published_beside_reproduced_with_a_verdict(page):
    words = Page(page).words.replace("\u00a0", " ")
    assert "43.483 %" in words
    assert "71.99 %" in words
    assert "70.50 to 73.25" in words
    for verdict in ("reproduced", "not reproduced", "not comparable"):
        assert f"1 {verdict}" in words


def test_the_report_says_at_its_head_what_is_simulated_and_reduced(page):
    head = page[: page.index(">What was reproduced</h1>")]
    assert "Simulated data" in head
    assert "invented for a test" in head
    assert "2 of 5 curves" in head


def test_the_report_tells_where_it_comes_from(page):
    words = Page(page).words
    for part in ("f" * 40, "with uncommitted changes", "nodekit 0.0.0", "SHA-256 " + "ab" * 32, "invented.gz"):
        assert part in words
    assert "--configfile pipeline/config/ci.yaml" in words


def test_the_report_fits_a_telephone(page):
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "overflow-x: auto" in page


def test_a_report_without_its_claims_says_which_file_is_missing(tmp_path):
    (tmp_path / "report.html").write_text("the old one")
    with pytest.raises(ReportError, match=r"claims\.csv"):
        render_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "the old one"


def test_no_two_r_files_define_the_same_function():
    folders = [RSCRIPTS, RSCRIPTS / "figures", RSCRIPTS / "report"]
    files = [path for folder in folders for path in folder.glob("*.R")]
    names = [
        name for path in files for name in re.findall(r"^(\w+) <- function", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(names) == sorted(set(names))
