"""Rule evaluate_errata: every erratum of the documents with what its check found."""

from pathlib import Path

from pipeline.errata import evaluate, load_errata
from pipeline.files import write_csv
from pipeline.study import load_study

study = load_study(snakemake.params.config)  # noqa: F821
results, data = Path(study.profile.results), Path(study.profile.data)
table = evaluate(load_errata(), set(study.experiments), results / "tables", data / "processed")
write_csv(table, Path(snakemake.output[0]))  # noqa: F821
