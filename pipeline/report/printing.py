"""The report as a PDF: the page itself, read by pandoc and set by typst, so that both say the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pypandoc
import typst

from pipeline.files import replacing

STYLE = Path(__file__).resolve().parents[2] / "rscripts" / "report" / "print"


class PrintError(RuntimeError):
    """The page could not be set as a PDF; the message is pandoc's or typst's."""


def print_report(page: Path, output: Path) -> Path:
    """Set the report's page (a self-contained HTML file) as the PDF `output`, whole or not at all.

    Fonts are typst's own, so that the same page gives the same PDF on any machine. Raises PrintError.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "report.typ")
        arguments = [
            "--standalone",
            "--wrap=none",
            f"--template={STYLE / 'template.typ'}",
            f"--lua-filter={STYLE / 'print.lua'}",
            # Images come out of the page as files, the vector ones as vectors.
            f"--extract-media={folder}",
        ]
        try:
            pypandoc.convert_file(str(page), "typst", "html", arguments, outputfile=str(source))
            with replacing(output) as temporary:
                typst.compile(source, temporary, root="/", format="pdf", ignore_system_fonts=True)
        except (RuntimeError, OSError) as error:
            raise PrintError(f"{page} was not printed: {error}") from error
    return output
