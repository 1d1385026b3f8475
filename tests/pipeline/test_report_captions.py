"""The words that `snakemake --report` shows: of every figure and table, without gaps, and never read as markup."""

import re

import pytest
import yaml
from docutils.core import publish_parts

from pipeline.report.captions import TABLES, figure_words, plain, table_words
from pipeline.report.figures import load_figures
from pipeline.study import load_study


@pytest.fixture(scope="module")
def study():
    with open("pipeline/config/default.yaml", encoding="utf-8") as file:
        return load_study(yaml.safe_load(file))


def shown(text):
    """reStructuredText as the report shows it; a warning in it is an error."""
    body = publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"]
    return re.sub(r"<[^>]+>", "", body).strip()


def test_every_figure_has_words_without_gaps(study):
    for figure in load_figures().values():
        if figure.experiment not in study.experiments:
            continue
        words = figure_words(figure, study)
        text = shown("\n\n".join(words.values()))
        assert not re.search(r"\{\w+\}", text), figure.name
        assert len(words["caption"]) > 40, figure.name


def test_what_is_reduced_is_said_in_figures_and_tables(study):
    reduced = study.run("N3", "main", 1).reduced
    assert reduced
    assert reduced in table_words("N3", study)["caption"]
    figure = next(figure for figure in load_figures().values() if figure.experiment == "N3")
    assert reduced in figure_words(figure, study)["caption"]


def test_every_kind_of_table_is_described():
    assert {"history", "metrics", "losses", "timing", "curves"} <= set(TABLES)


def test_marks_are_not_read_as_markup():
    hostile = "*a* |b| `c` d_ <e> \\f"
    assert shown(plain(hostile)) == hostile.replace("<e>", "&lt;e&gt;")
