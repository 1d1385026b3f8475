"""Rule evaluate_claims: every published number beside the reproduced one."""

from pathlib import Path

from pipeline.claims import evaluate
from pipeline.files import write_csv
from pipeline.study import load_study

study = load_study(snakemake.params.config)  # noqa: F821
claims = evaluate(
    study,
    published=Path(snakemake.input.published),  # noqa: F821
    tables=Path(study.profile.results) / "tables",
    kept=[Path(path) for path in snakemake.input.kept],  # noqa: F821
)
write_csv(claims, Path(snakemake.output[0]))  # noqa: F821
