"""Rule compute: the tables of an experiment that needs no training."""

from pathlib import Path

from pipeline.compute import FUNCTIONS
from pipeline.files import write_csv
from pipeline.study import Run

run = Run.model_validate(snakemake.params.run)  # noqa: F821
for name, table in FUNCTIONS[run.experiment](run).items():
    write_csv(table, Path(snakemake.output[name]))  # noqa: F821
