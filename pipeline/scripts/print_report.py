"""Rule print_report: the report's page as a PDF."""

from pathlib import Path

from pipeline.printing import print_report

print_report(Path(snakemake.input.page), Path(snakemake.output[0]))  # noqa: F821
