"""Rule evaluate_claims: every published number beside the reproduced one."""

from pathlib import Path

from pipeline.claims import evaluate
from pipeline.files import write_csv
from pipeline.study import load_study

params = snakemake.params  # noqa: F821
claims = evaluate(
    load_study(params.config),
    published=Path(snakemake.input.published),  # noqa: F821
    tables=Path(params.tables),
    processed=Path(params.processed),
)
write_csv(claims, Path(snakemake.output[0]))  # noqa: F821
