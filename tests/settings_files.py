"""Checks the files that only other tools read (GitHub, Read the Docs, editors) by those tools' schemas: `make lint`.

The schemas come with check-jsonschema; no network is needed.
"""

import subprocess
import sys
from pathlib import Path

SCHEMAS = {
    "CITATION.cff": "--builtin-schema=vendor.citation-file-format",
    ".github/dependabot.yml": "--builtin-schema=vendor.dependabot",
    ".github/ISSUE_TEMPLATE/*.yml": "--builtin-schema=vendor.github-issue-forms",
    ".github/workflows/*.yml": "--builtin-schema=vendor.github-workflows",
    ".readthedocs.yaml": "--builtin-schema=vendor.readthedocs",
    "pipeline/config/*.yaml": "--schemafile=pipeline/config/profile.schema.json",
    "pipeline/experiments/*.yaml": "--schemafile=pipeline/experiments/experiments.schema.json",
}


def main() -> int:
    """Check every file; 1 where one is wrong, of which check-jsonschema says why."""
    wrong = 0
    for pattern, schema in SCHEMAS.items():
        files = sorted(map(str, Path().glob(pattern)))
        checked = subprocess.run(["check-jsonschema", schema, *files], capture_output=True, text=True)
        if checked.returncode:
            print(checked.stdout + checked.stderr, file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
