"""The index of the documents' sections: all that the study has stands in it, once, and it names nothing else."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.claims.claims import load_claims
from pipeline.errata.evaluation import load_errata
from pipeline.report.contents import load_contents
from pipeline.report.figures import load_figures
from pipeline.study import ConfigurationError, load_experiments

CONTENTS = load_contents()


def places_used():
    """Every place that a claim, an erratum or a figure names, with its document and experiment."""
    for claim in load_claims(Path("data/published/claims.csv")):
        yield claim.document, claim.place, claim.id
    for erratum in load_errata():
        yield erratum.document, erratum.place, erratum.see
    for figure in load_figures().values():
        yield figure.document, figure.place, figure.experiment


def test_every_place_of_a_claim_an_erratum_or_a_figure_is_in_one_section_of_its_document():
    listed = Counter((document, place) for document, rows in CONTENTS.items() for row in rows for place in row.places)
    assert {place for place, times in listed.items() if times > 1} == set()
    used = {(document, place) for document, place, _ in places_used()}
    assert used - set(listed) == set(), "name these in pipeline/report/contents.yaml"
    assert set(listed) - used == set(), "nothing has these places"


def test_every_experiment_is_in_the_index_of_its_document_and_no_other_is_named():
    experiments = load_experiments()
    named = {(document, one) for document, rows in CONTENTS.items() for row in rows for one in row.experiments}
    assert {one for _, one in named} <= set(experiments)
    found = named | {(document, one) for document, _, one in places_used()}
    assert {(one.document, name) for name, one in experiments.items()} <= found


@pytest.mark.parametrize("wrong", [{}, {"places": ["1"], "nothing": "why"}, {"plaecs": ["1"]}])
def test_a_section_with_neither_content_nor_reason_is_refused_by_name(tmp_path, wrong):
    path = tmp_path / "contents.yaml"
    path.write_text(yaml.safe_dump({"thind": [{"section": "Methodology", **wrong}]}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="thind: Methodology"):
        load_contents(path)
