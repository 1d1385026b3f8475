"""Rule evaluate_errata: every erratum of the documents with what its check found, and where documents disagree."""

from pathlib import Path

from pipeline.errata import evaluate, load_disagreements, load_errata, positions_table
from pipeline.files import write_csv
from pipeline.study import load_study

study = load_study(snakemake.params.config)  # noqa: F821
results, data = Path(study.profile.results), Path(study.profile.data)
errata, written = load_errata(), snakemake.output  # noqa: F821
table = evaluate(errata, set(study.experiments), results / "tables", data / "processed")
write_csv(table, Path(written.errata))
write_csv(positions_table(load_disagreements(), errata), Path(written.disagreements))
