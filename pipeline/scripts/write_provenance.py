"""Rule write_provenance: from what, by what and on what the results were made."""

import json
from pathlib import Path

from pipeline.files import write_text
from pipeline.runs.provenance import provenance

record = provenance(
    snakemake.params.config,  # noqa: F821
    data=[Path(path) for path in snakemake.input.data],  # noqa: F821
    timing=[Path(path) for path in snakemake.input.timing],  # noqa: F821
    benchmarks=Path(snakemake.params.benchmarks),  # noqa: F821
)
write_text(json.dumps(record, indent=2), Path(snakemake.output[0]))  # noqa: F821
